"""The key store file: certificates in a PKCS #12 (RFC 7292), each with the name of its entry.

A certificate's friendly name is ``kind/entry/position/created/alias``: ``key`` or ``trusted``; the number of the entry
in the file and of the certificate in its chain, from 0; milliseconds since 1970; the alias in percent-encoded UTF-8,
because readers of PKCS #12 fold case and drop characters outside the basic plane. One more certificate, named
``hsmbridge-keystore/1``, marks the format and its version, and permits a file without entries.

The certificates carry Java's attribute for trusted certificates, so that ``keytool -storetype PKCS12`` lists them. The
password encrypts them with AES-256-CBC (PBES2) and authenticates them with HMAC-SHA-256. The file never contains key
material.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat, pkcs12

from hsmcore.errors import KeyStoreDamaged, KeyStorePassword
from keystore.entries import FileEntry, Kind

MARK = b"hsmbridge-keystore/"
"""Prefix of the name of the certificate that marks the format."""
_VERSION = b"1"
ROUNDS = 10_000
"""PBKDF2 rounds for the encryption, as in the JDK's own PKCS #12 files since 2020 (JDK-8076190)."""
_PKCS7_DATA = bytes.fromhex("06092a864886f70d010701")
"""``contentType`` of a password-protected PKCS #12 (RFC 7292, section 4), in DER."""


def write(entries: Mapping[str, FileEntry], password: str | None) -> bytes:
    """Return the encoded file.

    Raises:
        KeyStorePassword: The password is missing or empty.
    """
    if not password:
        raise KeyStorePassword("a key store file needs a password of at least one character")
    certificates = [pkcs12.PKCS12Certificate(_marker(), MARK + _VERSION), *_named(entries)]
    return pkcs12.serialize_java_truststore(certificates, protection(password))


def protection(password: str) -> KeySerializationEncryption:
    """Return the encryption settings of a PKCS #12 under a password."""
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )


def read(file: bytes, password: str) -> dict[str, FileEntry]:
    """Return the entries of an encoded file, in their order, by alias.

    Raises:
        KeyStoreDamaged: The file is not a CloudHSM key store, is truncated or has a newer format.
        KeyStorePassword: The password is wrong, or the file was changed.
    """
    check_form(file)
    try:
        bags = pkcs12.load_pkcs12(file, password.encode()).additional_certs
    except ValueError as error:
        # The authentication code fails alike for a wrong password and for changed bytes.
        raise KeyStorePassword("the key store's password is wrong, or the file was changed") from error
    names = [(bag.friendly_name or b"", bag.certificate.public_bytes(Encoding.DER)) for bag in bags]
    _check_version(names)
    return _gathered((name, der) for name, der in names if not name.startswith(MARK))


def check_form(file: bytes) -> None:
    """Check without a password that the bytes are one complete PKCS #12.

    Raises:
        KeyStoreDamaged: They are not, or more bytes follow.
    """
    length, content = _outer_length(file)
    version_and_type = b"\x02\x01\x03\x30"
    is_pkcs12 = file[content : content + 4] == version_and_type and _PKCS7_DATA in file[content : content + 24]
    if not is_pkcs12:
        raise KeyStoreDamaged("the file is not a CloudHSM key store: it is not a PKCS #12 file")
    if len(file) != content + length:
        raise KeyStoreDamaged(f"the key store file is damaged: {content + length} bytes expected, {len(file)} found")


def _outer_length(file: bytes) -> tuple[int, int]:
    """Return the length and the offset of the outermost sequence's content, in bytes (X.690, 8.1.3)."""
    if len(file) < 6 or file[0] != 0x30:
        return 0, 0
    if file[1] < 0x80:
        return file[1], 2
    count = file[1] & 0x7F
    return int.from_bytes(file[2 : 2 + count], "big"), 2 + count


def _named(entries: Mapping[str, FileEntry]) -> Iterator[pkcs12.PKCS12Certificate]:
    for number, (alias, entry) in enumerate(entries.items()):
        for position, der in enumerate(entry.chain):
            name = f"{entry.kind}/{number}/{position}/{entry.created}/{quote(alias, safe='')}"
            yield pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), name.encode())


def _gathered(names: Iterator[tuple[bytes, bytes]]) -> dict[str, FileEntry]:
    """Group certificates into entries, in any order of the certificates.

    Raises:
        KeyStoreDamaged: A certificate's name is malformed.
    """
    try:
        rows = sorted(((*_parsed(name), der) for name, der in names), key=lambda row: row[:2])
        chains: dict[str, list[bytes]] = {}
        entries: dict[str, FileEntry] = {}
        for _, _, kind, created, alias, der in rows:
            chain = chains.setdefault(alias, [])
            chain.append(der)
            entries[alias] = FileEntry(kind, tuple(chain), created)
    except ValueError as error:
        raise KeyStoreDamaged(f"the key store file holds a certificate of an unknown kind: {error}") from error
    return entries


def _parsed(name: bytes) -> tuple[int, int, Kind, int, str]:
    kind, number, position, created, alias = name.decode().split("/")
    return int(number), int(position), Kind(kind), int(created), unquote(alias, errors="strict")


def _check_version(names: list[tuple[bytes, bytes]]) -> None:
    versions = [name.removeprefix(MARK) for name, _ in names if name.startswith(MARK)]
    if not versions:
        raise KeyStoreDamaged("the file is not a CloudHSM key store: it is a PKCS #12 file of another program")
    if versions != [_VERSION]:
        version = versions[0].decode(errors="replace")
        raise KeyStoreDamaged(f"the key store file has format {version}, which is newer than this hsmbridge")


def _marker() -> x509.Certificate:
    """Return a certificate that certifies nothing, signed by a discarded key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hsmbridge key store (marker, certifies nothing)")])
    past = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), past, past)
    return builder.sign(key, None)
