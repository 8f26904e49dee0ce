"""Upgrades an HSM that an older version created.

The audit log of an HSM that is older than logs begins with an entry that says so. An attacker who emptied the log of
another HSM could try to pass it off as such an HSM. Therefore a database without a log is not enough: the seal of the
settings must say that there was no log when they were sealed. Settings are sealed at initialisation and once more here.
An HSM that was created with a log never had such a seal, and nobody can make one without the master key. An HSM that is
older than logs had one, so an attacker could restore a copy of its old settings; its anchor then shows the rollback, as
for any database.

Rows of an older schema have no versions. They get them after the log is open, in entries of their own, and the settings
are sealed again when all rows have one. The same reasoning holds for these settings; ``verify`` also reports a row that
got its first version twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from hsmcore.audit.anchor import anchor_of, anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, Head, linked
from hsmcore.audit.commands import beginning
from hsmcore.audit.events import ROWS_BOUND
from hsmcore.audit.log import AuditLog
from hsmcore.audit.verification import PAGE
from hsmcore.errors import StoreDamaged
from hsmcore.storage.audit import Record
from hsmcore.storage.database import Store
from hsmcore.storage.rows import KeyRow, UserRow
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State

_R = TypeVar("_R", KeyRow, UserRow)
_S = TypeVar("_S", bytes, str)


def bring_up_to_date(store: Store, vault: Vault, state: State, rules: bytes) -> None:
    """Bring the database to the newest schema, and seal that there is a log.

    Args:
        store: The database.
        vault: The vault of its master key.
        state: The state directory.
        rules: The sealed quorum rules of an HSM that has none yet.

    Raises:
        StateError: The database cannot be read or written; the error is usually of a subclass.
    """
    sealed = store.settings()
    if not vault.sealed_before_logs(sealed):
        store.migrate(rules)
        return
    record = None
    if not store.has_log() and _never_written(anchor_of(state, vault)):
        entries, head = linked(beginning(), FIRST_HEAD, vault)
        # First, as at initialisation: if the process ends before the transaction, this anchor counts as none.
        state.write_anchor(anchored(head, vault))
        record = Record(entries, stored(head, vault))
    store.migrate(rules, vault.seal_settings(vault.open_settings(sealed), versions=False), record)


def bind_rows(store: Store, vault: Vault, log: AuditLog) -> None:
    """Give versions to the rows of an older schema, and seal that all rows have them.

    A damaged row keeps none and stays damaged.

    Raises:
        StateError: The database cannot be read or written; the error is usually of a subclass.
    """
    settings = store.settings()
    if not vault.sealed_before_versions(settings):
        return
    users = [user for row in store.users() if (user := _bound(row, vault.open_user, vault.seal_user, store))]
    with log.command(ROWS_BOUND, {}):
        store.bind_rows([], users)
    last = 0
    while rows := store.keys_after(last, PAGE):
        last = rows[-1].handle
        with log.command(ROWS_BOUND, {}):
            keys = [key for row in rows if (key := _bound(row, vault.open_key, vault.seal_key, store))]
            store.bind_rows(keys, [])
    with log.command(ROWS_BOUND, {}):
        sealed, version = store.quorum()
        quorum = vault.seal_quorum(vault.open_quorum(sealed, version), version + 1)
        store.bind_settings(vault.seal_settings(vault.open_settings(settings)), quorum, version + 1)


def _bound(row: _R, opened: Callable[[_R], _S], sealed: Callable[[_R, _S], _R], store: Store) -> _R | None:
    """Return a row with its first version; ``None`` for a damaged one and one of which the log knows a version."""
    first = replace(row, version=1)
    if row.version or store.newest(first.change().subject) is not None:
        return None
    try:
        return sealed(first, opened(row))
    except StoreDamaged:
        return None


def _never_written(anchor: Head | None) -> bool:
    """Tell whether no log of this HSM was ever opened: it has no anchor, or that of an interrupted beginning."""
    return anchor is None or (anchor.count <= 1 and anchor.reboot == FIRST_HEAD.reboot)
