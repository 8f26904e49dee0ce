"""An HSM for each test module, with an admin and two crypto users logged in.

The tests of a module run on SQLite and on PostgreSQL. Modules with other ``ENGINES``, and tests with the mark
``sqlite``, are about files. In a quick run only the modules of ``ON_BOTH`` run on PostgreSQL too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hsmcore import Hsm, Settings
from hsmcore.sessions.session import Session
from tests.conftest import ALL
from tests.postgresql import Server

SQLITE, POSTGRESQL = "sqlite", "postgresql"
ON_BOTH = frozenset({"test_users", "test_postgresql", "test_cluster", "test_races"})
"""The modules that a quick run tries on PostgreSQL."""

settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ADMIN_PASSWORD = b"admin-pass-001"
PASSWORDS = {"cu1": b"first-pass-001", "cu2": b"second-pass-02"}

CURVES = {
    "P-224": bytes.fromhex("06052b81040021"),
    "P-256": bytes.fromhex("06082a8648ce3d030107"),
    "secp256k1": bytes.fromhex("06052b8104000a"),
    "P-384": bytes.fromhex("06052b81040022"),
    "P-521": bytes.fromhex("06052b81040023"),
}
"""EC_PARAMS by curve: the object identifiers of RFC 5480 and SEC 2 in DER."""


@dataclass(frozen=True)
class Site:
    """An open HSM and a session of each of its users."""

    hsm: Hsm
    home: Path
    admin: Session
    user: Session
    other: Session


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the engines of its module."""
    module = metafunc.module
    engines = getattr(module, "ENGINES", (SQLITE, POSTGRESQL))
    if not ALL and module.__name__.rpartition(".")[2] not in ON_BOTH:
        engines = (SQLITE,)
    if metafunc.definition.get_closest_marker("sqlite"):
        engines = (SQLITE,)
    if engines != (SQLITE,):
        metafunc.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL of this run. Its disk is never lost, so it does not wait for it."""
    started = Server("fsync = off", "full_page_writes = off")
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module", autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[Server | None]:
    """The server that new HSMs of a module have their store on; ``None`` for files."""
    if getattr(request, "param", SQLITE) == SQLITE:
        yield None
        return
    server: Server = request.getfixturevalue("server")
    initialize: Any = Hsm.initialize.__func__

    def on_server(cls: type[Hsm], home: Path, **named: Any) -> Hsm:
        made: Hsm = initialize(cls, home, **{"store": server.new(), **named})
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hsm, "initialize", classmethod(on_server))
        yield server


def make_site(home: Path, settings: Settings | None = None) -> Site:
    """Make an HSM with the users ``cu1`` and ``cu2``."""
    hsm = Hsm.initialize(home, admin_password=ADMIN_PASSWORD, settings=settings or Settings())
    admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
    for name, password in PASSWORDS.items():
        hsm.users.create(admin, name, "crypto-user", password)
    sessions = [hsm.users.login(name, password) for name, password in PASSWORDS.items()]
    return Site(hsm, home, admin, *sessions)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One HSM for the tests of a module; they leave its users as they found them."""
    made = make_site(tmp_path_factory.mktemp("core") / "hsm")
    with made.hsm:
        yield made


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One HSM that lets owners read extractable keys."""
    made = make_site(tmp_path_factory.mktemp("open") / "hsm", Settings(clear_key_extraction=True))
    with made.hsm:
        yield made
