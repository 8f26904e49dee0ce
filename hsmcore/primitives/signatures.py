"""The parts that all families of signatures share."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature

from hsmcore.primitives.parameters import Parameters
from hsmcore.tables.mechanisms import Mechanism

Sign = Callable[[Parameters, bytes], bytes]
Verify = Callable[[Parameters, bytes, bytes], bool]


def holds(check: Callable[[], None]) -> bool:
    """Tell whether a verification passes."""
    try:
        check()
    except InvalidSignature:
        return False
    return True


def wrong_digest(row: Mechanism, data: bytes, size: int) -> str:
    """Return the message about a digest that does not have ``size`` bytes."""
    return f"{row.name} takes a digest of {size} bytes, not {len(data)}"
