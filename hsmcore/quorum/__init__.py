"""Quorum (M of N): tokens and their approvals."""
