"""Users: accounts, second factor, token files."""
