"""PKCS #12 files (RFC 7292) with any number of keys: what is in which bag, and which certificates are whose.

The structures are decoded with pyasn1, in BER, since not every program writes DER. ``cryptography`` itself reads one
key of a file and no secret keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1, SHA224, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from jks import rfc7292 as pkcs12_kdf
from pyasn1.codec.ber import decoder
from pyasn1.error import PyAsn1Error
from pyasn1_modules import rfc5652, rfc5958, rfc7292

from hsmcore.errors import ForeignKeyPassword, ForeignKeyUnreadable, ForeignStoreDamaged, ForeignStorePassword
from keystore.foreign import pbe
from keystore.foreign.ber import definite
from keystore.foreign.chains import Pool
from keystore.foreign.model import Found, Open, Opened, private_key, secret_key

DATA, ENCRYPTED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.6"
KEY_BAG, SHROUDED, CERTIFICATE, SECRET, NESTED = (f"1.2.840.113549.1.12.10.1.{bag}" for bag in (1, 2, 3, 5, 6))
FRIENDLY_NAME, LOCAL_KEY_ID = "1.2.840.113549.1.9.20", "1.2.840.113549.1.9.21"
X509_CERTIFICATE = "1.2.840.113549.1.9.22.1"
TRUSTED_USAGE = "2.16.840.1.113894.746875.1.1"
"""The attribute by which Java tells a trusted certificate from the links of chains (JDK-8006591)."""

DIGESTS: dict[str, type[HashAlgorithm]] = {
    "1.3.14.3.2.26": SHA1,
    "2.16.840.1.101.3.4.2.4": SHA224,
    "2.16.840.1.101.3.4.2.1": SHA256,
    "2.16.840.1.101.3.4.2.2": SHA384,
    "2.16.840.1.101.3.4.2.3": SHA512,
}
"""Digests of the file's authentication code (RFC 7292, 4)."""

_AES = "2.16.840.1.101.3.4.1"
_SECRET_NAMES = {_AES: "AES", "1.2.840.113549.3.7": "DESede"}
"""JCA's names for the algorithm identifiers that the JDK writes for secret keys; others are generic secrets."""


@dataclass(frozen=True, slots=True)
class _Bag:
    """A bag of the file and the attributes that count."""

    kind: str
    value: bytes
    name: str
    key_id: bytes
    trusted: bool


