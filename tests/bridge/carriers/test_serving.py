"""The daemon's threads: a client cannot tell which of them answers, and no client waits for another."""

from __future__ import annotations

import random
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest

from bridge.carriers import peer, workers
from bridge.carriers.client import Client
from bridge.process.paths import socket_path
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from bridge.pytest_plugin import USER
from hsmcore import Hsm, errors
from tests.bridge.conftest import PASSWORD, RUN, served

_P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve's object identifier in DER."""
_STATUS = codec.encode_request(NUMBERS["STATUS"], 0, 7, ())


@pytest.fixture
def home(core: Hsm) -> Iterator[Path]:
    with served(core) as home:
        yield home


class _Client:
    """A raw connection with a session, and numbers that repeat HMAC-SHA256 (a short use) and ECDSA (a longer one)."""

    def __init__(self, home: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(str(socket_path(home)))
        (token,) = codec.decode_values(self.ask("LOGIN", 0, USER, PASSWORD.encode(), "crypto-user"))
        assert isinstance(token, int)
        self.token = token
        made = codec.decode_values(self.ask("GENERATE_KEY", token, "GENERIC_SECRET_KEY_GEN", {"SIZE": 256}))[0]
        pair = codec.decode_values(self.ask("GENERATE_KEY_PAIR", token, "EC_KEY_PAIR_GEN", {"EC_PARAMS": _P256}, {}))
        assert isinstance(made, dict)
        assert isinstance(pair[1], dict)
        self.key = made["HANDLE"]
        self.short = self.number(self.key, "HMAC_SHA256")
        self.longer = self.number(pair[1]["HANDLE"], "ECDSA_SHA256")

    def number(self, key: object, mechanism: str) -> int:
        return codec.decode_header(self.ask("SIGN", self.token, key, mechanism, None, bytes(32)))[2]

    def mac(self, data: bytes) -> bytes:
        """Return what the HSM answers to the whole request."""
        (mac,) = codec.decode_values(self.ask("SIGN", self.token, self.key, "HMAC_SHA256", None, data))
        assert isinstance(mac, bytes)
        return mac

    def ask(self, name: str, token: int, *fields: object) -> bytes:
        self.socket.sendall(codec.encode_request(NUMBERS[name], token, 0, fields))
        return self.answer()

    def frame(self, number: int, data: bytes) -> bytes:
        return codec.encode_frame(34, self.token, 5, struct.pack(">QI", number, 0) + data)

    def repeat(self, number: int, data: bytes) -> bytes:
        self.socket.sendall(self.frame(number, data))
        return self.answer()[25:]

    def answer(self) -> bytes:
        received = self.exactly(4)
        received += self.exactly(codec.frame_length(received) - 4)
        return received

    def exactly(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            part = self.socket.recv(length - len(received))
            assert part, "the daemon closed the connection"
            received += part
        return received

    def settle(self, number: int) -> None:
        """Repeat until the same thread answers each time: that of ``serve`` a short use, a worker a longer one."""
        for _ in range(3 * peer.SETTLED):
            self.repeat(number, bytes(32))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.socket.close()


def _kinds(client: _Client) -> dict[str, int]:
    return {"short": client.short, "longer": client.longer}


@pytest.mark.parametrize("kind", ["short", "longer"])
def test_anything_else_in_between(home: Path, kind: str) -> None:
    with _Client(home) as client:
        number = _kinds(client)[kind]
        for other, status in (
            (client.frame(client.short, b"x"), 0),
            (client.frame(client.longer, bytes(32)), 0),
            (client.frame(99, b""), errors.NotRepeated.code),
            (_STATUS, 0),
        ):
            client.settle(number)
            client.socket.sendall(other)
            assert codec.decode_header(client.answer())[0] == status
        client.settle(number)
        client.socket.sendall(b"\0\0\0\0")
        assert codec.decode_header(client.answer())[0] == errors.MalformedRequest.code
        assert client.socket.recv(1) == b""


def test_pieces_and_heaps(home: Path) -> None:
    with _Client(home) as client:
        expected = [client.mac(bytes([at])) for at in range(20)]
        frames = [client.frame(client.short, bytes([at])) for at in range(20)]
        client.settle(client.short)
        for cut in (1, 3, 4, 7, 8, 24, 36, len(frames[0]) - 1):
            client.settle(client.short)
            client.socket.sendall(frames[cut % 20][:cut])
            time.sleep(0.01)
            client.socket.sendall(frames[cut % 20][cut:])
            assert client.answer()[25:] == expected[cut % 20]
        client.settle(client.short)
        client.socket.sendall(b"".join(frames) + frames[0][:9])
        assert [client.answer()[25:] for _ in frames] == expected
        client.socket.sendall(frames[0][9:])
        assert client.answer()[25:] == expected[0]


def test_a_client_that_takes_no_answers_holds_up_nobody(home: Path) -> None:
    with _Client(home) as greedy, _Client(home) as other:
        (made,) = codec.decode_values(greedy.ask("GENERATE_KEY", greedy.token, "AES_KEY_GEN", {"SIZE": 256}))
        assert isinstance(made, dict)
        fields = (made["HANDLE"], "AES_GCM", None, b"")
        number = codec.decode_header(greedy.ask("ENCRYPT", greedy.token, *fields))[2]
        greedy.settle(number)
        other.settle(other.short)
        # More than the sockets hold in both directions: the daemon cannot send, so this thread cannot either.
        requests = [greedy.frame(number, bytes(16_000))] * 100

        def send() -> None:
            for request in requests:
                greedy.socket.sendall(request)
                time.sleep(0.002)  # Each arrives alone, as ``Peer.answer_now`` takes it.

        sender = threading.Thread(target=send)
        sender.start()
        sender.join(1)
        assert sender.is_alive()
        for _ in range(50):
            other.repeat(other.short, b"x")
        for _ in requests:
            assert len(greedy.answer()) == 24 + 1 + 12 + 16_000 + 16
        sender.join()
        assert greedy.mac(b"x") == greedy.repeat(greedy.short, b"x")


@pytest.mark.parametrize("kind", ["short", "longer"])
def test_clients_that_leave(home: Path, core: Hsm, kind: str) -> None:
    before = core.status()["sessions"]
    for sent in (0, 200, 30):
        client = _Client(home)
        client.settle(_kinds(client)[kind])
        # With nothing, a whole request or a part of one in progress.
        client.socket.sendall(client.frame(client.short, bytes(64))[:sent])
        client.socket.close()
    _wait_until(lambda: core.status()["sessions"] == before)


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_key_changes_between_two_repetitions(home: Path) -> None:
    with _Client(home) as client:
        client.settle(client.short)
        with _Client(home) as elsewhere:
            elsewhere.ask("SET_ATTRIBUTES", client.token, client.key, {"SIGN": False})
        client.socket.sendall(client.frame(client.short, b"x"))
        assert codec.decode_header(client.answer())[0] == errors.NotRepeated.code


@pytest.mark.parametrize("kind", ["short", "longer"])
def test_the_session_ends_between_two_repetitions(home: Path, kind: str) -> None:
    with _Client(home) as client:
        number = _kinds(client)[kind]
        client.settle(number)
        with _Client(home) as elsewhere:
            elsewhere.ask("LOGOUT", client.token)
        client.socket.sendall(client.frame(number, bytes(32)))
        assert codec.decode_header(client.answer())[0] == errors.NotRepeated.code
        assert codec.decode_header(client.ask("SIGN", client.token, client.key, "HMAC_SHA256", None, b"x"))[0] == (
            errors.Unauthenticated.code
        )


def test_the_daemon_stops_with_idle_clients(core: Hsm) -> None:
    before = threading.active_count()
    with served(core) as home:
        short, longer = _Client(home), _Client(home)
        short.settle(short.short)
        longer.settle(longer.longer)
    for client in (short, longer):
        with client:
            assert client.socket.recv(1) == b""
    assert threading.active_count() == before


def test_the_answer_in_progress_is_sent_before_the_end(core: Hsm) -> None:
    with served(core) as home:
        client = _Client(home)
        public = {"MODULUS_BITS": 3072, "PUBLIC_EXPONENT": (65537).to_bytes(3)}
        request = codec.encode_request(NUMBERS["GENERATE_KEY_PAIR"], client.token, 0, ("RSA_KEY_PAIR_GEN", public, {}))
        client.socket.sendall(request)
    with client:
        assert codec.decode_header(client.answer())[0] == 0
        assert client.socket.recv(1) == b""


def test_a_hundred_clients_at_once(home: Path) -> None:
    """Each sends short and longer uses, and requests that are neither, in an order of its own."""
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            random_ = random.Random(seed)
            with _Client(home) as client:
                for _ in range(5):
                    data = random_.randbytes(32)
                    expected = client.mac(data)
                    for _ in range(random_.choice((1, 30))):
                        assert client.repeat(client.short, data) == expected
                    for _ in range(random_.choice((1, 15))):
                        assert client.repeat(client.longer, data)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_neither_threads_nor_descriptors_are_left(home: Path) -> None:
    descriptors, threads = _descriptors(), threading.active_count()
    for _ in range(5):
        clients = [Client.connect(home) for _ in range(60)]
        for client in clients:
            client.call("STATUS")
        for client in clients:
            client.close()
    _wait_until(lambda: threading.active_count() <= threads + workers.SPARE)
    _wait_until(lambda: _descriptors() == descriptors)


def test_no_further_thread(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with _Client(home) as client:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        client.repeat(client.longer, bytes(32))
        with _raw(home) as refused:
            refused.sendall(_STATUS)
            assert codec.decode_header(refused.recv(4096))[0] == errors.OperationLimit.code
            assert refused.recv(1) == b""
        client.settle(client.short)
        monkeypatch.undo()
        with Client.connect(home) as later:
            later.call("STATUS")


def test_no_further_descriptor(fresh_home: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(fresh_home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    with Client.connect(fresh_home) as client, process.stdout:
        client.call("STATUS")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with _raw(fresh_home) as waiting:
            waiting.sendall(_STATUS)
            for _ in range(20):
                client.call("STATUS")
            waiting.settimeout(0.3)
            with pytest.raises(TimeoutError):
                waiting.recv(4096)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            waiting.settimeout(20)
            assert codec.decode_header(waiting.recv(4096))[0] == 0
        process.terminate()
        assert process.wait(20) == 0


def _raw(home: Path) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(20)
    connected.connect(str(socket_path(home)))
    return connected


def test_system_calls_of_a_repeated_use(core: Hsm) -> None:
    """One to read and one to write; one more to wait, where one thread waits for all connections."""
    called: Counter[str] = Counter()
    names = {"recv", "send", "sendall", "poll", "modify", "register", "unregister", "acquire", "urandom"}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in names and "bridge" in frame.f_code.co_filename:
            called[argument.__name__] += 1

    def each(client: _Client, number: int) -> dict[str, int]:
        client.settle(number)
        called.clear()
        for _ in range(100):
            client.repeat(number, bytes(32))
        return {name: round(count / 100) for name, count in called.items() if round(count / 100)}

    threading.setprofile(profile)
    try:
        with served(core) as home, _Client(home) as client:
            assert each(client, client.short) == {"poll": 1, "recv": 1, "send": 1}
            assert each(client, client.longer) == {"recv": 1, "sendall": 1}
    finally:
        threading.setprofile(None)
