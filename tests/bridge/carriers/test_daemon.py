"""The daemon's socket: who may connect, what a bad peer costs the others, and how it starts and stops."""

from __future__ import annotations

import os
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bridge.carriers import peer, server, unix
from bridge.carriers.client import Client, DaemonUnreachable
from bridge.process.paths import socket_path
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from hsmcore import Hsm, errors
from hsmcore.primitives.secrecy import password_matches
from hsmcore.users import passwords
from tests.bridge.conftest import PASSWORD, RUN, served

_STATUS = codec.encode_request(4, 0, 1, ())


@pytest.fixture
def home(core: Hsm) -> Iterator[Path]:
    with served(core) as home:
        yield home


@pytest.fixture
def bystander(home: Path) -> Iterator[Client]:
    """A client that must not notice what another peer does."""
    with Client.connect(home) as client:
        client.call("STATUS")
        yield client
        client.call("STATUS")
    with Client.connect(home) as client:
        client.call("STATUS")


def _raw(home: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(20)
    peer.connect(str(socket_path(home)))
    return peer


def _answer(peer: socket.socket) -> tuple[int, bytes]:
    """Return the status of one answer and what follows until the daemon closes or the frame ends."""
    received = b""
    while len(received) < 4 or len(received) < codec.frame_length(received):
        part = peer.recv(65536)
        if not part:
            return -1, received
        received += part
    return codec.decode_header(received)[0], received


def _closed(peer: socket.socket) -> bool:
    """Return whether the daemon ends the connection, with or without bytes of ours unread."""
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


def test_only_the_owner_may_connect(home: Path) -> None:
    assert stat.S_IMODE(socket_path(home).stat().st_mode) == 0o600


@pytest.mark.parametrize(("user", "welcome"), [(os.geteuid(), True), (0, True), (4711, False)])
def test_the_peer_is_asked_who_it_is(
    home: Path, bystander: Client, monkeypatch: pytest.MonkeyPatch, user: int, welcome: bool
) -> None:
    monkeypatch.setattr(unix, "peer_user", lambda _: user)
    peer = _raw(home)
    if welcome:
        peer.sendall(_STATUS)
        assert _answer(peer)[0] == 0
    else:
        assert _closed(peer)
    peer.close()
    monkeypatch.undo()


_CONNECTING = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setgroups([])
os.setuid(4711)
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(60)
    peer.connect("hsm.sock")
    try:
        peer.sendall(bytes.fromhex(sys.argv[2]))
        print(len(peer.recv(1)))
    except (BrokenPipeError, ConnectionResetError):
        print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_of_the_same_group_is_refused(home: Path, bystander: Client) -> None:
    """The user decides, whatever the socket's mode and the group are."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (home, socket_path(home))}
    try:
        for path in modes:
            path.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", _CONNECTING, str(home), _STATUS.hex()], capture_output=True, text=True, timeout=120
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert done.stdout == "0\n", done.stderr


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(struct.pack(">I", 0xFFFFFFFF), errors.FrameTooLarge.code, id="4 GiB"),
        pytest.param(struct.pack(">I", codec.MAX_FRAME - 3), errors.FrameTooLarge.code, id="a byte above the limit"),
        pytest.param(struct.pack(">I", 19) + bytes(19), errors.MalformedRequest.code, id="shorter than a header"),
        pytest.param(struct.pack(">IBBHQQ", 20, 7, 0, 4, 0, 1), errors.UnsupportedVersion.code, id="another version"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", errors.FrameTooLarge.code, id="another protocol"),
    ],
)
def test_what_cannot_be_followed_is_answered_and_closed(home: Path, bystander: Client, sent: bytes, code: int) -> None:
    with _raw(home) as peer:
        peer.sendall(sent)
        assert _answer(peer)[0] == code
        assert _closed(peer)


def test_peers_that_leave_at_every_byte(home: Path, bystander: Client) -> None:
    for end in range(len(_STATUS)):
        with _raw(home) as peer:
            peer.sendall(_STATUS[:end])
    with _raw(home) as peer:
        peer.sendall(_STATUS)


def test_frames_in_pieces_and_in_heaps(home: Path) -> None:
    with _raw(home) as peer:
        for at in range(len(_STATUS)):
            peer.sendall(_STATUS[at : at + 1])
        assert _answer(peer)[0] == 0
    with _raw(home) as peer:
        peer.sendall(_STATUS * 3 + _STATUS[:9])
        received = b""
        while received.count(b"home") < 3:
            received += peer.recv(65536)
        peer.sendall(_STATUS[9:])
        assert _answer(peer)[0] == 0


def test_random_streams(home: Path, bystander: Client) -> None:
    noise = random.Random(4)
    for _ in range(100):
        with _raw(home) as peer:
            try:
                peer.sendall(noise.randbytes(noise.randrange(1, 500)))
                peer.shutdown(socket.SHUT_WR)
                while not _closed(peer):
                    pass
            except (BrokenPipeError, ConnectionResetError, OSError):
                continue


def test_a_frame_that_stops_half_way_holds_up_nobody(home: Path, bystander: Client) -> None:
    with _raw(home) as peer:
        peer.sendall(struct.pack(">I", codec.MAX_FRAME - 4) + bytes(100))
        for _ in range(20):
            bystander.call("STATUS")


def test_a_slow_peer_is_given_up(core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "FRAME_SECONDS", 1)
    with served(core) as home, _raw(home) as silent, _raw(home) as dripping, Client.connect(home) as idle:
        silent.sendall(_STATUS[:10])
        dripping.sendall(struct.pack(">I", 1000))
        began = time.monotonic()
        assert _drips_taken(dripping) < 30
        assert time.monotonic() - began < 15
        assert _closed(silent)
        idle.call("STATUS")


def _drips_taken(peer: socket.socket) -> int:
    """Send a byte every 0.2 s, soon enough for each read, and count until the daemon has had enough."""
    for count in range(60):
        try:
            peer.sendall(b"x")
        except OSError:
            return count
        time.sleep(0.2)
    return 60


def test_a_peer_that_takes_no_answers_holds_up_nobody(home: Path, bystander: Client) -> None:
    with _raw(home) as peer:
        peer.setblocking(False)
        try:
            while True:
                peer.send(_STATUS * 100)
        except BlockingIOError:
            for _ in range(20):
                bystander.call("STATUS")


def test_a_peer_that_takes_no_answers_is_given_up(core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.carriers.peer.FRAME_SECONDS", 1)
    with served(core) as home, _raw(home) as peer, pytest.raises((BrokenPipeError, ConnectionResetError)):
        _send_for_ever(peer)


def _send_for_ever(peer: socket.socket) -> None:
    """Send requests and take no answer, until the daemon has had enough."""
    while True:
        peer.sendall(_STATUS * 100)


def test_the_number_of_connections_has_a_limit(core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "RESERVED_CONNECTIONS", 0)
    with served(core) as home:
        clients = [Client.connect(home) for _ in range(3)]
        for client in clients:
            _log_in(client)
        with _raw(home) as refused:
            assert _answer(refused)[0] == errors.OperationLimit.code
            assert _closed(refused)
        for client in clients:
            client.call("STATUS")
            client.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with _raw(home) as again:
                again.sendall(_STATUS)
                if _answer(again)[0] == 0:
                    return
        pytest.fail("closed connections still count")


def test_members_of_a_group_take_no_reserved_connection_of_the_owner(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(server, "RESERVED_CONNECTIONS", 1)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(unix.UnixListener(socket_path(tmp_path), os.getegid())))
        home = stack.enter_context(served(core, listener))
        for place in (home, tmp_path):
            _log_in(stack.enter_context(Client.connect(place)))
        reserved = stack.enter_context(Client.connect(home))
        members = [stack.enter_context(_raw(tmp_path)) for _ in range(4)]
        assert _closed(members[0])
        reserved.call("STATUS")


def test_logins_of_a_group_do_not_delay_that_of_the_owner(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As many members as passwords are checked at a time log in, and the check of theirs takes long."""
    checks, end = threading.Semaphore(0), threading.Event()

    def slow(password: bytes, verifier: str) -> bool:
        if password == b"slow-password":
            checks.release()
            end.wait(60)
        return password_matches(password, verifier)

    monkeypatch.setattr(passwords, "password_matches", slow)
    login = codec.encode_request(NUMBERS["LOGIN"], 0, 1, ("nobody", b"slow-password", "crypto-user"))
    with ExitStack() as stack:
        listener = stack.enter_context(closing(unix.UnixListener(socket_path(tmp_path), os.getegid())))
        home = stack.enter_context(served(core, listener))
        stack.callback(end.set)
        for _ in range(passwords.HASHING):
            stack.enter_context(_raw(tmp_path)).sendall(login)
            assert checks.acquire(timeout=60)
        with Client.connect(home, timeout=10) as own:
            _log_in(own)


def _log_in(client: Client) -> None:
    client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")


def test_connections_without_a_login_keep_nobody_away(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    with served(core) as home, Client.connect(home) as early:
        _log_in(early)
        for _ in range(40):
            request.addfinalizer(_raw(home).close)
        with Client.connect(home) as late:
            _log_in(late)
            for _ in range(40):
                request.addfinalizer(_raw(home).close)
            assert len(late.call("RANDOM", 5)[0]) == 5
        early.call("STATUS")


def test_few_large_requests_before_a_login_at_a_time(home: Path, bystander: Client) -> None:
    beginning = struct.pack(">I", 1 << 20) + bytes(peer.SMALL)
    large = [_raw(home) for _ in range(peer.LARGE_BEFORE_LOGIN)]
    for one in large:
        one.sendall(beginning)
    deadline = time.monotonic() + 10
    status = 0
    while status != errors.OperationLimit.code and time.monotonic() < deadline:
        with _raw(home) as refused:
            refused.sendall(beginning)
            status = _answer(refused)[0]
    assert status == errors.OperationLimit.code
    with Client.connect(home) as client:
        _log_in(client)
        with pytest.raises(errors.HsmError, match="key"):
            client.call("SIGN", 1, "HMAC_SHA256", None, bytes(2 * peer.SMALL))
        with Client.connect(home) as further:
            further.session = client.session
            with pytest.raises(errors.HsmError, match="key"):
                further.call("SIGN", 1, "HMAC_SHA256", None, bytes(2 * peer.SMALL))
    for one in large:
        one.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with Client.connect(home) as client, pytest.raises(errors.HsmError) as refusal:
            client.call("SIGN", 1, "HMAC_SHA256", None, bytes(2 * peer.SMALL))
        # A refused request may also end with a broken connection, while the client still sends it.
        if isinstance(refusal.value, errors.Unauthenticated):
            return
    pytest.fail("places of large requests are not given back")


def test_many_clients_at_once(home: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Client.connect(home) as client:
                for _ in range(50):
                    client.call("STATUS")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_a_stale_socket_is_replaced(core: Hsm) -> None:
    path = socket_path(Path(str(core.status()["home"])))
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with served(core) as home, Client.connect(home) as client:
        client.call("STATUS")
    assert not path.exists()


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(errors.StateError, match="HSM_HOME"):
        socket_path(tmp_path / ("x" * 100))


def test_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="hsm start"):
        Client.connect(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_stops_when_asked(fresh_home: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(fresh_home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(errors.StateLocked):
        Hsm.open(fresh_home)
    with Client.connect(fresh_home) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        process.send_signal(number)
        assert process.wait(20) == 0
        with pytest.raises(DaemonUnreachable):
            client.call("STATUS")
    assert not socket_path(fresh_home).exists()
    log = fresh_home / "hsm.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "stopped" in log.read_text()
    assert PASSWORD not in log.read_text()
    Hsm.open(fresh_home).close()


_STOPPED_EARLY = """
import random, signal, sys
from pathlib import Path
from bridge.carriers import peer, server
from hsmcore import Hsm

signal.signal(signal.SIGTERM, lambda number, frame: None)
with Hsm.open(Path(sys.argv[1])) as hsm:
    for _ in range(400):
        served = server.Server(hsm, Path(sys.argv[1]) / "hsm.sock")
        with server._stopped_by_signals(served):
            signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
            signal.setitimer(signal.ITIMER_REAL, random.uniform(5e-6, 200e-6))
            served.serve()
        served.close()
print("stopped 400 times")
"""


def test_no_signal_is_missed(fresh_home: Path) -> None:
    """One that comes right before the daemon waits for connections must not wait for the next of them."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_EARLY, str(fresh_home)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "stopped 400 times\n", done.stderr
