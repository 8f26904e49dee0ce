"""An HSM of a cluster dies between the change and its answer: the Java client gets the answer from another HSM."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import jdk
from tests.clusters import HOSTS, cluster_of, configured, served_over_tls
from tests.postgresql import Server
from tests.site import Site, kill

from .conftest import programs


class Deadly:
    """Carries the bytes of TLS to a daemon and back; once armed, kills the daemon instead of giving its next answer."""

    def __init__(self, site: Site, port: int) -> None:
        self.pid = int(json.loads(site.must_here("status", "--json"))["pid"])
        self.daemon = (HOSTS[0], port)
        self.armed, self.killed = threading.Event(), threading.Event()
        self.listener = socket.create_server((HOSTS[0], 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.daemon, timeout=60)
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client, server), daemon=True).start()
            threading.Thread(target=self.give, args=(server, client), daemon=True).start()

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            server.sendall(data)

    def give(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            if self.armed.is_set():
                kill(self.pid)
                self.killed.set()
                # Nothing answers here from now on, as after the death of the daemon.
                self.close()
                break
            client.sendall(data)
        # To close it would not interrupt the thread that waits for the client.
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server("fsync = off")
    try:
        yield started
    finally:
        started.close()


@pytest.mark.parametrize(
    ("change", "left"),
    [("generate", 4), pytest.param("destroy", 1, marks=pytest.mark.long)],
    ids=["generate", "destroy"],
)
def test_a_change_that_an_hsm_made_before_it_died(tmp_path: Path, server: Server, change: str, left: int) -> None:
    with cluster_of(tmp_path, server.new()) as sites:
        ports = served_over_tls(sites, tmp_path)
        deadly = Deadly(sites[0], ports[0])
        program = _program(configured(sites, [deadly.port, ports[1]], tmp_path / "once.cfg"), sites[0])
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "signed: true\n"
            deadly.armed.set()
            printed, _ = program.communicate(f"{change}\n", timeout=60)
        finally:
            program.kill()
            program.wait()
            deadly.close()
        assert deadly.killed.is_set()
        assert printed == "signed: true\n"
        other = sites[1]
        assert len(json.loads(other.must("key", "list", "--json"))) == left
        assert json.loads(other.must("audit", "verify", "--json"))["findings"] == []


def _program(configuration: Path, site: Site) -> subprocess.Popen[str]:
    environment = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    return subprocess.Popen(
        [*jdk.command("java"), f"-Dhsmbridge.config={configuration}", "-cp", programs(), "Once"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
