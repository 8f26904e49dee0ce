"""Upgrades an HSM that an older version created, in one transaction.

The audit log of an HSM that is older than logs begins with an entry that says so. An attacker who emptied the log of
another HSM could try to pass it off as such an HSM. Therefore a database without a log is not enough: the seal of the
settings must say that there was no log when they were sealed. Settings are sealed at initialisation and once more here.
An HSM that was created with a log never had such a seal, and nobody can make one without the master key. An HSM that is
older than logs had one, so an attacker could restore a copy of its old settings; its anchor then shows the rollback, as
for any database.
"""

from __future__ import annotations

from hsmcore.audit.anchor import anchor_of, anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, Head, linked
from hsmcore.audit.log import beginning
from hsmcore.storage.audit import Record
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import StateDirectory


def bring_up_to_date(store: Store, vault: Vault, state: StateDirectory, rules: bytes) -> None:
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
    store.migrate(rules, vault.seal_settings(vault.open_settings(sealed)), record)


def _never_written(anchor: Head | None) -> bool:
    """Tell whether no log of this HSM was ever opened: it has no anchor, or that of an interrupted beginning."""
    return anchor is None or (anchor.count <= 1 and anchor.reboot == FIRST_HEAD.reboot)
