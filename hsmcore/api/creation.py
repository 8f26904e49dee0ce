"""The database of an HSM: which one it is, and its first content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.commands import first_entries
from hsmcore.errors import MasterKeyUnavailable, StateError
from hsmcore.quorum.rules import Rules
from hsmcore.settings import FirstUser, Settings
from hsmcore.storage.audit import Record
from hsmcore.storage.database import FIRST_HSM, Part, Store
from hsmcore.storage.rows import QUORUM, Change
from hsmcore.storage.sealing import Vault
from hsmcore.storage.snapshot import HsmRow
from hsmcore.storage.state_directory import SharedStore, State, StateDirectory
from hsmcore.users.first_users import first_rows


def create(
    sealed: bytes, users: Sequence[FirstUser], settings: Settings, store: Store, vault: Vault, state: State
) -> None:  # fmt: skip
    """Write a new HSM with these users to an empty database.

    Args:
        sealed: The sealed master key.
        users: The first users.
        settings: The settings.
        store: The database.
        vault: The vault of the master key.
        state: Takes the anchor of the audit log.
    """
    rows = first_rows(users, vault)
    changes = [Change(QUORUM, 1), *(row.change() for row in rows)]
    entries, head = linked(first_entries(rows, changes), FIRST_HEAD, vault)
    state.write_anchor(anchored(head, vault))
    if settings.allow_reset:
        settings = replace(settings, first_users=tuple(users))
    rules = vault.seal_quorum(Rules().encode(), 1)
    row = HsmRow(sealed, vault.seal_settings(settings.encode()), rules, 1)
    store.initialize(row, [Part(Record(entries, stored(head, vault), changes=changes), rows)])


def database_of(state: StateDirectory) -> Store:
    """Return the database of the HSM in a directory."""
    shared = state.shared_store()
    return Store.in_file(state.database) if shared is None else Store.at(shared.url, shared.number)


@contextmanager
def new_state(home: Path, passphrase: bytes | None, store: str | None) -> Iterator[tuple[StateDirectory, Store, bytes]]:
    """Yield the state directory and the database of a new HSM, and the bytes of its key file, empty with a passphrase.

    The block or its caller releases them; an error in the block does.

    Raises:
        MasterKeyUnavailable: The passphrase is empty.
        StateError: The directory or the database has an HSM already, or cannot be used.
    """
    if passphrase == b"":
        raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
    state = StateDirectory(home, create=True)
    database = None
    try:
        database = _new_database(state, store)
        yield state, database, state.make_key_file() if passphrase is None else b""
    except BaseException:
        release(state, database)
        raise


def _new_database(state: StateDirectory, url: str | None) -> Store:
    """Return the empty database of a new HSM.

    Raises:
        StateError: The directory or the database has an HSM already.
    """
    here = f"there is an HSM in {state.home} already, which was not changed; choose another directory"
    shared = state.shared_store()
    if shared is not None and shared.url != url:
        before = Store.at(shared.url, shared.number)
        try:
            if url is None or before.exists():
                raise StateError(here)
        finally:
            before.close()
    if url is None:
        state.make_database()
    database = Store.in_file(state.database) if url is None else Store.at(url, FIRST_HSM)
    try:
        if database.exists():
            there = "there is an HSM in that database already, which was not changed; `hsm join` adds another to it"
            raise StateError(here if url is None else there)
        if url is not None:
            state.keep_shared_store(SharedStore(url, FIRST_HSM))
    except BaseException:
        database.close()
        raise
    return database


def release(state: State, store: Store | None) -> None:
    """Close the database before the lock is released, so that the next process finds it closed."""
    try:
        if store is not None:
            store.close()
    finally:
        state.close()
