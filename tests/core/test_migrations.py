"""The schema: migrations lead to the tables that the code has, and an older HSM goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from hsmcore import Hsm
from hsmcore.errors import MasterKeyUnavailable
from hsmcore.store.schema import HEAD, METADATA

from .conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from .older import FIRST, make_first


def _make_old(home: Path) -> int:
    """Make an HSM as the first schema had it, and return a key of ``cu1``."""
    made = make_site(home)
    with made.hsm as hsm:
        handle = hsm.generate_key(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
    make_first(home)
    return handle


def _revision(home: Path) -> str:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_the_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    make_site(tmp_path / "hsm").hsm.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'hsm' / 'hsm.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_an_hsm_of_the_first_schema_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "hsm"
    handle = _make_old(home)
    for _ in range(2):
        with Hsm.open(home) as hsm:
            assert [(user.number, user.username) for user in hsm.list_users()] == [
                (1, "admin"), (2, "app_user"), (3, "cu1"), (4, "cu2"),
            ]  # fmt: skip
            assert hsm.login("admin", ADMIN_PASSWORD, "admin").alive
            session = hsm.login("cu1", PASSWORDS["cu1"])
            assert hsm.encrypt(session, handle, "AES_GCM", None, b"text")
    assert _revision(home) == HEAD


def test_an_old_hsm_that_does_not_open_is_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "hsm"
    _make_old(home)
    key = (home / "master.key").read_bytes()
    (home / "master.key").write_bytes(bytes(32))
    with pytest.raises(MasterKeyUnavailable):
        Hsm.open(home)
    assert _revision(home) == FIRST
    (home / "master.key").write_bytes(key)
    Hsm.open(home).close()
