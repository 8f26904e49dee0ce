"""Users' keys and signatures of tokens: RSA 2048, RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2).

The 32 bytes of a token are signed as the SHA-256 digest, without another hash.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hsmcore.errors import HsmError, PublicKeyInvalid
from hsmcore.primitives.keyforms import open_public, public_facts

KEY_BITS = 2048
TOKEN_BYTES = 32
_MAX_PEM = 16 * 1024
"""Maximum bytes of a PEM file; a 2048-bit key takes 451."""


def read_user_key(pem: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a user's key.

    Args:
        pem: The public key in PEM.

    Raises:
        PublicKeyInvalid: The bytes are not an RSA-2048 key in PEM.
    """
    try:
        key = load_pem_public_key(pem[:_MAX_PEM])
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PublicKeyInvalid("the file is not a public key in PEM (BEGIN PUBLIC KEY)") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
        raise PublicKeyInvalid(f"the public key must be RSA with {KEY_BITS} bits")
    try:
        return public_facts(key).material
    except HsmError as error:
        raise PublicKeyInvalid(str(error)) from error


def proves(public_key_info: bytes, token: bytes, signature: bytes) -> bool:
    """Tell whether a token was signed with the private half of a user's key."""
    try:
        key = open_public(public_key_info)
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        key.verify(signature, token, padding.PKCS1v15(), Prehashed(SHA256()))
    except (InvalidSignature, ValueError, HsmError):
        return False
    return True
