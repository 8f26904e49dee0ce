"""Token keys, which are on disk; recently used ones are also in memory.

Opening an HSM reads none of them, so its time does not depend on their number. A row is opened when its key is first
used; a damaged row affects its own key only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from hsmcore.errors import StoreDamaged
from hsmcore.keys.records import KeyEntry, KeyRecord, Sharing
from hsmcore.keys.search import SearchTemplate
from hsmcore.storage.database import Store
from hsmcore.storage.keys import KeyQuery, Position
from hsmcore.storage.rows import (
    INDEXED,
    KeyRow,
    decode_attributes,
    encode_attributes,
    index_column,
    index_columns,
    key_subject,
)
from hsmcore.storage.sealing import Vault

CACHED = 4096
"""Maximum number of keys in memory; the one that was read first is dropped first."""
MAX_HANDLE = 2**63 - 1
_PAGE = 500
"""Rows in one read."""
_IN_SQL = frozenset({*INDEXED, "TOKEN"})
"""Attributes by which the database selects; TOKEN is true for every row."""

_log = logging.getLogger("hsmcore.keys.token_keys")


@dataclass(frozen=True, slots=True)
class DamagedKey:
    """A stored row that does not open. Its fields may be forged and serve only to report the damage."""

    handle: int
    owner: str

    def error(self) -> StoreDamaged:
        """Return the error for any use of the key."""
        return StoreDamaged(
            f"the stored row of key {self.handle:#018x} is damaged or was edited; restore it from a backup"
        )


class TokenKeys:
    """The token keys. A caller that changes them, or keeps them in memory, holds the HSM's lock."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._cache: dict[int, KeyEntry] = {}

    def __len__(self) -> int:
        return self._store.count_keys(KeyQuery(None))

    def cached(self, handle: int) -> KeyEntry | None:
        """Return a key from memory; ``None`` where it is not there."""
        return self._cache.get(handle)

    def read(self, handle: int) -> KeyEntry | DamagedKey | None:
        """Return a key from memory or disk; ``None`` where it does not exist."""
        entry = self._cache.get(handle)
        if entry is not None:
            return entry
        if not 0 < handle <= MAX_HANDLE:
            return None
        row = self._store.key(handle)
        if row is not None:
            return self._opened(row)
        newest = self._store.newest(key_subject(handle))
        return DamagedKey(handle, "") if newest is not None and newest.live else None

    def put(self, entry: KeyEntry) -> None:
        """Put an entry in memory, in place of the one with its handle."""
        self._cache.pop(entry.handle, None)
        if len(self._cache) >= CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[entry.handle] = entry

    def forget(self, handle: int) -> None:
        """Remove a destroyed key from memory."""
        entry = self._cache.pop(handle, None)
        if entry is not None:
            entry.erase()

    def drop(self, handle: int) -> None:
        """Remove a changed key from memory, so that its next use reads it."""
        self._cache.pop(handle, None)

    def drop_all(self) -> None:
        """Remove every key from memory."""
        self._cache.clear()

    def forget_all(self) -> None:
        """Remove all keys from memory."""
        for handle in list(self._cache):
            self.forget(handle)

    def matching(
        self, user: str | None, template: SearchTemplate, limit: int = 0, after: Position | None = None
    ) -> Iterator[KeyEntry | DamagedKey]:
        """Yield the selected keys that the user sees, oldest first. Includes damaged ones whose columns fit.

        Args:
            user: The user, ``None`` for the keys of all users.
            template: The search template.
            limit: The number of keys that the caller needs, 0 for all. More may follow.
            after: The position after which to begin; ``None`` for the oldest.
        """
        rest = template.without(_IN_SQL)
        for row in self._rows(_query(user, template), 0, 0 if rest.choices else limit, after):
            entry = self.opened(row)
            if isinstance(entry, DamagedKey) or rest.fits(entry.record.attributes):
                yield entry

    @staticmethod
    def countable(template: SearchTemplate) -> bool:
        """Tell whether the database alone can select, as ``count`` and ``rows`` require."""
        return template.choices.keys() <= _IN_SQL

    def count(self, user: str | None, template: SearchTemplate) -> int:
        """Return the number of selected rows that the user sees, damaged ones included."""
        return self._store.count_keys(_query(user, template))

    def rows(self, user: str | None, template: SearchTemplate, first: int, limit: int) -> list[KeyRow]:
        """Return a page of those rows, oldest first: ``limit`` rows (0 for all) after ``first`` others."""
        return list(islice(self._rows(_query(user, template), first, limit), limit or None))

    def halves(self, user: str | None, public_key_info: bytes) -> Iterator[KeyEntry | DamagedKey]:
        """Yield the keys of the pair with this public key that the user sees."""
        return map(self.opened, self._rows(KeyQuery(user, {"public_key_info": (public_key_info,)}), 0, 0))

    def certificates(self, user: str) -> Iterator[KeyEntry | DamagedKey]:
        """Yield the certificates that the user sees, oldest first."""
        return map(self.opened, self._rows(KeyQuery(user, certificates=True), 0, 0))

    def shared_with(self, username: str) -> list[KeyEntry]:
        """Return the keys that are shared with a user, without damaged ones."""
        opened = map(self.opened, self._store.shared_with(username))
        return [entry for entry in opened if isinstance(entry, KeyEntry) and username in entry.sharing.users]

    def _rows(self, query: KeyQuery, first: int, count: int, after: Position | None = None) -> Iterator[KeyRow]:
        """Yield all rows after ``first`` others. One read returns ``count`` of them (0 for all), up to a page."""
        size = min(count, _PAGE) or _PAGE
        rows = self._store.find_keys(query, first, size, after)
        yield from rows
        while len(rows) == size:
            # After the last key and not after so many keys: other threads destroy keys meanwhile.
            last = (rows[-1].created, rows[-1].handle)
            if after is not None and last <= after:
                return  # A time of creation that is no number sorts last.
            after = last
            rows = self._store.find_keys(query, 0, size, after)
            yield from rows

    def opened(self, row: KeyRow) -> KeyEntry | DamagedKey:
        """Return a row as an entry without keeping it in memory, where a long listing would displace keys in use.

        An entry that is not kept has its plain material, which its description needs.
        """
        return self._cache.get(row.handle) or self._opened(row, keep=False)

    def _opened(self, row: KeyRow, *, keep: bool = True) -> KeyEntry | DamagedKey:
        try:
            if row.version != row.newest:
                raise StoreDamaged("the row is not the one that was written last")
            material = self._vault.open_key(row)
            attributes = decode_attributes(row.attributes)
            sharing = Sharing.decode(row.sharing)
            if any(getattr(row, column) != value for column, value in index_columns(attributes).items()):
                raise StoreDamaged("a column differs from its attribute")
        except (StoreDamaged, ValueError, TypeError, KeyError, AttributeError):
            _log.error("the row of key %d is damaged or was edited; the key cannot be used", row.handle)
            return DamagedKey(row.handle, row.owner)
        record = KeyRecord(row.handle, attributes, row.public_key_info)
        entry = KeyEntry(record, row.owner, row.created, sharing, sealed=row.sealed, version=row.version)
        if keep:
            self.put(entry)
        else:
            entry.material = material
        return entry


def _query(user: str | None, template: SearchTemplate) -> KeyQuery:
    columns = {
        INDEXED[name]: tuple(map(index_column, values)) for name, values in template.choices.items() if name in INDEXED
    }
    if True not in template.choices.get("TOKEN", (True,)):
        columns["handle"] = ()
    return KeyQuery(user, columns)


def row_of(entry: KeyEntry) -> KeyRow:
    """Return the row of a key."""
    record = entry.record
    columns = index_columns(record.attributes)
    return KeyRow(
        handle=record.handle,
        owner=entry.owner,
        created=entry.created,
        attributes=encode_attributes(record.attributes),
        public_key_info=record.public_key_info,
        sealed=entry.sealed or b"",
        sharing=entry.sharing.encode(),
        version=entry.version,
        label=columns["label"],
        object_class=columns["object_class"],
        key_type=columns["key_type"],
        key_id=columns["key_id"],
    )
