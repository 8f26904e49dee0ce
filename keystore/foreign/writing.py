"""What an export writes: PEM (RFC 7468), and PKCS #12 (RFC 7292) with any number of keys.

``cryptography`` writes a PKCS #12 with one private key, and one with certificates. The file is put together from as
many of these as there are keys: their parts, encrypted, stay as they are, and get one authentication code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from Cryptodome.IO import PKCS8
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, pkcs12
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import char, tag, univ
from pyasn1_modules import rfc5652, rfc7292

from keystore import file as key_store_file
from keystore.foreign.pkcs12 import DATA, FRIENDLY_NAME, SECRET, SHROUDED, mac

_SECRET_OIDS = {"AES": "2.16.840.1.101.3.4.1", "DESEDE": "1.2.840.113549.3.7", "GENERIC_SECRET": "1.2.840.113549.2.9"}
"""The algorithm that the JDK reads a secret key for; a generic secret becomes one for HmacSHA256."""
_PROTECTION = "PBKDF2WithHMAC-SHA256AndAES256-CBC"
_SALT = 20
"""Bytes in a salt, as in the JDK's own files."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key to write, with ``material`` as ``Hsm.clear_value`` returns it; a private one has its chain (DER)."""

    alias: str
    key_type: str
    material: bytes = field(repr=False)
    chain: tuple[bytes, ...] = ()


def write_pem(certificates: Sequence[tuple[str, bytes]]) -> bytes:
    """Return certificates (alias, DER) as text, each under a line with its alias."""
    parts = (
        b"alias: "
        + alias.encode("unicode_escape")
        + b"\n"
        + x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        for alias, der in certificates
    )
    return b"".join(parts)


def write_pkcs12(keys: Sequence[OwnKey], certificates: Sequence[tuple[str, bytes]], password: str) -> bytes:
    """Return an encrypted PKCS #12 that Java reads: the keys, and the certificates (alias, DER) as trusted ones."""
    safes = rfc7292.AuthenticatedSafe()
    safes.extend(_parts(keys, certificates, password))
    content = encoder.encode(safes)
    return bytes(encoder.encode(_outer(content, password)))


def _parts(keys: Sequence[OwnKey], certificates: Sequence[tuple[str, bytes]], password: str) -> Iterator[Any]:
    protection = key_store_file.protection(password)
    issuers: set[bytes] = set()
    for key in keys:
        if not key.chain:
            yield _secret(key, password)
            continue
        more = [der for der in key.chain[1:] if der not in issuers]
        issuers.update(more)
        own, *others = (x509.load_der_x509_certificate(der) for der in (key.chain[0], *more))
        private: Any = load_der_private_key(key.material, None, unsafe_skip_rsa_key_validation=True)
        yield from _safes(pkcs12.serialize_key_and_certificates(key.alias.encode(), private, own, others, protection))
    if certificates:
        named = [
            pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), alias.encode()) for alias, der in certificates
        ]
        yield from _safes(pkcs12.serialize_java_truststore(named, protection))


def _safes(file: bytes) -> Iterator[Any]:
    pfx, _ = decoder.decode(file, asn1Spec=rfc7292.PFX())
    content, _ = decoder.decode(bytes(pfx["authSafe"]["content"]))
    safes, _ = decoder.decode(bytes(content), asn1Spec=rfc7292.AuthenticatedSafe())
    yield from safes


def _secret(key: OwnKey, password: str) -> Any:
    """Return a part with one secret key, in the form of the JDK: a SecretBag with an EncryptedPrivateKeyInfo."""
    parameters: Any = {"iteration_count": key_store_file.ROUNDS, "salt_size": _SALT}
    wrapped = PKCS8.wrap(key.material, _SECRET_OIDS[key.key_type], password.encode(), _PROTECTION, parameters)
    secret = rfc7292.SecretBag()
    secret["secretTypeId"] = SHROUDED
    secret["secretValue"] = _explicit(univ.OctetString(wrapped))
    name = rfc7292.PKCS12Attribute()
    name["attrType"] = FRIENDLY_NAME
    name["attrValues"].append(encoder.encode(char.BMPString(key.alias)))
    bag = rfc7292.SafeBag()
    bag["bagId"] = SECRET
    bag["bagValue"] = _explicit(secret)
    bag["bagAttributes"].append(name)
    contents = rfc7292.SafeContents()
    contents.append(bag)
    return _data(encoder.encode(contents))


def _explicit(value: Any) -> Any:
    return univ.Any(encoder.encode(value)).subtype(explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 0))


def _data(content: bytes) -> Any:
    info = rfc5652.ContentInfo()
    info["contentType"] = DATA
    info["content"] = _explicit(univ.OctetString(content))
    return info


def _outer(content: bytes, password: str) -> Any:
    digest, salt = SHA256(), os.urandom(_SALT)
    pfx = rfc7292.PFX()
    pfx["version"] = 3
    pfx["authSafe"] = _data(content)
    code = pfx["macData"]
    code["mac"]["digestAlgorithm"]["algorithm"] = "2.16.840.1.101.3.4.2.1"
    code["mac"]["digestAlgorithm"]["parameters"] = encoder.encode(univ.Null(""))
    code["mac"]["digest"] = mac(digest, content, password, salt, key_store_file.ROUNDS)
    code["macSalt"] = salt
    code["iterations"] = key_store_file.ROUNDS
    return pfx
