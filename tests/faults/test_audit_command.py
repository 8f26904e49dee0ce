"""``hsm audit`` as a process: what it prints, its exit codes, and a log that somebody changed."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from tests.site import Site


def test_list_export_and_verify(site: Site, tmp_path: Path) -> None:
    entries = [json.loads(line) for line in site.must("audit", "list", "--json").splitlines()]
    assert [entry["sequence"] for entry in entries] == list(range(len(entries)))
    assert entries[0]["opcode"] == "CN_INIT_TOKEN"
    (third,) = (
        json.loads(line) for line in site.must("audit", "list", "--json", "--first", "2", "--limit", "1").splitlines()
    )
    assert third == entries[2]
    text = site.must("audit", "list", "--text", "--first", "2", "--limit", "1")
    assert "Opcode : CN_CREATE_APPLIANCE_USER (0xfc)\n" in text
    assert "User Name : app_user\nUser Type : CN_APPLIANCE_USER (5)\n" in text
    assert "CN_LOGIN" in site.must("audit", "list")
    file = tmp_path / "log.jsonl"
    site.must("audit", "export", str(file))
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert exported[: len(entries)] == entries
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused = site.hsm("audit", "export", str(file))
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    first = json.loads(site.must("audit", "verify", "--json"))
    assert "no findings" in site.must("audit", "verify", "--anchor", first["anchor"])


def test_a_changed_log(site: Site) -> None:
    anchor = json.loads(site.must("audit", "verify", "--json"))["anchor"]
    with closing(sqlite3.connect(site.home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE audit SET response = 0, user_name = 'other' WHERE sequence = 2")
    done = site.hsm("audit", "verify")
    assert done.returncode == 1
    assert "0x2       the entry was changed" in done.stdout
    assert site.hsm("audit", "verify", "--anchor", anchor).returncode == 1
    assert site.hsm("audit", "verify", "--anchor", "nonsense").returncode == 1


def test_without_the_admin(site: Site) -> None:
    site.environment["HSM_ADMIN_PASSWORD"] = "wrong-guess-01"
    for command in ("list", "verify"):
        done = site.hsm("audit", command)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
