"""A connection that breaks in the middle of a request: what is repeated, and what must not be."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.process.paths import socket_path
from tests import jdk

from .conftest import Desk, programs

_GENERATE_KEY_PAIR, _SIGN, _REPEAT = 11, 32, 34
_LOST = (
    "The underlying Provider connection was lost: "
    "Communication with the device was lost during the execution of the function."
)


class Breaking:
    """Carries frames to a daemon and back, and breaks a connection instead of answering the first of one operation."""

    def __init__(self, daemon: Path, path: Path, operation: int) -> None:
        self.daemon, self.operation = daemon, operation
        self.seen = 0
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
                    self.seen += 1
                    if self.seen == 1:
                        return
                client.sendall(answer)


def read_frame(peer: socket.socket) -> bytes:
    """Return one frame, empty at the end of the connection."""
    with peer.makefile("rb", buffering=0) as stream:
        head = stream.read(4)
        rest, length = b"", int.from_bytes(head or b"")
        while len(rest) < length:
            rest += stream.read(length - len(rest)) or b""
        return (head or b"") + rest


@contextmanager
def breaking(desk: Desk, operation: int) -> Iterator[tuple[Breaking, Path]]:
    path = desk.folder / f"b{operation}.sock"
    path.unlink(missing_ok=True)
    broken = Breaking(socket_path(desk.site.home), path, operation)
    try:
        yield broken, path
    finally:
        broken.listener.close()


def run(desk: Desk, path: Path, mode: str, *words: str) -> str:
    cluster = {"servers": [{"hostname": str(path)}], "options": {"default_retry_mode": mode}}
    (desk.folder / "retry.cfg").write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
    environment = {name: value for name, value in desk.site.environment.items() if name != "HSM_HOME"}
    options = [f"-Dhsmbridge.config={desk.folder}/retry.cfg", "-cp", programs()]
    return subprocess.run(
        [*jdk.command("java"), *options, "Retried", *words],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize("operation", [_SIGN, _REPEAT])
@pytest.mark.parametrize(("mode", "said"), [("standard", "signed: true"), ("off", f"signing: {_LOST}")])
def test_a_signature_is_asked_for_again_unless_that_is_off(desk: Desk, operation: int, mode: str, said: str) -> None:
    """The key is a session key, and the connection that breaks is the session's only one."""
    with breaking(desk, operation) as (broken, path):
        assert run(desk, path, mode, "session").startswith(said)
        # What is asked for again of a REPEAT is the whole request.
        assert broken.seen == (2 if operation == _SIGN and mode == "standard" else 1)


@pytest.mark.parametrize("mode", ["standard", "off"])
def test_a_generation_is_not_made_twice(desk: Desk, mode: str) -> None:
    """The answer is lost, and the same request asks for it again; with retries off the application decides."""
    before = len(json.loads(desk.site.must("key", "list", "--json")))
    with breaking(desk, _GENERATE_KEY_PAIR) as (broken, path):
        said = run(desk, path, mode)
        assert said.startswith("signed: true" if mode == "standard" else f"generating: {_LOST}")
        assert broken.seen == (2 if mode == "standard" else 1)
    assert len(json.loads(desk.site.must("key", "list", "--json"))) == before + 2
