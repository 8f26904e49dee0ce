"""One HSM, its dispatcher and its daemon's server, and one way to reach either: the same tests run over both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.carriers.client import Channel, Client, LocalChannel, SocketChannel
from bridge.carriers.server import Server
from bridge.carriers.tls import TlsListener
from bridge.carriers.unix import UnixListener
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates
from bridge.process.paths import socket_path
from bridge.pytest_plugin import USER, fresh_hsm
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm
from hsmcore.primitives import tls_certificates as certificates

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


@pytest.fixture(scope="module", params=["local", "socket", "tls"])
def carrier(request: pytest.FixtureRequest, core: Hsm) -> Iterator[Carrier]:
    with reached(core, request.param) as carrier:
        yield carrier


@contextmanager
def reached(core: Hsm, kind: str) -> Iterator[Carrier]:
    """Give one way to an HSM: ``local``, ``socket`` or ``tls``."""
    home = Path(str(core.status()["home"]))
    if kind == "local":
        dispatcher = Dispatcher(core)
        yield Carrier("local", home, lambda: LocalChannel(dispatcher.connect()))
        return
    if kind == "tls":
        with listening(core) as (address, authority):
            files = Certificates(authority)
            yield Carrier("tls", home, lambda: SocketChannel.of(address, files, 20.0))
        return
    with served(core) as home:
        yield Carrier("socket", home, lambda: SocketChannel.at(socket_path(home), 20.0))


HOST = "127.0.0.2"
"""The address of servers for TLS."""


@contextmanager
def listening(core: Hsm, host: str = HOST, *, signer: Callable[[bytes], tuple[bytes, bytes]] | None = None) -> Iterator[
    tuple[Address, Path]
]:  # fmt: skip
    """Give the address of an HSM with a server for TLS, and the file with the certificate of its authority.

    ``signer`` returns the certificate for a request, and that of the authority.
    """
    home = Path(str(core.status()["home"]))
    core.tls.initialize(*(signer or new_authority)(core.tls.request([host])))
    with closing(TlsListener(core, Address(host, 0))) as listener, served(core, listener):
        yield listener.address, home / "customerCA.crt"


def new_authority(request: bytes) -> tuple[bytes, bytes]:
    """Return the certificate for a request, and that of a new authority."""
    key, authority = certificates.new_authority("tests")
    return certificates.sign_request(request, key, authority), authority


@contextmanager
def served(core: Hsm, *further: TlsListener | UnixListener) -> Iterator[Path]:
    """Give the directory of an HSM with a server at its socket."""
    home = Path(str(core.status()["home"]))
    server = Server(core, socket_path(home), further=further)
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
from bridge.carriers import peer, server
server.run(Path(sys.argv[1]), ready=lambda: print("ready", flush=True))
"""
"""A program that runs the daemon of a state directory, and prints a line once the socket answers."""


@pytest.fixture
def fresh_home(tmp_path: Path) -> Path:
    fresh_hsm(tmp_path / "hsm", PASSWORD).close()
    return tmp_path / "hsm"
