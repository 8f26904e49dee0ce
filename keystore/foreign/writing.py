"""Writes exports: PEM (RFC 7468), and PKCS #12 (RFC 7292) with any number of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

from keystore import file as key_store_file
from keystore.foreign.model import JavaEntry, JavaWriter

_ALGORITHMS = {"AES": "AES", "DESEDE": "DESede", "GENERIC_SECRET": "HmacSHA256"}
"""JCA name of a secret key's algorithm, by KEY_TYPE."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key to write: its ``material`` in the clear, PKCS #8 or raw, and for a private key its chain (DER)."""

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


def write_pkcs12(
    keys: Sequence[OwnKey], certificates: Sequence[tuple[str, bytes]], password: str, java: JavaWriter
) -> bytes:
    """Return an encrypted PKCS #12 that Java can read, with keys, and certificates (alias, DER) as trusted ones.

    Java itself writes a file with keys, and changes aliases to lower case.

    Raises:
        KeyStoreEntry: Java refuses a chain.
    """
    if keys:
        return java(_entries(keys, certificates, password), password)
    named = [
        pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), alias.encode()) for alias, der in certificates
    ]
    return pkcs12.serialize_java_truststore(named, key_store_file.protection(password))


def _entries(keys: Sequence[OwnKey], certificates: Sequence[tuple[str, bytes]], password: str) -> Iterator[JavaEntry]:
    for key in keys:
        if key.chain:
            yield JavaEntry(key.alias, key.chain, protected=_protected(key.material, password))
        else:
            yield JavaEntry(key.alias, secret=key.material, algorithm=_ALGORITHMS[key.key_type])
    for alias, der in certificates:
        yield JavaEntry(alias, (der,))


def _protected(pkcs8: bytes, password: str) -> bytes:
    """Return an encrypted private key; Java 17 cannot encode every algorithm of the HSM."""
    key = load_der_private_key(pkcs8, None, unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