def read(data: bytes, password: str) -> list[Found]:
    """Read a file: its keys, then the certificates that belong to none.

    Raises ``ForeignStoreDamaged``, ``ForeignStorePassword``.
    """
    try:
        bags = list(_bags(_authenticated(data, password), password))
        return list(_entries(bags))
    except pbe.WrongPassword as error:
        raise ForeignStorePassword("the password is wrong, or the file was changed") from error
    except (PyAsn1Error, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # pyasn1 tells malformed bytes in each of these ways.
        raise ForeignStoreDamaged("the file is damaged, or no PKCS #12: its structure does not decode") from error


def _authenticated(data: bytes, password: str) -> bytes:
    """Return the AuthenticatedSafe, once its code has been checked; a file may have none."""
    pfx, _ = decoder.decode(definite(data), asn1Spec=rfc7292.PFX())
    if str(pfx["authSafe"]["contentType"]) != DATA:
        raise ForeignStoreDamaged("the file is no PKCS #12 that a password protects")
    content = _octets(pfx["authSafe"]["content"])
    if pfx["macData"].isValue:
        given = pfx["macData"]
        oid = str(given["mac"]["digestAlgorithm"]["algorithm"])
        if oid not in DIGESTS:
            raise ForeignStoreDamaged(f"the file's authentication code is not supported: {oid}")
        expected = mac(DIGESTS[oid](), content, password, bytes(given["macSalt"]), int(given["iterations"]))
        if not compare_digest(expected, bytes(given["mac"]["digest"])):
            raise ForeignStorePassword("the password is wrong, or the file was changed")
    return content


def mac(digest: HashAlgorithm, content: bytes, password: str, salt: bytes, rounds: int) -> bytes:
    """Return the authentication code of an AuthenticatedSafe (RFC 7292, 4 and appendix B)."""
    key = pbe.derive(digest.name, pkcs12_kdf.PURPOSE_MAC_MATERIAL, password, salt, rounds, digest.digest_size)
    code = HMAC(key, digest)
    code.update(content)
    return code.finalize()


def _octets(encoded: Any) -> bytes:
    decoded, _ = decoder.decode(bytes(encoded))
    return bytes(decoded)


def _bags(authenticated: bytes, password: str) -> Iterator[_Bag]:
    safes, _ = decoder.decode(definite(authenticated), asn1Spec=rfc7292.AuthenticatedSafe())
    for safe in safes:
        kind = str(safe["contentType"])
        if kind == DATA:
            yield from _contents(_octets(safe["content"]))
        elif kind == ENCRYPTED:
            encrypted, _ = decoder.decode(bytes(safe["content"]), asn1Spec=rfc5652.EncryptedData())
            info = encrypted["encryptedContentInfo"]
            algorithm = info["contentEncryptionAlgorithm"]
            yield from _contents(pbe.decrypt(algorithm, bytes(info["encryptedContent"]), password))
        else:
            raise ForeignStoreDamaged(f"a part of the file is protected in a way that is not supported: {kind}")


def _contents(encoded: bytes) -> Iterator[_Bag]:
    bags, _ = decoder.decode(definite(encoded), asn1Spec=rfc7292.SafeContents())
    for bag in bags:
        kind, value = str(bag["bagId"]), bytes(bag["bagValue"])
        if kind == NESTED:
            yield from _contents(value)
            continue
        attributes = {str(one["attrType"]): bytes(one["attrValues"][0]) for one in bag["bagAttributes"]}
        name, key_id = attributes.get(FRIENDLY_NAME), attributes.get(LOCAL_KEY_ID)
        yield _Bag(
            kind, value,
            _octets(name).decode("utf-16-be") if name else "",
            _octets(key_id) if key_id else b"",
            TRUSTED_USAGE in attributes,
        )  # fmt: skip


def _entries(bags: Sequence[_Bag]) -> Iterator[Found]:
    """Put keys and certificates together; what has no name gets a number, as the JDK does."""
    certificates = [(bag, der) for bag in bags if bag.kind == CERTIFICATE and (der := _certificate(bag.value))]
    pool = Pool(der for _, der in certificates)
    by_id = {bag.key_id: der for bag, der in reversed(certificates) if bag.key_id}
    by_name = {bag.name: der for bag, der in reversed(certificates) if bag.name and not bag.key_id}
    used: set[bytes] = set()
    unnamed = 0
    for bag in bags:
        opener = _OPENERS.get(bag.kind)
        if opener is None:
            continue
        own = by_id.get(bag.key_id) or by_name.get(bag.name)
        chain = pool.chain_of(own) if own and bag.kind != SECRET else ()
        used.update(chain)
        unnamed += not bag.name
        yield Found(bag.name or str(unnamed), chain, opener(bag.value))
    for bag, der in certificates:
        if bag.trusted or der not in used:
            unnamed += not bag.name
            yield Found(bag.name or str(unnamed), (der,))


def _certificate(value: bytes) -> bytes | None:
    bag, _ = decoder.decode(value, asn1Spec=rfc7292.CertBag())
    return _octets(bag["certValue"]) if str(bag["certId"]) == X509_CERTIFICATE else None


def _plain(value: bytes) -> Open:
    return lambda _: private_key(value)


def _shrouded(value: bytes) -> Open:
    return lambda password: private_key(_unshrouded(value, password))


def _secret(value: bytes) -> Open:
    def opened(password: str) -> Opened:
        bag, _ = decoder.decode(value, asn1Spec=rfc7292.SecretBag())
        if str(bag["secretTypeId"]) != SHROUDED:
            raise ForeignKeyUnreadable(f"the secret is of a kind that is not known: {bag['secretTypeId']}")
        # The JDK writes a secret key as if it were a private key.
        info, _ = decoder.decode(_unshrouded(_octets(bag["secretValue"]), password), asn1Spec=rfc5958.PrivateKeyInfo())
        oid = str(info["privateKeyAlgorithm"]["algorithm"])
        name = "AES" if oid.startswith(_AES) else _SECRET_NAMES.get(oid, "")
        return secret_key(name, bytes(info["privateKey"]))

    return _guarded(opened)


def _unshrouded(value: bytes, password: str) -> bytes:
    try:
        info, _ = decoder.decode(value, asn1Spec=rfc5958.EncryptedPrivateKeyInfo())
        return pbe.decrypt(info["encryptionAlgorithm"], bytes(info["encryptedData"]), password)
    except pbe.WrongPassword as error:
        raise ForeignKeyPassword("the password does not open the key") from error
    except ForeignStoreDamaged as error:
        raise ForeignKeyUnreadable(str(error)) from error


def _guarded(opened: Open) -> Open:
    def checked(password: str) -> Opened:
        try:
            return opened(password)
        except (PyAsn1Error, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ForeignKeyUnreadable("the key is damaged: its structure does not decode") from error

    return checked


_OPENERS: dict[str, Callable[[bytes], Open]] = {
    KEY_BAG: _plain,
    SHROUDED: lambda value: _guarded(_shrouded(value)),
    SECRET: _secret,
}
