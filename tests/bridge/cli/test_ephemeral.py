"""``hsm start --ephemeral`` and ``hsm reset`` as processes: nothing is on disk, and nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import PASSWORD, Site, fresh_site, kill

_SECONDS = 60
HSM = [sys.executable, "-m", "bridge"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without an HSM, in which sockets get short paths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "XDG_"))}
    return kept | {"HOME": str(tmp_path)}


@pytest.fixture
def site(environment: dict[str, str]) -> Iterator[Site]:
    """An HSM in memory, as ``eval`` of what the command prints gives it."""
    started = Site(Path(), environment).must("start", "--ephemeral", "--allow-reset")
    words = [word for line in started.splitlines() if line.startswith("export ") for word in shlex.split(line)[1:]]
    variables = dict(word.split("=", 1) for word in words)
    site = Site(Path(variables["HSM_HOME"]), environment | variables)
    yield site
    site.hsm("stop")


def _keys(site: Site) -> list[str]:
    return [row["LABEL"] for row in json.loads(site.must_here("key", "list", "--json"))]


def _make_key(site: Site) -> None:
    words = ("--label", "made", "--key-length-bytes", "16", "--attributes", "token=true")
    site.must_here("key", "generate-symmetric", "aes", *words)


def test_its_life(site: Site, tmp_path: Path) -> None:
    status = json.loads(site.must("status", "--json"))
    assert status["ephemeral"] is True
    assert status["home"] == str(site.home)
    site.must(
        "keytool", "-genseckey", "-alias", "made", "-keyalg", "AES", "-keysize", "128", "-storetype", "CloudHSM",
        "-keystore", str(tmp_path / "store"), "-storepass", "changeit", "-keypass", "changeit",
    )  # fmt: skip
    assert _keys(site) == ["made"]
    assert "no findings" in site.must("audit", "verify")
    assert {path.name for path in site.home.iterdir()} == {"hsm.lock", "hsm.sock"}
    assert (site.home / "hsm.lock").read_text().strip() == str(status["pid"])
    assert site.must("reset") == "Reset\n"
    assert _keys(site) == []
    assert site.must("stop") == "Stopped\n"
    assert not site.home.exists()
    assert "hsm start" in site.hsm("status").stderr


def test_every_client_sees_the_reset(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("another-password\n")
    site.must("user", "create", "cu2", "--password-file", str(file))
    _make_key(site)
    site.must("reset")
    names = {row["username"] for row in json.loads(site.must("user", "list", "--json"))}
    assert names == {"admin", "app_user", "cu1"}
    entries = site.must("audit", "list")
    assert "HSM_RESET" in entries
    _make_key(site)
    assert _keys(site) == ["made"]


def test_users_and_settings_of_the_environment(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "h"
    site = Site(home, environment | {"HSM_HOME": str(home), "HSM_USER": "robot", "HSM_PASSWORD": PASSWORD})
    try:
        shown = json.loads(site.must("start", "--ephemeral", "--json", "--non-extractable"))
        assert (shown["user"], shown["password"]) == ("robot", PASSWORD)
        assert shown["home"] == str(home)
        assert shown["socket"] == str(home / "hsm.sock")
        assert len(shown["admin_password"]) >= 20
        done = site.hsm("reset")
        assert (done.returncode, done.stdout) == (1, "")
        assert "made without --allow-reset" in done.stderr
        _make_key(site)
        (key,) = json.loads(site.must("key", "list", "--json"))
        assert key["EXTRACTABLE"] is False
    finally:
        site.hsm("stop")


def test_an_hsm_on_disk_is_reset_where_it_was_made_for_it(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm", "--allow-reset") as site:
        _make_key(site)
        for _ in ("without a daemon", "with one"):
            assert site.must("reset") == "Reset\n"
            assert _keys(site) == []
            site.must("start")
            _make_key(site)
        site.must("stop")
    with fresh_site(tmp_path / "other") as site:
        done = site.hsm("reset")
        assert done.returncode == 1
        assert "--allow-reset" in done.stderr


def test_it_leaves_an_hsm_on_disk_alone(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        before = {path.name for path in site.home.iterdir()}
        done = site.hsm("start", "--ephemeral")
        assert done.returncode == 1
        assert "another HSM_HOME, or none" in done.stderr
        assert {path.name for path in site.home.iterdir()} == before
        assert _keys(site) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--until-eof",), "--until-eof needs --foreground"),
        (("--allow-reset",), "--allow-reset needs --ephemeral"),
        (("--strict-limits", "--foreground"), "--strict-limits needs --ephemeral"),
    ],
)
def test_options_that_need_another(environment: dict[str, str], words: tuple[str, ...], said: str) -> None:
    done = Site(Path(), environment).hsm("start", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_it_ends_with_the_process_that_started_it(environment: dict[str, str], tmp_path: Path) -> None:
    """A program that starts the daemon with a pipe, prints what it says, and is killed."""
    home = tmp_path / "h"
    code = (
        "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=1);"
        "time.sleep(600)"
    )
    command = [*HSM, "--home", str(home), "start", "--ephemeral", "--foreground", "--until-eof", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            assert select.select([parent.stdout], [], [], _SECONDS)[0]
            started = json.loads(parent.stdout.readline())
            descriptor = os.pidfd_open(started["pid"])
        finally:
            parent.kill()
    try:
        assert select.select([descriptor], [], [], _SECONDS)[0], "the daemon goes on"
    finally:
        os.close(descriptor)
    assert not home.exists()


def test_a_killed_daemon_is_no_obstacle(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "h"
    site = Site(home, environment | {"HSM_HOME": str(home)})
    try:
        for _ in range(2):
            pid = json.loads(site.must("start", "--ephemeral", "--json"))["pid"]
            assert "a daemon runs already" in site.hsm("start", "--ephemeral").stderr
            kill(pid)
            # The process that waits for it may collect it a moment later.
            deadline = time.monotonic() + _SECONDS
            while site.hsm("status").returncode == 0 and time.monotonic() < deadline:
                time.sleep(0.1)
    finally:
        site.hsm("stop")
