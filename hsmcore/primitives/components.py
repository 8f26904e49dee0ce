"""Keys from their numbers, as PKCS #11 gives them: PKCS #8 and SubjectPublicKeyInfo (DER) for an import."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hsmcore.errors import KeyMaterialInvalid, KeySizeInvalid
from hsmcore.primitives.keyforms import CURVES

MAX_NUMBER = 1024
"""Maximum bytes of a number; those of a 4096-bit RSA key have 512."""


def rsa_public(modulus: bytes, exponent: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an RSA key.

    Raises:
        KeyMaterialInvalid: The numbers are no key.
    """
    try:
        key = _rsa_numbers(modulus, exponent).public_key()
    except ValueError as error:
        raise KeyMaterialInvalid("modulus and exponent are no RSA key") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _rsa_numbers(modulus: bytes, exponent: bytes) -> rsa.RSAPublicNumbers:
    return rsa.RSAPublicNumbers(_number(exponent), _number(modulus))


def _number(value: bytes) -> int:
    if len(value) > MAX_NUMBER:
        raise KeyMaterialInvalid(f"a number of a key has at most {MAX_NUMBER} bytes, not {len(value)}")
    return int.from_bytes(value, "big")


def rsa_private(modulus: bytes, exponent: bytes, private_exponent: bytes, primes: tuple[bytes, bytes] | None) -> bytes:
    """Return the PKCS #8 of an RSA key, whose other numbers are computed.

    Args:
        modulus: The modulus.
        exponent: The public exponent.
        private_exponent: The private exponent.
        primes: The two primes; ``None`` to compute them too.

    Raises:
        KeyMaterialInvalid: The numbers are no consistent key.
    """
    n, e, d = _number(modulus), _number(exponent), _number(private_exponent)
    # Recovering primes takes powers of numbers as long as the modulus, so the modulus is checked first.
    if not 1 < e < n or not 1 < d < n or n.bit_length() > 4096:
        raise KeyMaterialInvalid("the numbers are no RSA key")
    try:
        p, q = (_number(prime) for prime in primes) if primes else rsa.rsa_recover_prime_factors(n, e, d)
        if p * q != n:
            raise KeyMaterialInvalid("the primes are not those of the modulus")
        numbers = rsa.RSAPrivateNumbers(
            p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q),
            rsa.RSAPublicNumbers(e, n),
        )  # fmt: skip
        key = numbers.private_key()
    except (ValueError, ZeroDivisionError):
        # Without the cause: a message may quote key material.
        raise KeyMaterialInvalid("the numbers are no consistent RSA key") from None
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _curve(parameters: bytes) -> ec.EllipticCurve:
    curve = CURVES.get(parameters)
    if curve is None:
        raise KeySizeInvalid("the curve is not supported")
    return curve


def ec_private(parameters: bytes, scalar: bytes) -> bytes:
    """Return the PKCS #8 of an EC key.

    Args:
        parameters: The curve's object identifier (DER).
        scalar: The private number, big-endian.

    Raises:
        KeySizeInvalid: The curve is not supported.
        KeyMaterialInvalid: The number is none of that curve.
    """
    curve = _curve(parameters)
    number = _number(scalar)
    if number.bit_length() > curve.key_size:
        raise KeyMaterialInvalid("the number is too large for the curve")
    try:
        key = ec.derive_private_key(number, curve)
    except ValueError:
        raise KeyMaterialInvalid("the number is none of the curve") from None
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def ec_public(parameters: bytes, point: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an EC key.

    Args:
        parameters: The curve's object identifier (DER).
        point: The point (SEC 1 2.3.3), with or without a DER octet string around it.

    Raises:
        KeySizeInvalid: The curve is not supported.
        KeyMaterialInvalid: The bytes are no point of that curve.
    """
    curve = _curve(parameters)
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, _unwrapped(point))
    except ValueError as error:
        raise KeyMaterialInvalid("the bytes are no point of the curve") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unwrapped(point: bytes) -> bytes:
    """Return the content of a DER octet string of fewer than 256 bytes; other bytes as they are.

    An uncompressed point begins with the tag of an octet string too, and then its length does not fit.
    """
    for header in (2, 3):
        length = point[header - 1 : header]
        long = header == 2 or point[1:2] == b"\x81"
        if point[:1] == b"\x04" and long and length and length[0] == len(point) - header:
            return point[header:]
    return point
