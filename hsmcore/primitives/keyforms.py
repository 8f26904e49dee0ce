"""Keys as bytes and as key objects.

Key material is raw bytes for a secret key, PKCS #8 (RFC 5958, DER, unencrypted) for a private key and
SubjectPublicKeyInfo (RFC 5280, DER) for a public key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from hsmcore.errors import KeyMaterialInvalid, KeySizeInvalid
from hsmcore.tables import mechanisms
from hsmcore.tables.mechanisms import EXPONENT, KEY_SIZES, KeyType

_MlDsaPrivate = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
MlDsaPublic = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | _MlDsaPrivate
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | MlDsaPublic
OpenedKey = bytes | PrivateKey | PublicKey
"""A key as the functions of this package take it."""

MAX_EXPONENT = 1 << 256
"""An RSA public exponent is less than this."""
_KINDS = "RSA, EC, Ed25519 or ML-DSA"

_CURVES = {
    "secp224r1": ec.SECP224R1(),
    "secp256r1": ec.SECP256R1(),
    "secp256k1": ec.SECP256K1(),
    "secp384r1": ec.SECP384R1(),
    "secp521r1": ec.SECP521R1(),
}
CURVES: dict[bytes, ec.EllipticCurve] = {oid: _CURVES[name] for name, oid in mechanisms.CURVES.items()}
"""Curves by the DER of their object identifier."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A new key as bytes. ``size`` is in bits; ``exponent`` is big-endian; ``curve`` is the OID in DER."""

    key_type: str
    size: int
    material: bytes = field(repr=False)
    public_key_info: bytes | None = None
    exponent: bytes | None = None
    curve: bytes | None = None
    parameter_set: str | None = None


def open_private(material: bytes) -> PrivateKey:
    """Open a private key of this HSM, which was validated when it was generated or imported."""
    return _known_private(load_der_private_key(material, None, unsafe_skip_rsa_key_validation=True))


def open_public(public_key_info: bytes) -> PublicKey:
    """Open a SubjectPublicKeyInfo from any source.

    Raises:
        KeyMaterialInvalid: The bytes are not a public key of a supported type.
    """
    try:
        key = load_der_public_key(public_key_info)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyMaterialInvalid(f"the bytes are not the SubjectPublicKeyInfo of a {_KINDS} key") from error
    if isinstance(key, PublicKey):
        return key
    raise KeyMaterialInvalid(f"the public key is not {_KINDS}")


def read_private(material: bytes) -> KeyFacts:
    """Read and fully validate an imported private key.

    Raises:
        KeyMaterialInvalid: The bytes are not a consistent private key of a supported type.
        KeySizeInvalid: The size or curve is not supported.
    """
    try:
        key = _known_private(load_der_private_key(material, None))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: a parser's message may quote key material.
        raise KeyMaterialInvalid(f"the bytes are not a consistent PKCS #8 private key of type {_KINDS}") from None
    return private_facts(key)


def read_public(public_key_info: bytes) -> KeyFacts:
    """Read an imported public key.

    Raises:
        KeyMaterialInvalid: The bytes are not a public key of a supported type.
        KeySizeInvalid: The size or curve is not supported.
    """
    return public_facts(open_public(public_key_info))


def private_facts(key: PrivateKey) -> KeyFacts:
    """Return a private key as bytes with its public facts."""
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = public_facts(key.public_key())
    return replace(public, material=material)


def public_facts(key: PublicKey) -> KeyFacts:
    """Return a public key as bytes with its public facts.

    Raises:
        KeyMaterialInvalid: The RSA exponent is even, too small or too large (FIPS 186-5, section 5.4).
        KeySizeInvalid: The size or curve is not supported.
    """
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, rsa.RSAPublicKey):
        check_rsa_size(key.key_size)
        exponent = key.public_numbers().e
        if not EXPONENT <= exponent < MAX_EXPONENT or exponent % 2 == 0:
            raise KeyMaterialInvalid(
                f"the public exponent is odd, at least {EXPONENT} and less than 2**256; this one has "
                f"{exponent.bit_length()} bits"
            )
        encoded = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
        return KeyFacts("RSA", key.key_size, info, info, exponent=encoded)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyFacts("EC_EDWARDS", 256, info, info, curve=mechanisms.ED25519)
    if isinstance(key, MlDsaPublic):
        return KeyFacts("ML_DSA", 8 * len(key.public_bytes_raw()), info, info, parameter_set=_set_of(key))
    curve = mechanisms.CURVES.get(key.curve.name)
    if curve is None:
        raise KeySizeInvalid(f"curve {key.curve.name} is not supported; {', '.join(mechanisms.CURVES)} are")
    return KeyFacts("EC", key.curve.key_size, info, info, curve=curve)


def check_rsa_size(bits: int) -> None:
    """Check the size of an RSA key.

    Raises:
        KeySizeInvalid: The size is not supported.
    """
    if bits not in KEY_SIZES[KeyType.RSA]:
        raise KeySizeInvalid(f"an RSA key has 2048 to 4096 bits in steps of 256, not {bits}")


def _known_private(key: object) -> PrivateKey:
    if isinstance(key, PrivateKey):
        return key
    raise ValueError(f"not {_KINDS}")


def _set_of(key: MlDsaPublic) -> str:
    if isinstance(key, mldsa.MLDSA44PublicKey):
        return "ML-DSA-44"
    return "ML-DSA-65" if isinstance(key, mldsa.MLDSA65PublicKey) else "ML-DSA-87"


def type_of(key: PublicKey) -> str:
    """Return the KEY_TYPE of an opened public key."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC"
    return "EC_EDWARDS" if isinstance(key, ed25519.Ed25519PublicKey) else "ML_DSA"
