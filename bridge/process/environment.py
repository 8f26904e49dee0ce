"""Secrets in environment variables."""

from __future__ import annotations

import os


def secret_of(variable: str) -> bytes | None:
    """Return the value of an environment variable in UTF-8, or ``None`` if it is missing or empty."""
    value = os.environ.get(variable)
    return value.encode() if value else None


def passphrase() -> bytes | None:
    """Return the master key's passphrase, or ``None`` if the environment has none."""
    return secret_of("HSM_PASSPHRASE")
