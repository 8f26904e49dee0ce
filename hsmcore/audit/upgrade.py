"""Brings an HSM that an older version made to this one, in one transaction.

The audit log of an HSM that is older than logs begins with an entry that says so. Everybody who empties the log of
another HSM would like to be taken for that case, so it takes more than a database without a log: settings whose seal
says that there was none when they were sealed. Settings are sealed once in the life of an HSM, and once more here; the
seals of HSMs that were made with a log never said so, and who lacks the master key cannot make such a seal. An HSM that
is older than logs has had one, so a copy of its old settings could be put back; its anchor then tells, as of any
database that was rolled back.
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
        # First, as at the initialisation: what ends this process before the transaction leaves one that counts as none.
        state.write_anchor(anchored(head, vault))
        record = Record(entries, stored(head, vault))
    store.migrate(rules, vault.seal_settings(vault.open_settings(sealed)), record)


def _never_written(anchor: Head | None) -> bool:
    """Tell whether no log of this HSM was ever opened: there is no anchor, or that of a beginning cut short."""
    return anchor is None or (anchor.count <= 1 and anchor.reboot == FIRST_HEAD.reboot)
