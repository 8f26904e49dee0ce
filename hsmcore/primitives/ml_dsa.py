"""ML-DSA (FIPS 204) with an empty context: signatures of the message itself, or of its representative µ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hsmcore.errors import DataLengthInvalid
from hsmcore.primitives.parameters import Parameters
from hsmcore.primitives.signatures import Sign, Verify, holds
from hsmcore.tables.mechanisms import Mechanism

MU = 64
"""Bytes of a message representative that the caller computed (FIPS 204 6.2)."""


def signer(row: Mechanism, key: Any) -> Sign:
    """Sign a message, or with the mode ``MU`` its representative."""
    sign: Callable[[bytes], bytes] = key.sign_mu if row.mode == "MU" else key.sign

    def run(parameters: Parameters, data: bytes) -> bytes:
        _check(row, data)
        return sign(data)

    return run


def verifier(row: Mechanism, key: Any) -> Verify:
    """Verify a signature; a malformed one is wrong."""
    verify = key.verify_mu if row.mode == "MU" else key.verify

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        _check(row, data)
        return holds(lambda: verify(signature, data))

    return run


def _check(row: Mechanism, data: bytes) -> None:
    if row.mode == "MU" and len(data) != MU:
        raise DataLengthInvalid(f"{row.name} takes a message representative of {MU} bytes, not {len(data)}")
