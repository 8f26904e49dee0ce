"""Keys in the HSM made from the numbers of the vectors, and one JCA call a case."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.jca import PROVIDER, cipher, gcm_parameters, imported_secret, java
from tests.jca import verify as verified

_TRANSPORT = bytes(range(32))


def number(hexadecimal: str) -> Any:
    """Return a ``BigInteger`` from unsigned hexadecimal digits."""
    return java("java.math.BigInteger")(hexadecimal, 16)


def secret_key(algorithm: str, material: bytes) -> Any:
    """Put a raw secret key into the HSM through the key store, as ``keytool -importpass`` would, and return it."""
    return imported_secret(material, algorithm, f"vector-{algorithm}-{sha256(material).hexdigest()}")


def session_secret(material: bytes, algorithm: str) -> Any:
    """Bring a raw secret key into the HSM as a session key: AES-GCM under a key that both sides know."""
    transport = imported_secret(_TRANSPORT, "AES", "transport")
    sealed = AESGCM(_TRANSPORT).encrypt(bytes(12), material, None)
    reader = cipher("AES/GCM/NoPadding", "unwrap", transport, gcm_parameters(bytes(12)))
    return reader.unwrap(sealed, algorithm, java("javax.crypto.Cipher").SECRET_KEY)


@cache
def rsa_public(modulus: str, exponent: str) -> Any:
    """Return an RSA public key that lives in the HSM."""
    spec = java("java.security.spec.RSAPublicKeySpec")(number(modulus), number(exponent))
    return java("java.security.KeyFactory").getInstance("RSA", PROVIDER).generatePublic(spec)


def rsa_private(values: dict[str, str]) -> Any:
    """Put an RSA private key into the HSM from the fields of an example."""
    names = ("modulus", "public exponent", "exponent", "prime 1", "prime 2", "prime exponent 1", "prime exponent 2")
    numbers = [number(values[name]) for name in (*names, "coefficient")]
    spec = java("java.security.spec.RSAPrivateCrtKeySpec")(*numbers)
    return java("java.security.KeyFactory").getInstance("RSA", PROVIDER).generatePrivate(spec)


@cache
def ec_parameters(curve: str) -> Any:
    """Return the ``ECParameterSpec`` of a curve by its SECG name."""
    if curve == "secp256k1":
        return _secp256k1()
    parameters = java("java.security.AlgorithmParameters").getInstance("EC")
    parameters.init(java("java.security.spec.ECGenParameterSpec")(curve))
    return parameters.getParameterSpec(java("java.security.spec.ECParameterSpec").class_)


def _secp256k1() -> Any:
    """Return secp256k1 by its numbers (SEC 2, 2.4.1): the JDK dropped the curve in release 16."""
    field = java("java.security.spec.ECFieldFp")(
        number("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F")
    )
    curve = java("java.security.spec.EllipticCurve")(field, number("0"), number("7"))
    x = number("79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798")
    y = number("483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8")
    order = number("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141")
    return java("java.security.spec.ECParameterSpec")(curve, java("java.security.spec.ECPoint")(x, y), order, 1)


def ec_public(curve: str, x: str, y: str) -> Any:
    """Return an EC public key that lives in the HSM."""
    point = java("java.security.spec.ECPoint")(number(x), number(y))
    spec = java("java.security.spec.ECPublicKeySpec")(point, ec_parameters(curve))
    return java("java.security.KeyFactory").getInstance("EC", PROVIDER).generatePublic(spec)


def verify(algorithm: str, key: Any, message: bytes, signature: bytes, parameters: Any = None) -> bool:
    """Verify; a signature that is not even well-formed counts as refused."""
    try:
        return verified(algorithm, key, message, signature, parameters=parameters)
    except java("java.security.SignatureException"):
        return False


def crypt(
    transformation: str, encrypting: bool, key: Any, data: bytes, parameters: Any = None, aad: bytes = b""
) -> bytes:
    """Encrypt or decrypt in one call."""
    made = cipher(transformation, "encrypt" if encrypting else "decrypt", key, parameters)
    if aad:
        made.updateAAD(aad)
    return bytes(made.doFinal(data))
