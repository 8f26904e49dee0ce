"""Connections that are lent to an event loop: nothing a client can see changes, and nobody waits for another."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest

from bridge.carriers import eventloop
from bridge.process.paths import socket_path
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from bridge.pytest_plugin import USER
from hsmcore import Hsm, errors
from tests.bridge.conftest import PASSWORD, served

_P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve's object identifier in DER."""
_STATUS = codec.encode_request(NUMBERS["STATUS"], 0, 7, ())


@contextmanager
def _crowd(home: Path) -> Iterator[None]:
    """Clients enough on a machine of two processors that each further one is served by a loop."""
    with _Peer(home) as one, _Peer(home) as two, _Peer(home) as three:
        for peer, number in ((one, one.short), (two, two.longer), (three, three.longer)):
            for _ in range(2 * eventloop.LOOK + 1):
                peer.repeat(number, bytes(32))
        yield


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture
def home(core: Hsm) -> Iterator[Path]:
    with served(core) as home, _crowd(home):
        yield home


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what became of each request to a loop: without it no test would know that there was a loop."""
    counted: Counter[str] = Counter()
    answered = eventloop._EventLoop._answered

    def counting(loop: Any, lent: Any) -> bool:
        done = answered(loop, lent)
        counted["unsent" if lent.unsent else "answered" if done else "given back"] += 1
        return done

    monkeypatch.setattr(eventloop._EventLoop, "_answered", counting)
    return counted


class _Peer:
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

    def lent(self, rounds: Counter[str], number: int) -> None:
        """Repeat until a loop has the connection."""
        before = rounds["answered"]
        for _ in range(3 * eventloop.LOOK):
            self.repeat(number, bytes(32))
        assert rounds["answered"] > before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.socket.close()


def _kinds(peer: _Peer) -> dict[str, int]:
    return {"short": peer.short, "longer": peer.longer}


@pytest.mark.parametrize("kind", ["short", "longer"])
def test_anything_else_in_between(home: Path, rounds: Counter[str], kind: str) -> None:
    with _Peer(home) as peer:
        number = _kinds(peer)[kind]
        for other, status in (
            (peer.frame(peer.short, b"x"), 0),
            (peer.frame(peer.longer, bytes(32)), 0),
            (peer.frame(99, b""), errors.NotRepeated.code),
            (_STATUS, 0),
        ):
            peer.lent(rounds, number)
            peer.socket.sendall(other)
            assert codec.decode_header(peer.answer())[0] == status
        peer.lent(rounds, number)
        peer.socket.sendall(b"\0\0\0\0")
        assert codec.decode_header(peer.answer())[0] == errors.MalformedRequest.code
        assert peer.socket.recv(1) == b""


def test_pieces_and_heaps(home: Path, rounds: Counter[str]) -> None:
    with _Peer(home) as peer:
        expected = [peer.mac(bytes([at])) for at in range(20)]
        frames = [peer.frame(peer.short, bytes([at])) for at in range(20)]
        peer.lent(rounds, peer.short)
        for cut in (1, 3, 4, 7, 8, 24, 36, len(frames[0]) - 1):
            peer.lent(rounds, peer.short)
            peer.socket.sendall(frames[cut % 20][:cut])
            time.sleep(0.01)
            peer.socket.sendall(frames[cut % 20][cut:])
            assert peer.answer()[25:] == expected[cut % 20]
        peer.lent(rounds, peer.short)
        peer.socket.sendall(b"".join(frames) + frames[0][:9])
        assert [peer.answer()[25:] for _ in frames] == expected
        peer.socket.sendall(frames[0][9:])
        assert peer.answer()[25:] == expected[0]


def test_a_peer_that_takes_no_answers_holds_up_nobody(home: Path, rounds: Counter[str]) -> None:
    with _Peer(home) as greedy, _Peer(home) as other:
        # An answer is as long as its request, so the way back is full before the way there.
        (made,) = codec.decode_values(greedy.ask("GENERATE_KEY", greedy.token, "AES_KEY_GEN", {"SIZE": 256}))
        assert isinstance(made, dict)
        fields = (made["HANDLE"], "AES_GCM", None, b"")
        number = codec.decode_header(greedy.ask("ENCRYPT", greedy.token, *fields))[2]
        greedy.lent(rounds, number)
        other.lent(rounds, other.short)
        greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        count = 0
        while not rounds["unsent"] and count < 2000:
            greedy.socket.sendall(greedy.frame(number, bytes(16_000)))
            count += 1
            time.sleep(0.002)
        assert rounds["unsent"] == 1
        for _ in range(50):
            other.repeat(other.short, b"x")
        for _ in range(count):
            assert len(greedy.answer()) == 24 + 1 + 12 + 16_000 + 16
        assert greedy.mac(b"x") == greedy.repeat(greedy.short, b"x")


def test_peers_that_leave(home: Path, rounds: Counter[str], core: Hsm) -> None:
    before = core.status()["sessions"]
    for kind in ("short", "longer"):
        for leaves in range(3):
            peer = _Peer(home)
            peer.lent(rounds, _kinds(peer)[kind])
            # With nothing, a whole request or a part of one under way.
            peer.socket.sendall(peer.frame(peer.short, bytes(64))[: (0, 200, 30)[leaves]])
            peer.socket.close()
    _wait_for_sessions(core, before)


def _wait_for_sessions(core: Hsm, count: object) -> None:
    deadline = time.monotonic() + 20
    while core.status()["sessions"] != count:
        assert time.monotonic() < deadline, "a session outlives its only connection"
        time.sleep(0.01)


def test_a_key_changes_while_its_connection_is_lent(home: Path, rounds: Counter[str]) -> None:
    with _Peer(home) as peer:
        peer.lent(rounds, peer.short)
        with _Peer(home) as elsewhere:
            elsewhere.ask("SET_ATTRIBUTES", peer.token, peer.key, {"SIGN": False})
        peer.socket.sendall(peer.frame(peer.short, b"x"))
        assert codec.decode_header(peer.answer())[0] == errors.NotRepeated.code


def test_the_session_ends_while_its_connection_is_lent(home: Path, rounds: Counter[str]) -> None:
    with _Peer(home) as peer:
        peer.lent(rounds, peer.longer)
        with _Peer(home) as elsewhere:
            elsewhere.ask("LOGOUT", peer.token)
        peer.socket.sendall(peer.frame(peer.longer, bytes(32)))
        assert codec.decode_header(peer.answer())[0] == errors.NotRepeated.code
        assert codec.decode_header(peer.ask("SIGN", peer.token, peer.key, "HMAC_SHA256", None, b"x"))[0] == (
            errors.Unauthenticated.code
        )


def test_a_loop_that_fails_costs_speed_only(home: Path, rounds: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with _Peer(home) as one, _Peer(home) as other:
        for peer in (one, other):
            peer.lent(rounds, peer.short)
        monkeypatch.setattr(eventloop, "CHUNK", "no length")
        expected = one.mac(b"x")
        rounds.clear()
        for peer in (one, other):
            for _ in range(3 * eventloop.LOOK):
                peer.repeat(peer.short, b"x")
        assert one.repeat(one.short, b"x") == expected
        assert not rounds


def test_the_daemon_stops_while_connections_are_lent(core: Hsm, rounds: Counter[str]) -> None:
    before = threading.active_count()
    with served(core) as home, _crowd(home):
        short, longer = _Peer(home), _Peer(home)
        short.lent(rounds, short.short)
        longer.lent(rounds, longer.longer)
    for peer in (short, longer):
        with peer:
            assert peer.socket.recv(1) == b""
    assert threading.active_count() == before


def test_few_clients_have_threads_of_their_own(core: Hsm, rounds: Counter[str]) -> None:
    with served(core) as home:
        before = core.status()["sessions"]
        with _Peer(home) as one, _Peer(home) as two:
            for _ in range(100):
                one.repeat(one.short, b"x")
                two.repeat(two.longer, bytes(32))
            assert not rounds
            two.lent(rounds, two.short)
            one.lent(rounds, one.short)
        _wait_for_sessions(core, before)
        with _Peer(home) as left:
            rounds.clear()
            for _ in range(100):
                left.repeat(left.short, b"x")
            assert not rounds


def test_nobody_starves(home: Path, rounds: Counter[str]) -> None:
    """64 clients with short and longer uses, and what is neither, each as often as it likes."""
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            random_ = random.Random(seed)
            with _Peer(home) as peer:
                for _ in range(10):
                    data = random_.randbytes(32)
                    expected = peer.mac(data)
                    for _ in range(random_.choice((1, 30))):
                        assert peer.repeat(peer.short, data) == expected
                    for _ in range(random_.choice((1, 15))):
                        assert peer.repeat(peer.longer, data)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert rounds["answered"] > 1000


def test_system_calls_of_a_repeated_use(core: Hsm) -> None:
    """One to read and one to write; in a loop one to wait, and one more where several threads wait together."""
    called: Counter[str] = Counter()
    names = {"recv", "send", "sendall", "poll", "modify", "register", "unregister", "acquire", "urandom"}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in names and "bridge" in frame.f_code.co_filename:
            called[argument.__name__] += 1

    def each(peer: _Peer, number: int) -> dict[str, int]:
        for _ in range(3 * eventloop.LOOK):
            peer.repeat(number, bytes(32))
        called.clear()
        for _ in range(100):
            peer.repeat(number, bytes(32))
        return {name: round(count / 100) for name, count in called.items() if round(count / 100)}

    threading.setprofile(profile)
    try:
        with served(core) as home, _Peer(home) as peer:
            for number in (peer.short, peer.longer):
                assert each(peer, number) == {"recv": 1, "sendall": 1}
            with _crowd(home):
                assert each(peer, peer.short) == {"poll": 1, "recv": 1, "send": 1}
                assert each(peer, peer.longer) == {"poll": 1, "recv": 1, "send": 1, "modify": 1}
    finally:
        threading.setprofile(None)
