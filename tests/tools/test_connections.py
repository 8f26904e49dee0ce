"""Connections of a stock JVM that break, hang, are interrupted, are dropped or are too many."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from tests import jdk
from tests.site import PASSWORD, Site

from .conftest import Desk, programs

_LOST = "The underlying Provider connection was lost"


def command(*words: str) -> list[str]:
    options = [word for word in words if word.startswith("-D")]
    return [*jdk.command("java"), *options, "-cp", programs(), "Connections", *words[len(options) :]]


def without_credentials(desk: Desk) -> dict[str, str]:
    return {name: value for name, value in desk.site.environment.items() if name not in ("HSM_USER", "HSM_PASSWORD")}


class Running:
    """A program that takes a step for each line it is given."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def says(self) -> str:
        """Return the next line."""
        return self._out.readline().strip()

    def step(self, word: str = "") -> str:
        """Let it take a step and return what it says."""
        self._in.write(word or "\n")
        self._in.flush()
        return self.says()


@contextmanager
def running(desk: Desk, *words: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    process = subprocess.Popen(
        command(*words), env=environment or desk.site.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    """Stop the daemon's process in the middle of whatever it does."""
    daemon = json.loads(site.must_here("status", "--json"))["pid"]
    os.kill(daemon, signal.SIGSTOP)
    # The kernel stops each thread when it runs next.
    while any(") T" not in thread.read_text() for thread in Path(f"/proc/{daemon}/task").glob("*/stat")):
        time.sleep(0.01)
    try:
        yield
    finally:
        os.kill(daemon, signal.SIGCONT)


def restart(site: Site) -> None:
    site.must_here("stop")
    site.must("start")


def test_an_interrupt_neither_fails_an_operation_nor_closes_its_connection(desk: Desk) -> None:
    assert desk.must(*command("interrupted")) == "300 done, connections 1\n"


def test_a_session_outlives_its_last_connection_and_a_peer_that_stops(desk: Desk) -> None:
    """Every wait ends, the operations say why, and the session's key is still there afterwards."""
    with running(desk, "-Dhsmbridge.timeout=1", "steps", "100") as program:
        assert [program.says(), program.says()] == ["done", "ready"]
        assert program.step() == "done|" * 100
        with stopped(desk.site):
            outcomes = program.step().split("|")[:-1]
        assert len(outcomes) == 100
        for outcome in outcomes:
            assert outcome.startswith(f"ProviderException: {_LOST}"), outcome
            assert "has not answered for 1 s" in outcome or "were busy for 1 s" in outcome, outcome
        assert program.step() == "done|" * 100


def test_a_provider_is_not_made_at_a_peer_that_stops(desk: Desk) -> None:
    where = socket_path(desk.site.home)
    with stopped(desk.site), running(desk, "-Dhsmbridge.timeout=1", "steps", "1") as program:
        assert program.says() == f"ProviderInitializationException: the HSM at {where} has not answered for 1 s"


@pytest.mark.parametrize("told", ["0", "soon", "90000"])
def test_a_time_is_a_number_of_seconds(desk: Desk, told: str) -> None:
    with running(desk, f"-Dhsmbridge.timeout={told}", "steps", "1") as program:
        assert program.says() == (
            "IOException: hsmbridge.timeout (HSM_TIMEOUT) is not a whole number of seconds from 1 to 86400"
        )


def test_a_peer_whose_queue_of_connections_is_full(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "full.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as only:
        listener.bind(str(path))
        listener.listen(0)
        only.connect(str(path))
        with running(desk, "-Dhsmbridge.timeout=1", f"-Dhsmbridge.socket={path}", "steps", "1") as program:
            assert "has accepted no connection for 1 s" in program.says()


def test_a_new_session_does_not_hide_that_session_keys_are_gone(desk: Desk) -> None:
    with running(desk, "steps", "2") as program:
        assert [program.says(), program.says()] == ["done", "ready"]
        restart(desk.site)
        for _ in range(2):
            for outcome in program.step().split("|")[:-1]:
                assert "The session was lost, and its session keys" in outcome


def test_an_explicit_login_that_the_hsm_has_lost_is_done_again(desk: Desk) -> None:
    with running(desk, "explicit", f"cu1:{PASSWORD}", environment=without_credentials(desk)) as program:
        assert program.says() == "logged in"
        assert program.step("o") == "done"
        assert program.step("l").startswith("AccountAlreadyLoggedInException")
        restart(desk.site)
        assert program.step("l") == "done"
        assert program.step("o") == "done"
        restart(desk.site)
        assert program.step("o").startswith("AuthenticationException")
        assert program.step("l") == "done"
        assert program.step("o") == "done"


@pytest.mark.long
def test_connections_of_dropped_providers_close(desk: Desk) -> None:
    assert desk.must(*command("dropped", "300")) == "dropped 299\n"


def test_connections_of_dropped_class_loaders_close(desk: Desk) -> None:
    jar = str(provider_jar())
    assert desk.must(*command("redeployed", "20", jar)) == "redeployed 20\n"


def test_connections_of_a_burst_are_bounded_and_close_when_nobody_needs_them(desk: Desk) -> None:
    environment = without_credentials(desk) | {"PASSWORD": PASSWORD}
    done = subprocess.run(
        command("-Dhsmbridge.idle=1", "burst", "300"),
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "most true\nafter logout 0\n", done.stderr


def test_the_daemon_says_why_it_refuses_a_connection(desk: Desk) -> None:
    with ExitStack() as held:
        client = held.enter_context(Client.connect(desk.site.home))
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        for _ in range(255):
            connection = held.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(socket_path(desk.site.home)))
            connection.sendall(codec.encode_request(NUMBERS["RANDOM"], client.session, 1, (1,)))
            connection.recv(65536)
        with running(desk, "steps", "1") as program:
            assert "refused the connection: the daemon has 256 connections; close some" in program.says()
