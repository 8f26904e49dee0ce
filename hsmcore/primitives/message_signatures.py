"""Signatures of messages that no digest stands for: Ed25519 (RFC 8032 5.1) and ML-DSA (FIPS 204, empty context)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hsmcore.errors import DataLengthInvalid
from hsmcore.primitives.asymmetric import Sign, Verify, holds
from hsmcore.primitives.parameters import Parameters
from hsmcore.tables.mechanisms import Mechanism

MU = 64
"""Bytes in a message representative that the caller computed (FIPS 204 6.2)."""


def signer(row: Mechanism, key: Any) -> Sign:
    """Sign the message, or with the mode ``MU`` its representative."""
    sign: Callable[[bytes], bytes] = key.sign_mu if row.mode == "MU" else key.sign

    def run(parameters: Parameters, data: bytes) -> bytes:
        _check(row, data)
        return sign(data)

    return run


def verifier(row: Mechanism, key: Any) -> Verify:
    """Verify; a signature of the wrong form does not hold."""
    verify = key.verify_mu if row.mode == "MU" else key.verify

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        _check(row, data)
        return holds(lambda: verify(signature, data))

    return run


def _check(row: Mechanism, data: bytes) -> None:
    if row.mode == "MU" and len(data) != MU:
        raise DataLengthInvalid(f"{row.name} takes a message representative of {MU} bytes, not {len(data)}")
