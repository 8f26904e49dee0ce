"""Quorum (M of N): quorum tokens and their approvals."""
