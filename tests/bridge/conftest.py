"""One HSM, its dispatcher and its daemon's server, and one way to reach either: the same tests run over both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.carriers.client import Channel, Client, LocalChannel, SocketChannel
from bridge.carriers.unix import Server
from bridge.process.paths import socket_path
from bridge.pytest_plugin import USER, fresh_hsm
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm

PASSWORD = "contract-pass-1"
ADMIN_PASSWORD = b"contract-admin-1"
FRIEND = "friend"
"""A second crypto user, with the same password."""


@dataclass(frozen=True)
class Carrier:
    """A way to the HSM: opens channels, clients, and logged-in clients."""

    name: str
    home: Path
    channel: Callable[[], Channel]

    def client(self) -> Client:
        return Client(self.channel())

    def user(self) -> Client:
        client = self.client()
        client.call("LOGIN", USER, PASSWORD.encode(), "crypto-user")
        return client


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hsm]:
    with Hsm.initialize(tmp_path_factory.mktemp("h") / "hsm", admin_password=ADMIN_PASSWORD) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        for name in (USER, FRIEND):
            hsm.users.create(admin, name, "crypto-user", PASSWORD.encode())
        hsm.users.logout(admin)
        yield hsm


@pytest.fixture(scope="module", params=["local", "socket"])
def carrier(request: pytest.FixtureRequest, core: Hsm) -> Iterator[Carrier]:
    with reached(core, request.param) as carrier:
        yield carrier


@contextmanager
def reached(core: Hsm, kind: str) -> Iterator[Carrier]:
    """Give one way to an HSM, ``local`` or ``socket``."""
    home = Path(str(core.status()["home"]))
    if kind == "local":
        dispatcher = Dispatcher(core)
        yield Carrier("local", home, lambda: LocalChannel(dispatcher.connect()))
        return
    with served(core) as home:
        yield Carrier("socket", home, lambda: SocketChannel(socket_path(home), 20.0))


@contextmanager
def served(core: Hsm) -> Iterator[Path]:
    """Give the directory of an HSM with a server at its socket."""
    home = Path(str(core.status()["home"]))
    server = Server(core, socket_path(home))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield home
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
        server.close()


@pytest.fixture
def client(carrier: Carrier) -> Iterator[Client]:
    """A client that has logged in as the crypto user."""
    with carrier.user() as client:
        yield client


RUN = """
import sys
from pathlib import Path
from bridge.carriers import peer, unix
unix.run(Path(sys.argv[1]), ready=lambda: print("ready", flush=True))
"""
"""A program that runs the daemon of a state directory, and prints a line once the socket answers."""


@pytest.fixture
def fresh_home(tmp_path: Path) -> Path:
    fresh_hsm(tmp_path / "hsm", PASSWORD).close()
    return tmp_path / "hsm"
