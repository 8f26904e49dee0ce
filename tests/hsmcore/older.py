"""An HSM's database as the first schema had it: what the later migrations did, undone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hsmcore.primitives.secrecy import Sealer
from hsmcore.storage.database import Store
from hsmcore.storage.rows import context
from hsmcore.storage.sealing import Vault, open_secret, seal_secret

FIRST = "0001"
_ADDED = {
    "hsm": ("quorum", "serial", "quorum_version", "changes", "quorum_tokens", "quorum_tokens_version"),
    "users": ("number", "mfa_key", "quorum_key", "version"),
    "keys": ("label", "object_class", "key_type", "sharing", "key_id", "version"),
}
"""Columns by table."""
_TABLES = ("audit", "audit_head", "shares", "versions", "hsms", "changes", "requests")
_INDEXES = ("keys_by_time", "keys_by_label", "keys_by_owner", "keys_by_public_key", "keys_by_id")


def make_first(home: Path) -> None:
    """Take a closed HSM, one with a key file, back to the first schema, to before there was an audit log."""
    seal_settings_as_before_logs(home)
    seal_rows_without_versions(home)
    (home / "audit.anchor").unlink()
    make_first_schema(home)


def seal_rows_without_versions(home: Path) -> None:
    """Seal keys and users as the versions did whose rows had no versions, which takes the master key."""
    store = Store.in_file(home / "hsm.db")
    vault = Vault(open_secret(store.master(), None, (home / "master.key").read_bytes))
    users = [vault.seal_user(replace(row, version=0), vault.open_user(row)) for row in store.users()]
    keys = [vault.seal_key(replace(row, version=0), vault.open_key(row)) for row in store.keys_after(0, 1000)]
    store.close()
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        verifiers = [(row.verifier, row.username, row.role) for row in users]
        connection.executemany("UPDATE users SET version = 0, verifier = ? WHERE username = ? AND role = ?", verifiers)
        sealed = [(row.sealed, row.handle) for row in keys]
        connection.executemany("UPDATE keys SET version = 0, material = ? WHERE handle = ?", sealed)


def seal_settings_as_before_logs(home: Path) -> None:
    """Seal the settings as the versions did that had no audit log and no domain key, which takes the master key."""
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        master, sealed = connection.execute("SELECT master, settings FROM hsm").fetchone()
        file_key = (home / "master.key").read_bytes()
        key = open_secret(master, None, lambda: file_key)[:32]
        settings = Sealer(key).seal(Vault(key).open_settings(sealed), context("settings"))
        connection.execute("UPDATE hsm SET settings = ?, master = ?", (settings, seal_secret(key, None, file_key)))


def make_first_schema(home: Path) -> None:
    """Take a closed HSM's database back to the first schema, as somebody can without the master key."""
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        for index in _INDEXES:
            connection.execute(f"DROP INDEX {index}")
        for table in _TABLES:
            connection.execute(f"DROP TABLE {table}")
        for table, columns in _ADDED.items():
            for column in columns:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = ?", (FIRST,))
