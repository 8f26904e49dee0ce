"""Stopping a daemon that is hard to reach, and one whose place another daemon has taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.carriers.server import MAX_CONNECTIONS, RESERVED_CONNECTIONS
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from tests.site import PASSWORD, Site, fresh_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An HSM with a running daemon."""
    with fresh_site(tmp_path / "hsm") as site:
        site.must("start")
        yield site


def test_a_stopping_daemon_leaves_anothers_socket(site: Site, tmp_path: Path) -> None:
    moved = Site(tmp_path / "moved", site.environment | {"HSM_HOME": str(tmp_path / "moved")})
    site.home.rename(moved.home)
    site.must("init")
    site.must("start")
    assert moved.must("stop") == "Stopped\n"
    assert "pid" in site.must("status")


def test_stop_does_not_deny_a_daemon_without_its_socket(site: Site) -> None:
    pid = json.loads(site.must("status", "--json"))["pid"]
    (site.home / "hsm.sock").unlink()
    done = site.hsm("stop")
    assert done.returncode == 1
    assert f"process {pid} has {site.home} open" in done.stderr
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while site.hsm("stop").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    assert site.must("stop") == f"No daemon runs for {site.home}\n"


def _connected(stack: ExitStack, site: Site, count: int, token: int = 0) -> None:
    """Open connections, of one session where its token is given."""
    for _ in range(count):
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(str(site.home / "hsm.sock"))
        if token:
            connection.sendall(codec.encode_request(NUMBERS["RANDOM"], token, 1, (1,)))
            connection.recv(65536)


def test_idle_connections_do_not_keep_stop_and_status_away(site: Site) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(Client.connect(site.home))
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        _connected(stack, site, MAX_CONNECTIONS - 1, client.session)
        assert "pid" in site.must("status")
        done = site.hsm("key", "list")
        assert done.returncode == 1
        assert "256 connections" in done.stderr
        # A newer reserved connection ends the oldest, so nobody can hold them.
        _connected(stack, site, 3 * RESERVED_CONNECTIONS)
        deadline = time.monotonic() + 60
        while site.hsm("status").returncode and time.monotonic() < deadline:
            time.sleep(0.1)
        assert site.must("stop") == "Stopped\n"


def test_a_daemon_that_hangs_is_named_in_time(site: Site) -> None:
    pid = json.loads(site.must("status", "--json"))["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for command in (["status"], ["key", "list"], ["start"]):
            done = site.hsm(*command, HSM_TIMEOUT="1")
            assert done.returncode == 1
            assert f"the daemon at {site.home}/hsm.sock has not answered for 1 s" in done.stderr
        done = site.hsm("stop", HSM_TIMEOUT="1")
        assert (done.returncode, f"which `kill {pid}` stops" in done.stderr) == (1, True)
        assert "HSM_TIMEOUT is not" in site.hsm("status", HSM_TIMEOUT="soon").stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    site.must("status")
