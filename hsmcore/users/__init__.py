"""Users: accounts, registered keys (MFA and quorum), token files."""
