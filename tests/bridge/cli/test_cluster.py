"""``hsm init --store``, ``join``, ``status``, ``cluster hsm-info`` and ``leave``, as an operator uses them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fork_server
from tests.postgresql import Server

SECRETS = {"HSM_USER": "cu1", "HSM_PASSWORD": "first-pass-001", "HSM_ADMIN_PASSWORD": "admin-pass-001"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server("fsync = off")
    try:
        yield started
    finally:
        started.close()


def _hsm(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run(("hsm", "--home", str(home), *words), os.environ | SECRETS | environment)


def _done(home: Path, *words: str, **environment: str) -> str:
    done = _hsm(home, *words, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cluster_of_two(tmp_path: Path, server: Server) -> None:
    one, two, url = tmp_path / "one", tmp_path / "two", server.new()
    _done(one, "init", HSM_STORE=url)
    assert "already" in _hsm(two, "init", "--store", url).stderr
    assert "key file" in _hsm(two, "join", "--store", url).stderr
    assert "number 2; the cluster has 2 HSMs" in _done(
        two, "join", "--store", url, "--master-key-file", str(one / "master.key")
    )
    try:
        _done(one, "start")
        _done(two, "start")
        shown = json.loads(_done(one, "status", "--json"))["hsms"]
        assert [(member["number"], member["own"], member["alive"]) for member in shown] == [
            (1, True, True), (2, False, True),
        ]  # fmt: skip
        hsms = json.loads(_done(two, "cluster", "hsm-info"))["data"]["hsms"]
        assert [hsm["state"] for hsm in hsms] == ["ACTIVE", "ACTIVE"]
        assert len({hsm["hsm-id"] for hsm in hsms}) == 2
    finally:
        for home in (one, two):
            _hsm(home, "stop")
    assert "Left" in _done(two, "leave", "--yes")
    assert _hsm(two, "status").returncode == 1
    assert "last HSM" in _hsm(one, "leave", "--yes").stderr
