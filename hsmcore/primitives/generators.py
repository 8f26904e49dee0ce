"""Generation of key material, and the rules for the sizes of secret keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from hsmcore.errors import AttributeInvalid, KeyMaterialInvalid, KeySizeInvalid
from hsmcore.primitives.keyforms import CURVES, KeyFacts, PrivateKey, check_rsa_size, private_facts
from hsmcore.tables.mechanisms import EXPONENT, KEY_SIZES, KeyType

MAX_SECRET = 3583
"""Maximum bytes of an imported generic secret (CloudHSM: fewer than 3584, and at most 800 for an HMAC)."""

_DES_BITS = 192

_ML_DSA: dict[str, Callable[[], PrivateKey]] = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
}


def secret_key(key_type: str, bits: int, draw: Callable[[int], bytes] = os.urandom) -> KeyFacts:
    """Return a new secret key.

    A DESede key of 168 effective bits has 192 bits with parity; each byte has odd parity (FIPS 46-3).

    Args:
        key_type: AES, DESEDE or GENERIC_SECRET.
        bits: The size.
        draw: Returns the requested number of bytes; random ones by default.

    Raises:
        KeySizeInvalid: The key type has no keys of that size.
    """
    if key_type == "DESEDE":
        if bits not in KEY_SIZES[KeyType.DESEDE]:
            raise KeySizeInvalid(f"a DESede key has 192 bits, not {bits}")
        return KeyFacts(key_type, _DES_BITS, odd_parity(draw(_DES_BITS // 8)))
    if bits % 8:
        raise KeySizeInvalid(f"SIZE is in bits and a multiple of 8, not {bits}")
    longest = KEY_SIZES[KeyType.GENERIC_SECRET][-1]
    if key_type == "GENERIC_SECRET" and bits > longest:
        raise KeySizeInvalid(f"a generic secret is generated with 1 to {longest // 8} bytes, not {bits // 8}")
    _check_secret_size(key_type, bits)
    return KeyFacts(key_type, bits, draw(bits // 8))


def read_secret(key_type: str, material: bytes) -> KeyFacts:
    """Return an imported secret key.

    Raises:
        KeySizeInvalid: The key type has no keys of that size.
    """
    _check_secret_size(key_type, len(material) * 8)
    return KeyFacts(key_type, len(material) * 8, material)


def _check_secret_size(key_type: str, bits: int) -> None:
    if key_type == "AES" and bits not in KEY_SIZES[KeyType.AES]:
        raise KeySizeInvalid(f"an AES key has 128, 192 or 256 bits, not {bits}")
    if key_type == "DESEDE" and bits != _DES_BITS:
        raise KeySizeInvalid(f"a DESede key has 192 bits, not {bits}")
    if key_type == "GENERIC_SECRET" and not 8 <= bits <= MAX_SECRET * 8:
        raise KeySizeInvalid(f"a generic secret has 1 to {MAX_SECRET} bytes, not {bits // 8}")


def rsa_pair(bits: int, exponent: bytes) -> tuple[KeyFacts, KeyFacts]:
    """Generate an RSA key pair and return its public and its private key.

    The library only generates keys with the exponent 65537; keys with other exponents can be imported.

    Args:
        bits: The length of the modulus.
        exponent: The public exponent, big-endian.

    Raises:
        KeySizeInvalid: RSA keys of that size are not supported.
        AttributeInvalid: The exponent is another one.
    """
    check_rsa_size(bits)
    number = int.from_bytes(exponent, "big")
    if number != EXPONENT:
        raise AttributeInvalid(f"keys are generated with PUBLIC_EXPONENT {EXPONENT}, not {str(number)[:40]}")
    return _halves(private_facts(rsa.generate_private_key(number, bits)))


def ec_pair(curve: bytes) -> tuple[KeyFacts, KeyFacts]:
    """Generate an EC key pair and return its public and its private key.

    Args:
        curve: The curve's object identifier in DER.

    Raises:
        KeySizeInvalid: The curve is not supported.
    """
    known = CURVES.get(curve)
    if known is None:
        names = ", ".join(curve.name for curve in CURVES.values())
        raise KeySizeInvalid(f"EC_PARAMS is the OID in DER of one of {names}, not 0x{curve[:16].hex()}")
    return _halves(private_facts(ec.generate_private_key(known)))


def ed25519_pair() -> tuple[KeyFacts, KeyFacts]:
    """Generate an Ed25519 key pair (RFC 8032) and return its public and its private key."""
    return _halves(private_facts(ed25519.Ed25519PrivateKey.generate()))


def ml_dsa_pair(parameter_set: str) -> tuple[KeyFacts, KeyFacts]:
    """Generate an ML-DSA key pair (FIPS 204) and return its public and its private key.

    Raises:
        KeySizeInvalid: The parameter set is unknown, or OpenSSL lacks it.
    """
    generate = _ML_DSA.get(parameter_set)
    if generate is None:
        raise KeySizeInvalid(f"PARAMETER_SET is one of {', '.join(_ML_DSA)}, not {parameter_set[:64]}")
    try:
        return _halves(private_facts(generate()))
    except UnsupportedAlgorithm as error:
        raise KeySizeInvalid(f"the OpenSSL of this installation has no {parameter_set}") from error


def _halves(private: KeyFacts) -> tuple[KeyFacts, KeyFacts]:
    info = private.public_key_info
    if info is None:
        raise KeyMaterialInvalid("the key pair has no public half")
    return replace(private, material=info), private


def odd_parity(key: bytes) -> bytes:
    """Return the key with odd parity: the lowest bit of each byte makes its number of ones odd (FIPS 46-3)."""
    return bytes(byte & 0xFE | (byte >> 1).bit_count() % 2 ^ 1 for byte in key)
