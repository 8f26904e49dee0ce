"""Adds an HSM to a cluster: its number, and the first entry of its audit log."""

from __future__ import annotations

from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.commands import joining
from hsmcore.errors import MasterKeyUnavailable, StateMissing
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
        secret = open_secret(store.master(), passphrase, lambda: _key(state, key_file))
        member = store.add_member(Vault(secret))
    finally:
        store.close()
    own = Store.at(url, member.number)
    try:
        vault = Vault(secret, member.number)
        entries, head = linked(joining(member.name), FIRST_HEAD, vault)
        own.transactions.append_audit(Record(entries, stored(head, vault)))
        state.write_anchor(anchored(head, vault))
    finally:
        own.close()
    return SharedStore(url, member.number)


def _key(state: StateDirectory, given: bytes | None) -> bytes:
    """Return the content of the key file.

    Raises:
        MasterKeyUnavailable: None was given, and the directory has none.
    """
    if given is None and not state.has_key_file():
        raise MasterKeyUnavailable(
            "a key file seals the master key of this cluster, and the state directory has none; give the master.key of "
            "another HSM of the cluster"
        )
    return state.read_key_file() if given is None else given
