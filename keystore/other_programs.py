"""Entries of a PKCS #12 file that another program wrote, as the JDK's own key store shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keystore.certificates import parsed
from keystore.entries import Entry, Kind
from keystore.pkcs12 import Bag

_LONGEST_CHAIN = 32
_TIME = re.compile(rb"Time (\d{1,16})")
"""The local key ID in files of the JDK: the creation date, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Certificate:
    encoded: bytes
    subject: bytes
    issuer: bytes
    begins: int
    """In milliseconds since 1970."""


def entries(bags: Sequence[Bag]) -> tuple[dict[str, Entry], int]:
    """Return the entries by alias, and the number of keys and untrusted certificates that are not in them.

    The certificates of a key become an entry for the key with this label in the HSM; the key in the file is ignored.
    Other certificates become entries if Java has marked them as trusted.
    """
    certificates = [(bag, _read(bag.certificate)) for bag in bags if bag.certificate is not None]
    by_id = {bag.key_id: certificate for bag, certificate in reversed(certificates) if bag.key_id}
    by_subject = {certificate.subject: certificate for _, certificate in reversed(certificates)}
    found: dict[str, Entry] = {}
    used: set[bytes] = set()
    unnamed = left = 0
    for bag in bags:
        unnamed += not bag.name and (bag.certificate is None or bag.trusted)
        alias = bag.name or str(unnamed)
        if bag.certificate is None:
            left += 1
            own = by_id.get(bag.key_id)
            if own is not None:
                chain = tuple(_chain(own, by_subject))
                used.update(chain)
                found[alias] = Entry(Kind.KEY, chain, _created(bag, own))
        elif bag.trusted:
            used.add(bag.certificate)
            found[alias] = Entry(Kind.TRUSTED, (bag.certificate,), _read(bag.certificate).begins)
    return found, left + sum(certificate.encoded not in used for _, certificate in certificates)


def _read(encoded: bytes) -> _Certificate:
    certificate = parsed(encoded)
    begins = int(certificate.not_valid_before_utc.timestamp() * 1000)
    return _Certificate(encoded, certificate.subject.public_bytes(), certificate.issuer.public_bytes(), begins)


def _chain(own: _Certificate, by_subject: Mapping[bytes, _Certificate]) -> Iterator[bytes]:
    """Return the chain by the names of the issuers. It does not verify signatures; a user of the chain does."""
    seen: set[bytes] = set()
    last: _Certificate | None = own
    while last is not None and last.encoded not in seen and len(seen) < _LONGEST_CHAIN:
        yield last.encoded
        seen.add(last.encoded)
        last = by_subject.get(last.issuer) if last.issuer != last.subject else None


def _created(bag: Bag, own: _Certificate) -> int:
    time = _TIME.fullmatch(bag.key_id)
    return int(time.group(1)) if time else own.begins
