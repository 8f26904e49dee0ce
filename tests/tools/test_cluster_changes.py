"""An HSM of a cluster dies between the change and its answer: the Java client gets the answer from another HSM."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from tests.clusters import cluster_of
from tests.postgresql import Server
from tests.site import Site

from .test_retries import read_frame

_GENERATE_KEY_PAIR, _DESTROY = 11, 16


class Deadly:
    """Carries frames to a daemon and back; kills the daemon instead of giving the answer to one operation."""

    def __init__(self, site: Site, path: Path, operation: int) -> None:
        self.pid = int(json.loads(site.must("status", "--json"))["pid"])
        self.daemon, self.operation = socket_path(site.home), operation
        self.killed = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self.daemon))
            while frame := read_frame(client):
                server.sendall(frame)
                answer = read_frame(server)
                if int.from_bytes(frame[6:8]) == self.operation:
                    assert answer[6:8] == bytes(2), "the HSM refused"
                    # Nothing answers at the path from now on, as after the death of the daemon.
                    self.listener.close()
                    os.kill(self.pid, signal.SIGKILL)
                    self.killed.set()
                    return
                client.sendall(answer)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server("fsync = off")
    try:
        yield started
    finally:
        started.close()


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        pytest.param(_GENERATE_KEY_PAIR, [], id="generate"),
        pytest.param(_DESTROY, ["destroy"], id="destroy", marks=pytest.mark.long),
    ],
)
def test_a_change_that_an_hsm_made_before_it_died(
    tmp_path: Path, server: Server, operation: int, words: list[str]
) -> None:
    with cluster_of(tmp_path / "hsms", server.new()) as (one, two):
        for site in (one, two):
            site.must("start")
        deadly = Deadly(one, tmp_path / "relay", operation)
        try:
            assert _run(tmp_path, [tmp_path / "relay", socket_path(two.home)], one, *words).startswith("signed: true")
        finally:
            deadly.listener.close()
        assert deadly.killed.is_set()
        left = json.loads(two.must("key", "list", "--json"))
        assert len(left) == (1 if words else 2)
        assert json.loads(two.must("audit", "verify", "--json"))["findings"] == []


def _run(folder: Path, servers: list[Path], site: Site, *words: str) -> str:
    source = Path(__file__).with_name("Once.java")
    subprocess.run(["javac", "-cp", str(provider_jar()), "-d", str(folder), source], check=True, timeout=120)
    options = {"disable_key_availability_check": True}
    cluster = {"servers": [{"hostname": str(path)} for path in servers], "options": options}
    (folder / "once.cfg").write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
    environment = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    return subprocess.run(
        ["java", f"-Dhsmbridge.config={folder}/once.cfg", "-cp", f"{folder}:{provider_jar()}", "Once", *words],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    ).stdout.strip()  # fmt: skip
