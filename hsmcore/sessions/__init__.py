"""Sessions, the permissions of each role, and counts of key uses."""
