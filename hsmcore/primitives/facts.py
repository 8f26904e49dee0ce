"""Values derived from key material and public keys: check value, length, public numbers."""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore.primitives.keyforms import MlDsaPublic, PublicKey

ML_DSA_PRIVATE = {"ML-DSA-44": 2560, "ML-DSA-65": 4032, "ML-DSA-87": 4896}
"""Bytes of a private key (FIPS 204 table 2), of which the HSM stores the seed."""
CHECK_BYTES = 3
"""Bytes of a check value."""


def check_value(key_type: str, material: bytes, public_key_info: bytes | None) -> bytes | None:
    """Return a key's check value, by which two parties see that they have the same key.

    For a secret key it is the first 3 bytes of the encryption of a block of zeros (PKCS #11 CKA_CHECK_VALUE), for both
    keys of a pair those of the SHA-1 digest of the SubjectPublicKeyInfo, as in CloudHSM.

    Returns:
        The check value; ``None`` for a generic secret.
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


def public_numbers(key: PublicKey) -> dict[str, bytes | int]:
    """Return MODULUS, MODULUS_BITS and PUBLIC_EXPONENT, or EC_POINT (a DER octet string of the uncompressed point).

    Numbers are big-endian without leading zeros. The point of an Ed25519 key is its 32 bytes. An ML-DSA key has none
    of these.
    """
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus, exponent = (
            number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (numbers.n, numbers.e)
        )  # fmt: skip
        return {"MODULUS": modulus, "MODULUS_BITS": key.key_size, "PUBLIC_EXPONENT": exponent}
    if isinstance(key, (ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        return {"EC_POINT": _octet_string(_raw(key))}
    return {}


def public_length(key: PublicKey) -> int:
    """Return the length of a public key as CloudHSM counts it, in bytes.

    It is twice the modulus, the uncompressed point, or the ML-DSA key (FIPS 204 table 2).
    """
    return 2 * key.key_size // 8 if isinstance(key, rsa.RSAPublicKey) else len(_raw(key))


def _raw(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | MlDsaPublic) -> bytes:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes_raw()


def _octet_string(content: bytes) -> bytes:
    """Return a DER OCTET STRING (X.690 8.7) of fewer than 256 bytes."""
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return b"\x04" + length + content
