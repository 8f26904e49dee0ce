"""The cost of password hashes in tests."""

from __future__ import annotations

from hsmcore.primitives import secrecy


def lower() -> None:
    """Let this process make hashes that take no time; each says its cost, so comparisons take none either.

    Interpreters that tests start have the full cost.
    """
    secrecy.MEMORY_KIB, secrecy.ITERATIONS = 64, 1
