"""``hsm backup`` as a process, with the daemon and without it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from tests.conftest import Tally, repeated
from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site, kill


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> object:
    with fresh_site(tmp_path_factory.mktemp("b") / "hsm") as made:
        yield made


def _backups(site: Site) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(site.must("backup", "list", "--json"))
    return found


def _labels(home: Path) -> set[str]:
    with Client.connect(home) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        return {str(record["LABEL"]) for record in client.found_keys({})}


def _make_keys(home: Path, *labels: str) -> None:
    with Client.connect(home) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        for label in labels:
            client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": label, "TOKEN": True})


def test_the_life_of_a_backup(site: Site, tmp_path: Path) -> None:
    assert "No backups" in site.must("backup", "list")
    site.must("start")
    _make_keys(site.home, "one", "two")
    said = site.must("backup", "create")
    (info,) = (info for info in _backups(site) if info["reason"] == "manual")
    name, path = str(info["name"]), str(info["path"])
    assert said.startswith(f"Made {name}: 2 users, 2 token keys, {info['size']} bytes, {path}")
    assert name in site.must("backup", "list")
    assert json.loads(site.must("backup", "verify", name, "--json"))["keys"] == 2
    _make_keys(site.home, "three")
    said = site.must("backup", "restore", name, str(tmp_path / "new"))
    assert f"Restored {name}" in said
    assert "audit log     a new one" in said
    assert "certificate   none: the backup has none. Before `hsm start --listen`" in said
    new = Site(tmp_path / "new", site.environment | {"HSM_HOME": str(tmp_path / "new")})
    new.must("start")
    try:
        assert _labels(new.home) == {"one", "two"}
        anchor = said.splitlines()[-2].strip()
        new.must("audit", "verify", "--anchor", anchor)
    finally:
        new.must_here("stop")
    refused = site.hsm("backup", "restore", name, str(tmp_path / "new"))
    assert refused.returncode == 1
    assert "already" in refused.stderr
    site.must_here("stop")
    site.must("backup", "create")
    site.must("backup", "delete", name)
    assert name not in site.must("backup", "list")
    missing = site.hsm("backup", "verify", name)
    assert (missing.returncode, missing.stdout) == (1, "")


@pytest.mark.long
def test_a_copy_elsewhere_takes_its_key_file_or_its_passphrase(site: Site, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("a passphrase of some length\n")
    made = site.must("backup", "create", "--passphrase-file", str(tmp_path / "passphrase"))
    own = shutil.copy(made.split()[-1], tmp_path / "own")
    plain = shutil.copy(site.must("backup", "create").split()[-1], tmp_path / "plain")
    away = {"HSM_HOME": str(tmp_path / "nothing")}
    for words in ((plain,), (own,), (plain, "--passphrase-file", str(tmp_path / "passphrase"))):
        refused = site.hsm("backup", "restore", *words[:1], str(tmp_path / "new"), *words[1:], **away)
        assert refused.returncode == 1
        assert "--key-file" in refused.stderr or "--passphrase-file" in refused.stderr
        assert not (tmp_path / "new").exists()
    site.must("backup", "restore", plain, str(tmp_path / "a"), "--key-file", str(site.home / "master.key"), **away)
    site.must("backup", "restore", own, str(tmp_path / "b"), "--passphrase-file", str(tmp_path / "passphrase"), **away)
    sealed = site.must(
        "backup", "restore", plain, str(tmp_path / "c"), "--key-file", str(site.home / "master.key"),
        **away, HSM_PASSPHRASE="another passphrase",
    )  # fmt: skip
    assert "sealed under HSM_PASSPHRASE" in sealed
    assert not (tmp_path / "c" / "master.key").exists()


def test_keys_and_users_are_replicated_between_an_hsm_and_its_clone(site: Site, tmp_path: Path) -> None:
    site.must("backup", "restore", site.must("backup", "create").split()[1].rstrip(":"), str(tmp_path / "clone"))
    clone = Site(tmp_path / "clone", site.environment | {"HSM_HOME": str(tmp_path / "clone")})
    site.must("start")
    clone.must("start")
    try:
        _make_keys(site.home, "copied")
        admin = f"admin:{ADMIN_PASSWORD}"
        (tmp_path / "password").write_text(f"{PASSWORD}\n")
        site.must("user", "create", "cu2", "--password-file", str(tmp_path / "password"))
        between = ("--source-cluster-id", "cluster-a", "--destination-cluster-id", "cluster-b")
        names = {"HSM_CLUSTERS": f"cluster-a={site.home}/hsm.sock,Cluster-B={clone.home}/hsm.sock"}
        names |= {"DESTINATION_CLOUDHSM_ROLE": "admin", "DESTINATION_CLOUDHSM_PIN": admin}
        user = ("user", "replicate", "--username", "cu2", "--role", "crypto-user", *between)
        key = ("key", "replicate", "--filter", "attr.label=copied", *between)
        copied = json.loads(site.must(*user, **names))
        assert copied["data"]["user"]["username"] == "cu2"
        assert copied["data"]["message"] == "Successfully replicated user"
        copied = json.loads(site.must(*key, **names))
        assert copied["data"]["message"] == "Successfully replicated key"
        assert copied["data"]["key"]["attributes"]["label"] == "copied"
        own = names | {"DESTINATION_CLOUDHSM_ROLE": "crypto-user", "DESTINATION_CLOUDHSM_PIN": f"cu1:{PASSWORD}"}
        assert json.loads(site.must(*key, **own))["data"]["key"]["key-info"]["key-owners"][0]["username"] == "cu1"
        assert "copied" in _labels(clone.home)
        (tmp_path / "password").write_text("another-pass-1\n")
        clone.must("user", "change-password", "cu2", "--password-file", str(tmp_path / "password"))
        differs = site.hsm(*user, **names)
        assert json.loads(differs.stdout) == {"error_code": 1, "data": "User replicate failed on 1 of 1 connections"}
        unknown = site.hsm(*key, **(names | {"HSM_CLUSTERS": ""}))
        assert "HSM_CLUSTERS names them" in json.loads(unknown.stdout)["data"]
        unnamed = site.hsm(*key, HSM_CLUSTERS=names["HSM_CLUSTERS"])
        assert "DESTINATION_CLOUDHSM_ROLE" in json.loads(unnamed.stdout)["data"]
        with fresh_site(tmp_path / "stranger") as stranger:
            stranger.must("start")
            refused = site.hsm(*key[:-1], str(stranger.home), **own)
            assert "security domain" in json.loads(refused.stdout)["data"]
    finally:
        clone.must_here("stop")
        site.must_here("stop")


@pytest.mark.long
def test_the_passphrase_and_the_master_key_change(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        site.must("start")
        _make_keys(site.home, "kept")
        running = site.hsm("rekey", "--to-key-file", "--master-key")
        assert running.returncode == 1
        assert "open" in running.stderr
        site.must_here("stop")
        (tmp_path / "new").write_text("a new passphrase\n")
        said = site.must("rekey", "--master-key", "--passphrase-file", str(tmp_path / "new"))
        assert said.startswith("Made a new master key, sealed under the passphrase")
        assert site.hsm("start").returncode == 1
        site.must("start", HSM_PASSPHRASE="a new passphrase")
        assert _labels(site.home) == {"kept"}
        site.must("audit", "verify")
        site.must_here("stop")
        assert site.hsm("rekey").returncode == 1
        assert "key file" in site.must("rekey", "--to-key-file", HSM_PASSPHRASE="a new passphrase")
        site.must("start")


def test_the_daemon_makes_a_backup_and_one_at_the_activation(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm", "--unactivated") as site:
        site.must("start", "--backup-retention-days", "7")
        site.must("cluster", "activate", "--password", ADMIN_PASSWORD)
        assert [info["reason"] for info in _backups(site)] == ["activation"], "made before the command ends"
        site.must("backup", "create")
    with fresh_site(tmp_path / "other") as site:
        site.must("start")
        end = time.monotonic() + 60
        while not _backups(site):
            assert time.monotonic() < end
            time.sleep(0.5)
        assert [info["reason"] for info in _backups(site)] == ["automatic"]
        assert site.hsm("start", "--backup-retention-days", "6").returncode == 2


def test_kill_9_in_the_middle_leaves_no_backup_and_no_half_hsm(tmp_path: Path, tally: Tally) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        site.must("start")
        _make_keys(site.home, *(f"key {number}" for number in range(300)))
        for number in range(repeated(1, 4)):
            before = {info["name"] for info in _backups(site)}
            creating = site.begin("backup", "create")
            _wait_for(lambda: any((site.home / "backups").glob(".unfinished-*")))
            kill(int((site.home / "hsm.lock").read_text()))
            interrupted = creating.wait(60) != 0
            site.must("start")
            after = _backups(site)
            assert all(info["state"] == "ready" for info in after)
            if not interrupted:
                # The backup was done before the signal came.
                assert {info["name"] for info in after} > before
            tally("kill -9 of a backup")["in the middle" if interrupted else "after the end"] += 1
            assert site.must("backup", "create").startswith("Made")
            assert not list((site.home / "backups").glob(".unfinished-*"))
            name, new = str(_backups(site)[-1]["name"]), tmp_path / f"new{number}"
            restoring = site.begin("backup", "restore", name, str(new))
            _wait_for(lambda new=new: (new / "hsm.db").exists())
            restoring.send_signal(signal.SIGKILL)
            restoring.wait(60)
            if site.hsm("start", HSM_HOME=str(new)).returncode:
                site.must("backup", "restore", name, str(new))
                site.must("start", HSM_HOME=str(new))
            assert len(_labels(new)) == 300
            site.must_here("stop", HSM_HOME=str(new))


def _wait_for(happened: object) -> None:
    end = time.monotonic() + 60
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("seconds", "told"), [(4000, "it is valid until "), pytest.param(1, "it ended at ", marks=pytest.mark.long)]
)
def test_a_restore_tells_of_the_certificate(site: Site, tmp_path: Path, seconds: int, told: str) -> None:
    made = ("--new-ca", str(tmp_path / "ca"), "--valid-seconds", str(seconds), "--name", "127.0.0.2", "--name", "hsm1")
    end = site.must("cluster", "initialize", *made).split("valid until")[1].splitlines()[0].strip()
    name = site.must("backup", "create").split()[1].rstrip(":")
    time.sleep(1.1 if seconds == 1 else 0)
    said = site.must("backup", "restore", name, str(tmp_path / "new"))
    assert f"certificate   that of the HSM that made the backup, for hsm1, 127.0.0.2; {told}{end}" in said
    assert "`hsm cluster csr --new-key`" in said
