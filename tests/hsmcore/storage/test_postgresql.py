"""The store on PostgreSQL: its schema, its URL, and a server that ends."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, text

from hsmcore import Hsm
from hsmcore.errors import NotCaughtUp, StateError, StateMissing, StoreUnreachable
from hsmcore.sessions.session import Session
from hsmcore.storage import cluster, postgresql
from hsmcore.storage.schema import METADATA
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.databases import url_of
from tests.postgresql import Server

ENGINES = ("postgresql",)


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that the test may kill; it waits for the disk as a real one does."""
    started = Server()
    try:
        yield started
    finally:
        started.close()


def test_the_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    made.hsm.close()
    engine = postgresql.connect(url_of(made.home))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_the_file_with_the_url_is_private(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    made.hsm.close()
    file = made.home / "store.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (made.home / "hsm.db").exists()
    file.chmod(0o640)
    with pytest.raises(StateError, match="chmod"):
        Hsm.open(made.home)


def test_a_second_hsm_is_not_made_in_one_database(tmp_path: Path, server: Server) -> None:
    url = server.new()
    Hsm.initialize(tmp_path / "one", admin_password=ADMIN_PASSWORD, store=url).close()
    for home in (tmp_path / "one", tmp_path / "two"):
        with pytest.raises(StateError, match="already"):
            Hsm.initialize(home, admin_password=ADMIN_PASSWORD, store=url)
    with pytest.raises(StateMissing):
        Hsm.open(tmp_path / "two")
    with Hsm.open(tmp_path / "one") as hsm:
        assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive


@pytest.mark.parametrize(
    "url", ["", "sqlite:///x", "mysql://host/x", "postgresql://host:port/x", "postgresql://host/x?no-such=1", "host=x"]
)
def test_a_url_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(StateError):
        Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, store=url)
    assert not (tmp_path / "hsm" / "store.json").exists()


def test_no_message_has_the_password(tmp_path: Path) -> None:
    for url in ("postgresql://u:s3cr3t-word@127.0.0.1:1/x", "postgresql://u:s3cr3t-word@host:port/x"):
        with pytest.raises(StateError) as raised:
            Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, store=url)
        assert "s3cr3t" not in str(raised.value)


def test_a_url_has_every_parameter_of_the_driver() -> None:
    given = postgresql.parameters("postgresql://u@a:1,b:2/x?sslmode=verify-full&sslrootcert=/ca.pem&options=-cx%3D1")
    assert (given["host"], given["port"], given["target_session_attrs"]) == ("a,b", "1,2", "read-write")
    assert (given["sslmode"], given["sslrootcert"]) == ("verify-full", "/ca.pem")
    assert given["options"].endswith("-cx=1")
    assert "target_session_attrs" not in postgresql.parameters("postgresql://u@a/x")
    assert postgresql.parameters("postgresql://u@a/x?connect_timeout=9")["connect_timeout"] == "9"


def test_a_host_that_does_not_answer_is_skipped(tmp_path: Path, server: Server) -> None:
    url = server.new().replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")
    with Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, store=url) as hsm:
        assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive


def test_a_server_that_was_killed(tmp_path: Path, own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded key can be used for the time of a lease, then nothing; all works again without a restart."""
    monkeypatch.setattr(cluster, "LEASE", 5.0)
    hsm = Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, store=own.url("postgres"))
    with hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORDS["cu1"])
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        made = [hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": str(n)}).handle for n in range(3)]
        hsm.keys.destroy(user, made[0])
        sealed, parameters = hsm.crypto.encrypt(user, made[1], "AES_GCM", None, b"text")
        own.kill()
        assert hsm.crypto.decrypt(user, made[1], "AES_GCM", parameters, sealed) == b"text"
        for refused in (
            lambda: hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True}),
            lambda: hsm.keys.destroy(user, made[1]),
            lambda: hsm.keys.find(user, {}),
        ):
            with pytest.raises((StoreUnreachable, NotCaughtUp)):
                refused()
        assert hsm.troubles()
        _until(lambda: _refuses(hsm, user, made[1]))
        with pytest.raises(NotCaughtUp, match="does not answer"):
            hsm.users.all()
        own.start()
        _until(lambda: not _refuses(hsm, user, made[1]))
        assert [key.handle for key in hsm.keys.find(user, {})] == made[1:]
        hsm.keys.destroy(user, made[1])
        assert hsm.audit.verify(admin).findings == []
    with Hsm.open(tmp_path / "hsm") as hsm:
        assert hsm.audit.verify(hsm.users.login("admin", ADMIN_PASSWORD, "admin")).findings == []


def _refuses(hsm: Hsm, user: Session, key: int) -> bool:
    try:
        hsm.crypto.encrypt(user, key, "AES_GCM", None, b"text")
    except NotCaughtUp:
        return True
    return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_use_of_a_loaded_key_takes_no_sql(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    statements: list[str] = []
    mine = threading.get_ident()

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if threading.get_ident() == mine:
            statements.append(statement)

    with made.hsm as hsm:
        key = hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
        hsm.crypto.encrypt(made.user, key, "AES_GCM", None, b"text")
        event.listen(Engine, "before_cursor_execute", note)
        try:
            for _ in range(1000):
                hsm.crypto.encrypt(made.user, key, "AES_GCM", None, b"text")
            assert statements == []
            hsm.keys.find(made.user, {})
            assert statements, "the statements of this thread are counted"
        finally:
            event.remove(Engine, "before_cursor_execute", note)


def test_a_client_that_stops_in_a_transaction_releases_its_locks(server: Server) -> None:
    engine = postgresql.connect(server.new())
    with engine.connect() as connection:
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "3s"
    engine.dispose()
