"""A state directory that is locked, newer, damaged or on a full disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.process.paths import socket_path
from hsmcore import Hsm
from hsmcore.errors import HsmError, StateLocked, StateMissing, StateVersion, StoreDamaged, StoreFull
from tests.site import PASSWORD, Site


def _database(home: Path) -> Path:
    (path,) = home.glob("*.db")
    return path


def _token_keys(home: Path, count: int) -> list[int]:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORD.encode())
        return [
            hsm.keys.generate(session, "AES_KEY_GEN", {"SIZE": 256, "TOKEN": True, "LABEL": f"k{number}"}).handle
            for number in range(count)
        ]


def test_second_daemon_is_refused(site: Site) -> None:
    site.must("start")
    pid = json.loads(site.must_here("status", "--json"))["pid"]
    assert site.must("start") == f"A daemon is running already, pid {pid}, socket {socket_path(site.home)}\n"
    with pytest.raises(StateLocked):
        Hsm.open(site.home)
    assert json.loads(site.must_here("status", "--json"))["pid"] == pid


def test_no_state_directory(site: Site, tmp_path: Path) -> None:
    with pytest.raises(StateMissing, match="hsm init"):
        Hsm.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_newer_state_is_refused_and_untouched(site: Site) -> None:
    with closing(sqlite3.connect(_database(site.home))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = _database(site.home).read_bytes()
    with pytest.raises(StateVersion):
        Hsm.open(site.home)
    done = site.hsm("start")
    assert done.returncode == 1
    assert "newer" in done.stderr
    assert "Traceback" not in done.stderr
    assert _database(site.home).read_bytes() == before


def test_damaged_row_hurts_only_its_key(site: Site) -> None:
    damaged, whole = _token_keys(site.home, 2)
    _overwrite_material(site.home, damaged)
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("cu1", PASSWORD.encode())
        assert {record.handle for record in hsm.keys.find(session, {})} >= {whole}
        with pytest.raises(StoreDamaged):
            hsm.crypto.encrypt(session, damaged, "AES_GCM", None, b"text")
        assert hsm.crypto.encrypt(session, whole, "AES_GCM", None, b"text")


def test_swapped_rows_do_not_open(site: Site) -> None:
    first, second = _token_keys(site.home, 2)
    with closing(sqlite3.connect(_database(site.home))) as connection, connection:
        rows = dict(connection.execute("SELECT handle, material FROM keys"))
        for handle, other in ((first, second), (second, first)):
            connection.execute("UPDATE keys SET material = ? WHERE handle = ?", (rows[other], handle))
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("cu1", PASSWORD.encode())
        for handle in (first, second):
            with pytest.raises(StoreDamaged):
                hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"text")


def test_full_disk_is_an_error_and_nothing_else(site: Site) -> None:
    size = max(path.stat().st_size for path in site.home.iterdir() if path.is_file())
    done = site.hsm("start", file_size_limit=max(size, 64 * 1024) + 40 * 1024)
    assert done.returncode == 0, done.stderr
    made: list[int] = []
    with Client.connect(site.home) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        with pytest.raises(StoreFull):
            _fill(client, made)
        assert {record["HANDLE"] for record in client.found_keys({})} == set(made)
        assert client.call("ENCRYPT", made[0], "AES_GCM", None, b"still works")
    site.must_here("stop")
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("cu1", PASSWORD.encode())
        assert {record.handle for record in hsm.keys.find(session, {})} == set(made)


def _fill(client: Client, made: list[int]) -> None:
    for number in range(5_000):
        attributes = {"SIZE": 256, "TOKEN": True, "LABEL": f"f{number}"}
        made.append(client.call("GENERATE_KEY", "AES_KEY_GEN", attributes)[0]["HANDLE"])


def test_copy_without_master_key_does_not_open(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(site.home, copy, ignore=shutil.ignore_patterns("master.key"))
    with pytest.raises(HsmError, match="master"):
        Hsm.open(copy)


def _overwrite_material(home: Path, handle: int) -> None:
    with closing(sqlite3.connect(_database(home))) as connection, connection:
        (material,) = connection.execute("SELECT material FROM keys WHERE handle = ?", (handle,)).fetchone()
        broken = bytes([*material[:-1], material[-1] ^ 1])
        connection.execute("UPDATE keys SET material = ? WHERE handle = ?", (broken, handle))
