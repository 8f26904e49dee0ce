"""Comparison of the stored rows with the changes that the audit log names.

A row that was put back, edited, deleted or added without the HSM differs from the newest change of its subject.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from hsmcore.errors import StoreDamaged
from hsmcore.storage.database import Store
from hsmcore.storage.rows import QUORUM, QUORUM_TOKENS, UNKNOWN, Change, KeyRow, decode_attributes, index_columns
from hsmcore.storage.sealing import Vault

_PAGE = 500


class StoredRows:
    """The rows of users, keys and quorum values in the database."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    def faults(self, log: Mapping[str, Change] | None, suspects: Collection[str] | None = None) -> dict[str, str]:
        """Return a description of each row that is not the newest one, by subject.

        Args:
            log: The newest change that the log has for each subject; ``None`` for a log with missing or changed
                entries, where the index of versions has to do.
            suspects: The subjects to compare; ``None`` for all.
        """
        faults = {}
        missing = {subject for subject, change in (log or {}).items() if change.live}
        for change, index, whole in self._rows():
            missing.discard(change.subject)
            newest = Change(change.subject, index, live=index != UNKNOWN) if log is None else log.get(change.subject)
            text = _fault(change, newest, index, whole=whole)
            if text:
                faults[change.subject] = f"the stored row of {_named(change.subject)} {text}"
        faults |= {subject: f"the stored row of {_named(subject)} was removed" for subject in sorted(missing)}
        return faults if suspects is None else {name: text for name, text in faults.items() if name in suspects}

    def _rows(self) -> Iterator[tuple[Change, int, bool]]:
        """Yield each row's version, the newest version by the index, and whether the row opens."""
        sealed, version = self._store.quorum()
        index = self._store.newest(QUORUM)
        yield (
            Change(QUORUM, version),
            index.version if index else UNKNOWN,
            _opens(self._vault.open_quorum, sealed, version),
        )
        sealed, version, newest = self._store.quorum_tokens()
        if version or newest:
            yield Change(QUORUM_TOKENS, version), newest, _opens(self._vault.open_quorum_tokens, sealed, version)
        for user in self._store.users():
            yield user.change(), user.newest, _opens(self._vault.open_user, user)
        last = 0
        while rows := self._store.keys_after(last, _PAGE):
            last = rows[-1].handle
            for row in rows:
                yield row.change(), row.newest, self._opens_key(row)

    def _opens_key(self, row: KeyRow) -> bool:
        if not _opens(self._vault.open_key, row):
            return False
        columns = index_columns(decode_attributes(row.attributes))
        return all(getattr(row, column) == value for column, value in columns.items())


def _opens(opened: Callable[..., object], *sealed: object) -> bool:
    try:
        opened(*sealed)
    except StoreDamaged:
        return False
    return True


def _fault(stored: Change, newest: Change | None, index: int, *, whole: bool) -> str:
    """Return the fault of a row as the end of a sentence; empty where there is none."""
    if newest is None:
        return "is not in the log"
    if not newest.live:
        return "was put back after it had been deleted"
    if not whole:
        return "was changed"
    if stored.version != newest.version:
        return f"was put back: its version is {stored.version}, the newest one is {newest.version}"
    return "" if index == newest.version else "has a changed entry in the index of versions"


def _named(subject: str) -> str:
    kind, _, name = subject.partition("/")
    if kind == "key":
        return f"key {name}"
    role, _, username = name.partition("/")
    if kind == "user":
        return f"user {username!r} ({role})"
    return "the quorum values" if subject == QUORUM else "the quorum tokens"
