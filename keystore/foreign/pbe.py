"""Password-based encryption of PKCS #12 files: which key derivation and cipher an algorithm identifier names.

PBES2 (RFC 8018, 6.2) with PBKDF2, and the schemes of RFC 7292, appendix C, that files are found with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Cryptodome.Cipher import ARC2
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from jks import rfc7292 as pkcs12_kdf
from pyasn1.codec.ber import decoder
from pyasn1_modules import rfc7292, rfc8018

from hsmcore.errors import ForeignStoreDamaged

MAX_ROUNDS = 5_000_000
"""Iterations that are worked for; the JDK refuses files with more (keystore.pkcs12 in java.security)."""


def _aes(key: bytes, iv: bytes, data: bytes) -> bytes:
    return _cbc(AES(key), iv, data)


def _triple_des(key: bytes, iv: bytes, data: bytes) -> bytes:
    return _cbc(TripleDES(key), iv, data)


def _cbc(algorithm: AES | TripleDES, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _rc2(key: bytes, iv: bytes, data: bytes) -> bytes:
    # Not in `cryptography` with an effective length below 128 bits, which the library's annotations do not know.
    parameters: Any = {"iv": iv, "effective_keylen": len(key) * 8}
    return ARC2.new(key, ARC2.MODE_CBC, **parameters).decrypt(data)  # noqa: S304 - files are encrypted with it


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A cipher in CBC mode with PKCS #7 padding; sizes in bytes."""

    decrypt: Callable[[bytes, bytes, bytes], bytes]
    key: int
    block: int


_PBES2 = "1.2.840.113549.1.5.13"
_PBKDF2 = "1.2.840.113549.1.5.12"

_CIPHERS = {
    "2.16.840.1.101.3.4.1.2": _Scheme(_aes, 16, 16),
    "2.16.840.1.101.3.4.1.22": _Scheme(_aes, 24, 16),
    "2.16.840.1.101.3.4.1.42": _Scheme(_aes, 32, 16),
    "1.2.840.113549.3.7": _Scheme(_triple_des, 24, 8),
}
"""Encryption schemes of PBES2 (RFC 8018, B.2; NIST's arc for AES)."""

_PRFS: dict[str, type[hashes.HashAlgorithm]] = {
    "1.2.840.113549.2.7": hashes.SHA1,
    "1.2.840.113549.2.8": hashes.SHA224,
    "1.2.840.113549.2.9": hashes.SHA256,
    "1.2.840.113549.2.10": hashes.SHA384,
    "1.2.840.113549.2.11": hashes.SHA512,
}
"""HMACs of PBKDF2 (RFC 8018, B.1.2)."""

_PKCS12 = {
    "1.2.840.113549.1.12.1.3": _Scheme(_triple_des, 24, 8),
    "1.2.840.113549.1.12.1.4": _Scheme(_triple_des, 16, 8),
    "1.2.840.113549.1.12.1.5": _Scheme(_rc2, 16, 8),
    "1.2.840.113549.1.12.1.6": _Scheme(_rc2, 5, 8),
}
"""Schemes of RFC 7292, appendix C, with SHA-1."""


class WrongPassword(ValueError):
    """The padding is wrong after decryption."""


def decrypt(algorithm: Any, data: bytes, password: str) -> bytes:
    """Decrypt with the scheme of an AlgorithmIdentifier (decoded).

    Raises ``WrongPassword``, and ``ForeignStoreDamaged`` for a scheme that is not in the tables or whose parameters are
    wrong.
    """
    oid = str(algorithm["algorithm"])
    parameters = bytes(algorithm["parameters"])
    if oid == _PBES2:
        scheme, key, iv = _pbes2(parameters, password)
    elif oid in _PKCS12:
        scheme = _PKCS12[oid]
        key, iv = _pkcs12(parameters, scheme, password)
    else:
        raise ForeignStoreDamaged(f"the file is encrypted with a scheme that is not supported: {oid}")
    if not data or len(data) % scheme.block or len(iv) != scheme.block:
        raise ForeignStoreDamaged("the file is damaged: encrypted data is not made of whole blocks")
    unpadder = padding.PKCS7(scheme.block * 8).unpadder()
    try:
        return unpadder.update(scheme.decrypt(key, iv, data)) + unpadder.finalize()
    except ValueError:
        raise WrongPassword from None


def _pbes2(parameters: bytes, password: str) -> tuple[_Scheme, bytes, bytes]:
    decoded, _ = decoder.decode(parameters, asn1Spec=rfc8018.PBES2_params())
    derivation, encryption = decoded["keyDerivationFunc"], decoded["encryptionScheme"]
    scheme = _CIPHERS.get(str(encryption["algorithm"]))
    if scheme is None or str(derivation["algorithm"]) != _PBKDF2:
        raise ForeignStoreDamaged(
            "the file is encrypted with a scheme that is not supported:"
            f" {derivation['algorithm']} with {encryption['algorithm']}"
        )
    iv, _ = decoder.decode(bytes(encryption["parameters"]))
    return scheme, pbkdf2(bytes(derivation["parameters"]), password, scheme.key), bytes(iv)


def pbkdf2(parameters: bytes, password: str, length: int) -> bytes:
    """Derive a key of that many bytes with PBKDF2 (parameters in DER). Raises ``ForeignStoreDamaged``."""
    decoded, _ = decoder.decode(parameters, asn1Spec=rfc8018.PBKDF2_params())
    oid = str(decoded["prf"]["algorithm"])
    prf = _PRFS.get(oid)
    if prf is None:
        raise ForeignStoreDamaged(f"the file's key derivation is not supported: {oid}")
    salt = bytes(decoded["salt"]["specified"])
    return PBKDF2HMAC(prf(), length, salt, _checked_rounds(int(decoded["iterationCount"]))).derive(password.encode())


def _pkcs12(parameters: bytes, scheme: _Scheme, password: str) -> tuple[bytes, bytes]:
    decoded, _ = decoder.decode(parameters, asn1Spec=rfc7292.Pkcs_12PbeParams())
    salt, rounds = bytes(decoded["salt"]), int(decoded["iterations"])
    key = derive("sha1", pkcs12_kdf.PURPOSE_KEY_MATERIAL, password, salt, rounds, scheme.key)
    iv = derive("sha1", pkcs12_kdf.PURPOSE_IV_MATERIAL, password, salt, rounds, scheme.block)
    # Two-key 3DES is K1, K2, K1.
    return (key + key[:8] if scheme.decrypt is _triple_des and scheme.key == 16 else key), iv


def derive(digest: str, purpose: int, password: str, salt: bytes, rounds: int, length: int) -> bytes:
    """Derive bytes as RFC 7292, appendix B, does. Raises ``ForeignStoreDamaged``."""
    if not salt:
        raise ForeignStoreDamaged("the file is damaged: a salt is empty")
    derived: bytes = pkcs12_kdf.derive_key(
        lambda data=b"": hashlib.new(digest, data, usedforsecurity=True),
        purpose, password, salt, _checked_rounds(rounds), length,
    )  # fmt: skip
    return derived


def _checked_rounds(rounds: int) -> int:
    if not 1 <= rounds <= MAX_ROUNDS:
        raise ForeignStoreDamaged(f"the file asks for {rounds} iterations; 1 to {MAX_ROUNDS} are worked for")
    return rounds
