"""Backups: the file, the directory that holds them, how they are made, restored and removed."""
