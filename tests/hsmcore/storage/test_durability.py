"""Acknowledged changes are on disk, and deleted keys are not."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from hsmcore import Hsm
from hsmcore.audit.chain import Finding
from hsmcore.errors import UserNameInvalid
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site

ENGINES = ("sqlite",)

NORMAL, FULL = 1, 2
"""Values of SQLite's ``PRAGMA synchronous``: in WAL mode, FULL syncs each commit and NORMAL only checkpoints."""

WAIT_SECONDS = 0.3
"""How long one command waits for others. One that comes later proves nothing, and fails nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("durable") / "hsm")
    with made.hsm:
        yield made


@contextmanager
def _commits() -> Iterator[list[int]]:
    """Collect the ``synchronous`` that the database connection has at each commit that follows a write."""
    seen: list[int] = []
    written: set[int] = set()

    def note_write(connection: Connection, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER")):
            written.add(id(connection))

    def note_commit(connection: Connection) -> None:
        if id(connection) in written:
            written.discard(id(connection))
            driver = connection.connection.driver_connection
            assert driver is not None
            ((mode,),) = driver.execute("PRAGMA synchronous")
            seen.append(mode)

    event.listen(Engine, "before_cursor_execute", note_write)
    event.listen(Engine, "commit", note_commit)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note_write)
        event.remove(Engine, "commit", note_commit)


def _made(site: Site, **attributes: object) -> int:
    return site.hsm.keys.generate(site.user, "AES_KEY_GEN", attributes).handle


TOKEN_KEY_CHANGES: dict[str, Callable[[Site, int], object]] = {
    "attributes": lambda site, key: site.hsm.keys.set_attributes(site.user, key, {"LABEL": "named"}),
    "sharing": lambda site, key: site.hsm.keys.share(site.user, key, "cu2"),
    "destruction": lambda site, key: site.hsm.keys.destroy(site.user, key),
}


@pytest.mark.parametrize("change", TOKEN_KEY_CHANGES.values(), ids=TOKEN_KEY_CHANGES)
def test_a_change_of_a_token_key_is_waited_for_and_one_of_a_session_key_is_not(
    site: Site, change: Callable[[Site, int], object]
) -> None:
    for token, expected in ((True, FULL), (False, NORMAL), (True, FULL)):
        with _commits() as commits:
            key = _made(site, TOKEN=token)
            change(site, key)
        assert commits == [expected, expected]


def test_a_session_key_that_is_stored_is_waited_for(site: Site) -> None:
    key = _made(site)
    with _commits() as commits:
        site.hsm.keys.set_attributes(site.user, key, {"TOKEN": True})
    assert commits == [FULL]


def test_users_and_sessions_are_waited_for(site: Site) -> None:
    with _commits() as commits:
        site.hsm.users.create(site.admin, "cu3", "crypto-user", PASSWORDS["cu1"])
        site.hsm.users.logout(site.hsm.users.login("cu3", PASSWORDS["cu1"]))
        site.hsm.users.delete(site.admin, "cu3", "crypto-user")
    assert commits == [FULL] * 4


def test_initialising_and_opening_are_waited_for(tmp_path: Path) -> None:
    with _commits() as commits:
        Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD).close()
        Hsm.open(tmp_path / "hsm").close()
    assert len(commits) >= 3
    assert set(commits) == {FULL}


def test_entries_that_go_to_the_disk_together_are_waited_for_where_one_is(site: Site) -> None:
    key = _made(site, DERIVE=True)
    wanted = {"KEY_TYPE": "AES", "SIZE": 256}

    def fail() -> None:
        """Run a command that is refused before it reads the database; its entry is waited for."""
        with pytest.raises(UserNameInvalid):
            site.hsm.users.create(site.admin, "no name", "crypto-user", PASSWORDS["cu1"])

    def derive() -> None:
        """Make a session key, whose entry is not."""
        site.hsm.keys.derive(site.user, key, "AES_CMAC_KDF", {"counter_bits": 8}, wanted)

    def hold(connection: object, cursor: object, statement: str, *rest: object) -> None:
        """Keep the database at a first entry, for a moment in which two more begin to wait for it."""
        if statement.startswith("INSERT INTO audit") and not threads:
            threads.extend(threading.Thread(target=command) for command in (derive, fail))
            for thread in threads:
                thread.start()
            threads[-1].join(WAIT_SECONDS)

    threads: list[threading.Thread] = []
    event.listen(Engine, "before_cursor_execute", hold)
    try:
        with _commits() as commits:
            fail()
            for thread in threads:
                thread.join()
    finally:
        event.remove(Engine, "before_cursor_execute", hold)
    assert FULL in commits[1:], "together, or one by one where a thread came late"
    assert _findings(site) == []


def _findings(site: Site) -> list[Finding]:
    return list(site.hsm.audit.verify(site.admin).findings)


def test_the_database_is_written_ahead(site: Site) -> None:
    with closing(sqlite3.connect(site.home / "hsm.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert (site.home / "hsm.db-wal").stat().st_size > 0


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Collect in order what is synced outside of SQLite, by inode, and ``commit`` for each transaction."""
    seen: list[object] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        seen.append(os.fstat(descriptor).st_ino)

    def note_commit(connection: Connection) -> None:
        seen.append("commit")

    monkeypatch.setattr(os, "fsync", noted)
    event.listen(Engine, "commit", note_commit)
    yield seen
    event.remove(Engine, "commit", note_commit)


def test_the_key_file_is_on_disk_before_what_is_sealed_under_it(tmp_path: Path, steps: list[object]) -> None:
    home = tmp_path / "hsm"
    Hsm.initialize(home, admin_password=ADMIN_PASSWORD).close()
    key_file, directory, anchor = ((home / name).stat().st_ino for name in ("master.key", ".", "audit.anchor"))
    assert steps.index(key_file) < steps.index(directory) < steps.index("commit")
    assert directory in steps[steps.index("commit") :], "so is the database's name once there is an HSM in it"
    assert steps[-1] == anchor


def _row(home: Path, handle: int) -> bytes:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        ((material,),) = connection.execute("SELECT material FROM keys WHERE handle = ?", (handle,))
    return bytes(material)


def _files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.iterdir() if path.is_file())


def test_nothing_is_left_on_disk_of_keys_that_were_destroyed(tmp_path: Path) -> None:
    """Some share their pages with keys that stay; the many fill pages that become free."""
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        keys = [_made(made, TOKEN=True) for _ in range(60)]
        rows = {key: _row(made.home, key) for key in keys}
        changed, kept, destroyed = keys[0], keys[1:10], keys[10:]
        hsm.keys.set_attributes(made.user, changed, {"LABEL": "changed"})
        for key in destroyed:
            hsm.keys.destroy(made.user, key)
        assert all(rows[key] in _files(made.home) for key in kept), "the search finds what is there"
    content = _files(made.home)
    assert all(rows[key] in content for key in kept)
    assert not [key for key in (changed, *destroyed) if rows[key] in content]
