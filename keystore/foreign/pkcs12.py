"""PKCS #12 files, read twice: by Java's key store, and by OpenSSL through ``cryptography``.

Java reads any number of private and secret keys. It ignores certificates without a key or an attribute of trust, folds
the case of aliases, and lacks some of OpenSSL's encryption algorithms and non-ASCII passwords. OpenSSL reads all
certificates with their names, but only one private key and no secret keys.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from hsmcore.errors import (
    ForeignKeyPassword,
    ForeignKeyUnreadable,
    ForeignStoreDamaged,
    ForeignStorePassword,
    HsmError,
)
from keystore.foreign.model import Found, JavaReader, Open, Opened, private_key


def read(data: bytes, password: str, java: JavaReader) -> list[Found]:
    """Return the entries that Java or OpenSSL reads.

    Raises:
        ForeignStoreDamaged: Neither can read the file, and Java reports another cause than the password.
        ForeignStorePassword: Neither opens the file with the password.
    """
    failure: HsmError | None = None
    entries: list[Found] = []
    try:
        entries = java("PKCS12", data, password)
    except (ForeignStoreDamaged, ForeignStorePassword) as error:
        # Java limits the iterations of a file; OpenSSL would compute for hours.
        if "iteration count too large" in str(error):
            raise
        failure = error
    bundle = _bundle(data, password)
    if bundle is not None:
        return list(_completed(entries, bundle, _opener(data, password)))
    if failure is not None:
        raise failure
    return entries


def _bundle(data: bytes, password: str) -> pkcs12.PKCS12KeyAndCertificates | None:
    """Return the content that OpenSSL reads; ``None`` if it fails, or if the first key has its own password."""
    with warnings.catch_warnings():
        # `cryptography` warns about files in BER, such as Bouncy Castle's.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return pkcs12.load_pkcs12(data, password.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None


def _opener(data: bytes, password: str) -> Open:
    """Return a function that reads the file again, so that the key is in memory only while it is needed."""

    def opened(candidate: str) -> Opened:
        bundle = _bundle(data, password) if candidate == password else None
        if bundle is None or bundle.key is None:
            raise ForeignKeyPassword("the password does not open the key")
        try:
            return private_key(bundle.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        except ValueError as error:
            raise ForeignKeyUnreadable(f"the key is damaged: {error}") from error

    return opened


def _completed(entries: Sequence[Found], bundle: pkcs12.PKCS12KeyAndCertificates, open_key: Open) -> Iterator[Found]:
    """Yield Java's entries under their names in the file, then entries that only OpenSSL reads."""
    own = None if bundle.cert is None else bundle.cert.certificate
    certificates = [*([] if bundle.cert is None else [bundle.cert]), *bundle.additional_certs]
    named = [(one.certificate.public_bytes(Encoding.DER), one.friendly_name or b"") for one in certificates]
    names = {der: name.decode("utf-8", "replace") for der, name in reversed(named)}
    chain = () if own is None else _chain(own, [one.certificate for one in bundle.additional_certs])
    missing = bundle.key is not None
    used: set[bytes] = set()
    aliases: set[str] = set()
    for entry in entries:
        name = names.get(entry.chain[0], "") if entry.chain else ""
        alias = name if name.lower() == entry.alias.lower() else entry.alias
        first = entry.open is not None and entry.chain[:1] == chain[:1]
        missing = missing and not first
        used.update(entry.chain)
        aliases.add(alias.casefold())
        # OpenSSL opens the first key, because it has more algorithms. A key without a certificate may be another one.
        yield replace(entry, alias=alias, open=open_key if first and chain else entry.open)
    free = (str(number) for number in range(1, len(entries) + len(named) + 2))
    unnamed = (number for number in free if number not in aliases)
    if missing:
        used.update(chain)
        yield Found((names.get(chain[0]) if chain else None) or next(unnamed), chain, open_key)
    for der, _ in named:
        if der not in used:
            yield Found(names[der] or next(unnamed), (der,))


def _chain(own: x509.Certificate, pool: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    """Return the certificate and its issuers, found by name as Java does."""
    chain = [own]
    while chain[-1].issuer != chain[-1].subject:
        issuer = next((one for one in pool if one.subject == chain[-1].issuer and one not in chain), None)
        if issuer is None:
            break
        chain.append(issuer)
    return tuple(one.public_bytes(Encoding.DER) for one in chain)
