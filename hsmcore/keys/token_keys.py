"""Token keys: all of them on disk, those used last in memory too.

Opening an HSM reads none of them, so that it takes as long with a hundred thousand keys as with ten. A row is opened
when its key is first asked for: one that was edited or damaged hurts its own key only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from hsmcore.errors import StoreDamaged
from hsmcore.keys.records import Entry, KeyRecord, Sharing
from hsmcore.keys.search import SearchTemplate
from hsmcore.storage.database import Store
from hsmcore.storage.keys import KeyQuery
from hsmcore.storage.rows import KeyRow, decode_attributes, encode_attributes
from hsmcore.storage.sealing import Vault
from hsmcore.tables.attributes import Value

CACHED = 4096
"""Keys that are kept in memory; the one that has been there longest goes first."""
MAX_HANDLE = 2**63 - 1
_PAGE = 500
"""Rows that are read at a time."""
_INDEXED = {"LABEL": "label", "OBJECT_CLASS": "object_class", "KEY_TYPE": "key_type", "ID": "key_id"}
"""Attributes that are columns too."""
_IN_SQL = frozenset({*_INDEXED, "TOKEN"})
"""Attributes that the database selects by: all that are there are token keys."""

_log = logging.getLogger("hsmcore.keys.token_keys")


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """A stored row that does not open. What it claims may be forged: it serves to report the damage, nothing else."""

    handle: int
    owner: str

    def error(self) -> StoreDamaged:
        """Return what the use of this key raises."""
        return StoreDamaged(f"the stored row of key {self.handle} is damaged or was edited; restore it from a backup")


class TokenKeys:
    """The token keys. Whoever calls holds the HSM's lock; ``cached`` alone needs none."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._cache: dict[int, Entry] = {}

    def __len__(self) -> int:
        return self._store.count_keys(KeyQuery(None))

    def cached(self, handle: int) -> Entry | None:
        """Return a key that is in memory."""
        return self._cache.get(handle)

    def read(self, handle: int) -> Entry | DamagedEntry | None:
        """Return a key, from memory or from disk."""
        entry = self._cache.get(handle)
        if entry is not None:
            return entry
        row = self._store.key(handle) if 0 < handle <= MAX_HANDLE else None
        return None if row is None else self._opened(row)

    def put(self, entry: Entry) -> None:
        """Keep a key in memory, in place of the one with its handle."""
        self._cache.pop(entry.handle, None)
        if len(self._cache) >= CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[entry.handle] = entry

    def forget(self, handle: int) -> None:
        """Drop a key that was destroyed from memory."""
        entry = self._cache.pop(handle, None)
        if entry is not None:
            entry.erase()

    def matching(self, user: str | None, wanted: SearchTemplate, limit: int = 0) -> Iterator[Entry | DamagedEntry]:
        """Yield the selected keys that the user sees, in the order in which they were made; damaged ones may fit."""
        rest = wanted.without(_IN_SQL)
        for row in self._rows(_query(user, wanted), 0, 0 if rest.choices else limit):
            entry = self.opened(row)
            if isinstance(entry, DamagedEntry) or rest.fits(entry.record.attributes):
                yield entry

    @staticmethod
    def countable(wanted: SearchTemplate) -> bool:
        """Tell whether the database alone knows which keys are selected, so that ``count`` and ``rows`` are right."""
        return wanted.choices.keys() <= _IN_SQL

    def count(self, user: str | None, wanted: SearchTemplate) -> int:
        """Return how many rows of selected keys the user sees, damaged ones included."""
        return self._store.count_keys(_query(user, wanted))

    def rows(self, user: str | None, wanted: SearchTemplate, first: int, limit: int) -> list[KeyRow]:
        """Return ``limit`` (0 is none) of those rows, from the ``first`` on, in the order in which keys were made."""
        return list(islice(self._rows(_query(user, wanted), first, limit), limit or None))

    def halves(self, user: str | None, public_key_info: bytes) -> Iterator[Entry | DamagedEntry]:
        """Yield the halves of the pair with this public key that the user sees."""
        return map(self.opened, self._rows(KeyQuery(user, {"public_key_info": (public_key_info,)}), 0, 0))

    def shared_with(self, username: str) -> list[Entry]:
        """Return the keys that are shared with a user; a damaged row names nobody."""
        opened = map(self.opened, self._store.shared_with(username))
        return [entry for entry in opened if isinstance(entry, Entry) and username in entry.sharing.users]

    def _rows(self, query: KeyQuery, first: int, wanted: int) -> Iterator[KeyRow]:
        """Yield all rows from the ``first`` on; so many at a time that those wanted (0 is all) are read at once."""
        size = min(wanted, _PAGE) or _PAGE
        while True:
            rows = self._store.find_keys(query, first, size)
            yield from rows
            if len(rows) < size:
                return
            first += size

    def opened(self, row: KeyRow) -> Entry | DamagedEntry:
        """Return a row as an entry; a long listing does not push the keys in use out of memory."""
        return self._cache.get(row.handle) or self._opened(row, keep=False)

    def _opened(self, row: KeyRow, *, keep: bool = True) -> Entry | DamagedEntry:
        try:
            self._vault.open_key(row)
            attributes = decode_attributes(row.attributes)
            sharing = Sharing.decode(row.sharing)
            if (row.label, row.object_class, row.key_type, row.key_id) != _columns(attributes):
                raise StoreDamaged("a column differs from its attribute")
        except (StoreDamaged, ValueError, TypeError, KeyError, AttributeError):
            _log.error("the row of key %d is damaged or was edited; the key cannot be used", row.handle)
            return DamagedEntry(row.handle, row.owner)
        record = KeyRecord(row.handle, attributes, row.public_key_info)
        entry = Entry(record, row.owner, row.created, sharing, sealed=row.sealed)
        if keep:
            self.put(entry)
        return entry


def _query(user: str | None, wanted: SearchTemplate) -> KeyQuery:
    columns = {
        _INDEXED[name]: tuple(map(_column, values)) for name, values in wanted.choices.items() if name in _INDEXED
    }
    if True not in wanted.choices.get("TOKEN", (True,)):
        columns["handle"] = ()
    return KeyQuery(user, columns)


def _column(value: Value) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _columns(attributes: Mapping[str, Value]) -> tuple[str, ...]:
    return tuple(_column(attributes[name]) for name in _INDEXED)


def row_of(entry: Entry) -> KeyRow:
    """Return a key as it is stored."""
    record = entry.record
    label, object_class, key_type, key_id = _columns(record.attributes)
    return KeyRow(
        record.handle,
        entry.owner,
        entry.created,
        encode_attributes(record.attributes),
        record.public_key_info,
        entry.sealed or b"",
        label,
        object_class,
        key_type,
        entry.sharing.encode(),
        key_id,
    )
