"""The key store file: certificates in a PKCS #12 (RFC 7292), each with the name of its entry.

A certificate's friendly name is ``kind/entry/position/created/alias``: ``key`` or ``trusted``; the number of the entry
in the file and of the certificate in its chain, from 0; milliseconds since 1970; the alias in percent-encoded UTF-8,
because readers of PKCS #12 fold case and drop characters outside the basic plane. One more certificate, named
``hsmbridge-keystore/1``, marks the format and its version, and permits a file without entries.

The certificates carry Java's attribute for trusted certificates, so that ``keytool -storetype PKCS12`` lists them. The
password encrypts them with AES-256-CBC (PBES2) and authenticates them with HMAC-SHA-256. Without a password they are
not encrypted, and the empty password authenticates them. The file never contains key material.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from hsmcore.errors import KeyStoreDamaged, KeyStoreEntry
from keystore import other_programs
from keystore.certificates import parsed
from keystore.entries import Entry, Kind
from keystore.pkcs12 import MAX_BAGS, MAX_BYTES, Bag, read

MARK = b"hsmbridge-keystore/"
"""Prefix of the name of the certificate that marks the format."""
_MARK, _VERSION = MARK.decode(), "1"
_LATEST = 2**53
"""Latest creation date, in milliseconds since 1970."""
ROUNDS = 10_000
"""PBKDF2 rounds for the encryption, as in the JDK's own PKCS #12 files since 2020 (JDK-8076190)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The entries of a file.

    Attributes:
        loses: Why a client must not save the entries; ``None`` if it may.
    """

    entries: dict[str, Entry]
    loses: str | None = None


def encode(entries: Mapping[str, Entry], password: str | None) -> bytes:
    """Return the encoded file. It does not contain entries without a certificate.

    Args:
        entries: The entries by alias, in the order that the file keeps.
        password: ``None`` and the empty password leave the certificates unencrypted.

    Raises:
        KeyStoreEntry: A chain contains bytes that are not a certificate, or there are too many certificates.
    """
    if sum(len(entry.chain) for entry in entries.values()) >= MAX_BAGS:
        raise KeyStoreEntry(f"a key store file has fewer than {MAX_BAGS:,} certificates")
    certificates = [pkcs12.PKCS12Certificate(_marker(), (_MARK + _VERSION).encode()), *_named(entries)]
    return pkcs12.serialize_java_truststore(certificates, protection(password) if password else NoEncryption())


def protection(password: str) -> KeySerializationEncryption:
    """Return the encryption settings of a PKCS #12 under a password of at least one character."""
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )


def decode(file: bytes, password: str | None) -> Decoded:
    """Return the entries of an encoded file, in their order, by alias.

    A PKCS #12 of another program has the entries that the JDK's own key store shows.

    Args:
        password: ``None`` opens a file without a password. For another file it checks the format, and returns only the
            certificates that are not encrypted.

    Raises:
        KeyStoreDamaged: The file is not a PKCS #12 in DER, is damaged or too large, has a newer format, or asks for
            too many iterations.
        KeyStorePassword: The password is wrong, or the file was changed.
    """
    contents = read(file, password)
    versions = [bag.name.removeprefix(_MARK) for bag in contents.bags if bag.name.startswith(_MARK)]
    loses = None
    try:
        if versions:
            _check_version(versions)
            entries = _gathered(bag for bag in contents.bags if not bag.name.startswith(_MARK))
        else:
            entries, left = other_programs.entries(contents.bags)
            if left:
                loses = (
                    f"the PKCS #12 file has {left} keys or untrusted certificates that a CloudHSM key store does not"
                    " contain, so that saving would lose them; `hsm keystore import` imports the keys of such a file"
                )
    except ValueError as error:
        raise KeyStoreDamaged(f"the key store file holds a certificate of an unknown kind: {error}") from error
    if sum(len(der) for entry in entries.values() for der in entry.chain) > MAX_BYTES:
        raise KeyStoreDamaged(f"the certificate chains in the key store file are longer than {MAX_BYTES:,} bytes")
    if not contents.opened:
        loses = "the key store was loaded without its password; saving it would lose its entries"
    return Decoded(entries, loses)


def _named(entries: Mapping[str, Entry]) -> Iterator[pkcs12.PKCS12Certificate]:
    """Return the certificates with their names.

    Raises:
        KeyStoreEntry: A chain contains bytes that are not a certificate.
    """
    for number, (alias, entry) in enumerate(entries.items()):
        for position, der in enumerate(entry.chain):
            name = f"{entry.kind}/{number}/{position}/{entry.created}/{quote(alias, safe='')}"
            try:
                certificate = parsed(der)
            except ValueError as error:
                raise KeyStoreEntry(
                    f"certificate {position} of {alias} is not an X.509 certificate: {error}"
                ) from error
            yield pkcs12.PKCS12Certificate(certificate, name.encode())


def _gathered(bags: Iterable[Bag]) -> dict[str, Entry]:
    """Group certificates into entries, in any order of the certificates."""
    rows = sorted(((*_name_parts(bag.name), bag.certificate or b"") for bag in bags), key=lambda row: row[:2])
    chains: dict[str, list[bytes]] = {}
    entries: dict[str, Entry] = {}
    for _, _, kind, created, alias, der in rows:
        parsed(der)
        chain = chains.setdefault(alias, [])
        chain.append(der)
        entries[alias] = Entry(kind, tuple(chain), created)
    return entries


def _name_parts(name: str) -> tuple[int, int, Kind, int, str]:
    """Return number, position, kind, creation date and alias.

    Raises:
        ValueError: The name is malformed.
    """
    kind, number, position, created, alias = name.split("/")
    if not -_LATEST <= int(created) <= _LATEST:
        raise ValueError(f"creation date {created[:20]}")
    return int(number), int(position), Kind(kind), int(created), unquote(alias, errors="strict")


def _check_version(versions: list[str]) -> None:
    """Check the names of the certificates that mark the format.

    Raises:
        KeyStoreDamaged: The format is not that of this version.
    """
    if versions != [_VERSION]:
        raise KeyStoreDamaged(f"the key store file has format {versions[0]}, which is newer than this hsmbridge")


def _marker() -> x509.Certificate:
    """Return a certificate that certifies nothing, signed by a discarded key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hsmbridge key store (marker, certifies nothing)")])
    past = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), past, past)
    return builder.sign(key, None)
