"""Masked objects: one key or one user, sealed for the HSMs of the security domain.

A masked object can be public: only an HSM of the domain opens it. Layout: ``hsmmask``, version 1 (1 byte), ``K`` for a
key or ``U`` for a user (1 byte), the domain's id (8 bytes), then nonce, ciphertext and tag of AES-256-GCM over a record
of ``hsmcore.backup.records``. The associated data is everything before the nonce.
"""

from __future__ import annotations

import json

from hsmcore.backup.records import key_record, read_key, read_user, user_record
from hsmcore.errors import MaskedObjectForeign, MaskedObjectInvalid
from hsmcore.primitives.secrecy import Sealer
from hsmcore.storage.rows import KeyRow, UserRow, context
from hsmcore.storage.sealing import Domain

_MAGIC = b"hsmmask\1"
_KEY, _USER = b"K", b"U"
_DOMAIN = slice(len(_MAGIC) + 1, len(_MAGIC) + 9)
_HEADER = _DOMAIN.stop
_LONGEST = 1024 * 1024


def mask_key(domain: Domain, row: KeyRow, material: bytes) -> bytes:
    """Return the masked object of a key."""
    return _mask(domain, _KEY, key_record(row, material))


def mask_user(domain: Domain, row: UserRow, verifier: str) -> bytes:
    """Return the masked object of a user; ``verifier`` is the password's hash."""
    return _mask(domain, _USER, user_record(row, verifier))


def _mask(domain: Domain, kind: bytes, record: str) -> bytes:
    header = _MAGIC + kind + bytes.fromhex(domain.id)
    return header + _sealer(domain).seal(record.encode(), context("masked object", header))


def unmask_key(domain: Domain, masked: bytes) -> tuple[KeyRow, bytes]:
    """Return the row of a masked key, not yet sealed, and the key's material.

    Raises:
        MaskedObjectForeign: It was made in another security domain.
        MaskedObjectInvalid: It is not a masked key, or was changed.
        BackupDamaged: Its record is of another version.
    """
    return read_key(_unmask(domain, _KEY, masked))


def unmask_user(domain: Domain, masked: bytes) -> tuple[UserRow, str]:
    """Return the row of a masked user, not yet sealed, and the password's hash.

    Raises:
        MaskedObjectForeign: It was made in another security domain.
        MaskedObjectInvalid: It is not a masked user, or was changed.
        BackupDamaged: Its record is of another version.
    """
    return read_user(_unmask(domain, _USER, masked))


def _unmask(domain: Domain, kind: bytes, masked: bytes) -> object:
    header = masked[:_HEADER]
    if not _HEADER < len(masked) <= _LONGEST or not header.startswith(_MAGIC + kind):
        raise MaskedObjectInvalid("the bytes are not a masked object of that kind")
    if header[_DOMAIN] != bytes.fromhex(domain.id):
        raise MaskedObjectForeign(
            f"the object is of the security domain {header[_DOMAIN].hex()}, and this HSM is of the domain {domain.id}: "
            "only an HSM and its clones, which were restored from its backups, exchange users and keys"
        )
    plain = _sealer(domain).open(masked[_HEADER:], context("masked object", header))
    if plain is None:
        raise MaskedObjectInvalid("the masked object was changed")
    record: object = json.loads(plain)
    return record


def _sealer(domain: Domain) -> Sealer:
    return Sealer(domain.wrapping_key(b"masked object", b""))
