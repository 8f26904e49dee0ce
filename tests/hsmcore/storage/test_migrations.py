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
from hsmcore.errors import MasterKeyUnavailable, StoreDamaged, StoreFull
from hsmcore.storage.schema import HEAD, METADATA
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.disk import full_disk
from tests.hsmcore.older import FIRST, make_first, make_first_schema, seal_settings_as_before_logs

ENGINES = ("sqlite",)


def _make_old(home: Path) -> int:
    """Make an HSM as the first schema had it, and return a key of ``cu1``."""
    made = make_site(home)
    with made.hsm as hsm:
        handle = hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
    make_first(home)
    return handle


def _revision(home: Path) -> str:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@pytest.mark.parametrize("migrated", [True, False], ids=["migrated", "new"])
def test_the_migrations_lead_to_the_schema(tmp_path: Path, migrated: bool) -> None:
    make_site(tmp_path / "hsm").hsm.close()
    if migrated:
        make_first(tmp_path / "hsm")
        Hsm.open(tmp_path / "hsm").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'hsm' / 'hsm.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_an_hsm_of_the_first_schema_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "hsm"
    handle = _make_old(home)
    for _ in range(2):
        with Hsm.open(home) as hsm:
            assert [(user.number, user.username) for user in hsm.users.all()] == [
                (1, "admin"), (2, "app_user"), (3, "cu1"), (4, "cu2"),
            ]  # fmt: skip
            assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive
            session = hsm.users.login("cu1", PASSWORDS["cu1"])
            assert hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"text")
    assert _revision(home) == HEAD


def _log(home: Path) -> tuple[list[str], list[str]]:
    """Open the HSM; return what its log's entries are called, and what is wrong with it."""
    with Hsm.open(home) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        found = [finding.text for finding in hsm.audit.verify(admin).findings]
        return [entry.opcode for entry in hsm.audit.entries(admin, 0)], found


def test_the_log_of_an_older_hsm_begins_by_saying_so(tmp_path: Path) -> None:
    home = tmp_path / "hsm"
    _make_old(home)
    for openings in (1, 2):
        entries, findings = _log(home)
        assert entries[0] == "HSM_LOG_BEGINS"
        assert entries[4:5] == ["CN_LOGIN"]
        assert entries.count("HSM_LOG_BEGINS") == 1
        assert entries.count("HSM_ROWS_BOUND") == 3, "users, keys, quorum values"
        assert entries.count("CN_LOGIN") == openings
        assert findings == []


def test_a_beginning_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    """As if the process had ended between the anchor and the transaction of the migration."""
    home = tmp_path / "hsm"
    _make_old(home)
    database = (home / "hsm.db").read_bytes()
    with pytest.raises(StoreFull), full_disk(40_000):
        Hsm.open(home)
    assert (home / "audit.anchor").stat().st_size
    assert (home / "hsm.db").read_bytes() == database
    assert _log(home)[1] == []


def _opcodes(home: Path) -> list[str]:
    """Return what the log's entries are called, of an HSM that nobody logs in at."""
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        return [str(row[0]) for row in connection.execute("SELECT opcode FROM audit ORDER BY sequence")]


def _settings(home: Path, new: bytes | None = None) -> bytes:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        old = connection.execute("SELECT settings FROM hsm").fetchone()[0]
        if new is not None:
            connection.execute("UPDATE hsm SET settings = ?", (new,))
        return bytes(old)


@pytest.mark.parametrize("anchor", [True, False], ids=["anchor left", "anchor removed"])
def test_a_log_that_was_there_cannot_be_made_to_begin_anew(tmp_path: Path, anchor: bool) -> None:
    """Taking the database back to before there were logs does not help: the seal of the settings knows better."""
    home = tmp_path / "hsm"
    make_site(home).hsm.close()
    make_first_schema(home)
    if not anchor:
        (home / "audit.anchor").unlink()
    with pytest.raises(StoreDamaged):
        Hsm.open(home)
    assert _opcodes(home) == ["HSM_LOG_BROKEN"]


def test_settings_of_before_the_log_do_not_help_without_the_anchor(tmp_path: Path) -> None:
    """Somebody kept the settings of an HSM that is older than logs, and puts them back into its database."""
    home = tmp_path / "hsm"
    _make_old(home)
    kept = _settings(home)
    _log(home)
    make_first_schema(home)
    _settings(home, kept)
    with Hsm.open(home) as hsm, pytest.raises(StoreDamaged):
        hsm.users.login("admin", ADMIN_PASSWORD, "admin")
    assert _opcodes(home)[0] == "HSM_LOG_BROKEN"
    assert "HSM_LOG_BEGINS" not in _opcodes(home)


def test_settings_of_a_version_with_a_log_that_did_not_seal_it(tmp_path: Path) -> None:
    """The next opening seals it. The log tells that the settings are older than it."""
    home = tmp_path / "hsm"
    make_site(home).hsm.close()
    seal_settings_as_before_logs(home)
    before = _settings(home)
    entries, findings = _log(home)
    assert entries[0] == "CN_INIT_TOKEN"
    assert findings == ["the settings of an older version were put back: rows got their first version twice"]
    assert _settings(home) != before
    (home / "audit.anchor").unlink()
    make_first_schema(home)
    with pytest.raises(StoreDamaged):
        Hsm.open(home)
    assert _opcodes(home) == ["HSM_LOG_BROKEN"]


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
