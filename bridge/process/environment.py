"""Secrets and limits in environment variables."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hsmcore.errors import HsmError

CREDENTIAL = "hsm-passphrase"
"""Name of a service's credential with the passphrase."""
_DAY = 86400
"""Seconds."""


def secret_of(variable: str) -> bytes | None:
    """Return the value of an environment variable in UTF-8, or ``None`` if it is missing or empty."""
    value = os.environ.get(variable)
    return value.encode() if value else None


def answer_seconds(default: float) -> float:
    """Return the longest wait for an answer, in seconds, from HSM_TIMEOUT.

    Raises:
        HsmError: The variable is not a whole number from 1 to 86400.
    """
    value = os.environ.get("HSM_TIMEOUT")
    if not value:
        return default
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value) or int(value) > _DAY:
        raise HsmError(f"HSM_TIMEOUT is not a whole number of seconds from 1 to {_DAY}")
    return int(value)


def passphrase() -> bytes | None:
    """Return the master key's passphrase: HSM_PASSPHRASE, or the first line of a service's credential.

    ``None`` if there is neither. systemd gives a service the directory of its credentials (systemd.exec(5)).
    """
    given = secret_of("HSM_PASSPHRASE")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if given is not None or not folder:
        return given
    try:
        line = Path(folder, CREDENTIAL).read_bytes().partition(b"\n")[0]
    except FileNotFoundError:
        return None
    return line.rstrip(b"\r") or None
