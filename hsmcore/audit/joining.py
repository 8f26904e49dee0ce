"""Adds an HSM to a cluster: its number, and the first entry of its audit log."""

from __future__ import annotations

from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.commands import joining
from hsmcore.errors import StateMissing
from hsmcore.storage.audit import Record
from hsmcore.storage.database import FIRST_HSM, Store
from hsmcore.storage.sealing import Vault, open_secret
from hsmcore.storage.state_directory import SharedStore, StateDirectory


def joined(state: StateDirectory, url: str, passphrase: bytes | None, key_file: bytes | None) -> SharedStore:
    """Add an HSM to the cluster in a database, and return what its state directory keeps.

    Args:
        state: The new HSM's state directory.
        url: The URL of the database.
        passphrase: The passphrase that seals the master key; ``None`` where a key file does.
        key_file: The content of that key file; ``None`` where the directory has it.

    Raises:
        StateMissing: The database has no HSM.
    """
    store = Store.at(url, FIRST_HSM)
    try:
        if not store.exists():
            raise StateMissing("there is no HSM in that database; `hsm init --store` makes one")
        secret = open_secret(store.master(), passphrase, lambda: key_file or state.read_key_file())
        member = store.add_member(Vault(secret))
    finally:
        store.close()
    own = Store.at(url, member.number)
    try:
        vault = Vault(secret, member.number)
        entries, head = linked(joining(member.name), FIRST_HEAD, vault)
        own.append_audit(Record(entries, stored(head, vault)))
        state.write_anchor(anchored(head, vault))
    finally:
        own.close()
    return SharedStore(url, member.number)
