"""What a key's material and its public half say about it to a reader: check value, length, public numbers."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore.primitives.keyforms import open_public

CHECK_BYTES = 3
"""Bytes in a check value."""


def check_value(key_type: str, material: bytes, public_key_info: bytes | None) -> bytes | None:
    """Return what two parties compare to see that they have the same key; ``None`` for a generic secret.

    The first 3 bytes of the encryption of a block of zeros (PKCS #11 CKA_CHECK_VALUE), or for both halves of a pair of
    the SHA-1 of the SubjectPublicKeyInfo, as CloudHSM computes it.
    """
    if public_key_info is not None:
        digest = hashes.Hash(hashes.SHA1())  # noqa: S303 (a check value, no security rests on it)
        digest.update(public_key_info)
        return digest.finalize()[:CHECK_BYTES]
    if key_type == "GENERIC_SECRET":
        return None
    algorithm = AES(material) if key_type == "AES" else TripleDES(material)
    encryptor = Cipher(algorithm, modes.ECB()).encryptor()  # noqa: S305 (one block, as PKCS #11 says)
    return encryptor.update(bytes(algorithm.block_size // 8))[:CHECK_BYTES]


def public_numbers(public_key_info: bytes) -> dict[str, bytes | int]:
    """Return MODULUS, MODULUS_BITS and PUBLIC_EXPONENT, or EC_POINT (a DER octet string of the uncompressed point).

    Numbers are big-endian without leading zeros.
    """
    key = open_public(public_key_info)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus, exponent = (
            number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (numbers.n, numbers.e)
        )
        return {"MODULUS": modulus, "MODULUS_BITS": key.key_size, "PUBLIC_EXPONENT": exponent}
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"EC_POINT": _octet_string(point)}


def public_length(public_key_info: bytes) -> int:
    """Return the length of a public key as CloudHSM counts it, in bytes: modulus and as much again, or the point."""
    key = open_public(public_key_info)
    if isinstance(key, rsa.RSAPublicKey):
        return 2 * key.key_size // 8
    return 1 + 2 * ((key.curve.key_size + 7) // 8)


def _octet_string(content: bytes) -> bytes:
    """Return a DER OCTET STRING (X.690 8.7) of fewer than 256 bytes."""
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return b"\x04" + length + content
