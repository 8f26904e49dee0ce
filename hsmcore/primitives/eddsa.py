"""Ed25519 (RFC 8032 5.1): signatures of the message itself."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hsmcore.primitives.signatures import Sign, Verify, holds
from hsmcore.tables.mechanisms import Mechanism


def signer(row: Mechanism, key: Ed25519PrivateKey) -> Sign:
    """Sign a message."""
    sign = key.sign
    return lambda _parameters, data: sign(data)


def verifier(row: Mechanism, key: Ed25519PublicKey) -> Verify:
    """Verify a signature; a malformed one is wrong."""
    verify = key.verify
    return lambda _parameters, data, signature: holds(lambda: verify(signature, data))
