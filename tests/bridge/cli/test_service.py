"""``hsm service``: the unit file fits the installation, systemd accepts it, and systemctl is told."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.requirements import missing, tool
from tests.site import Site, fresh_site

_ACCOUNT = "root" if os.geteuid() == 0 else os.environ.get("USER", "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("service") / "an hsm of 100%") as site:
        yield site


@pytest.fixture
def user(site: Site, tmp_path: Path) -> Site:
    """The site with a home directory, and a systemctl that notes its words and answers as a running systemd does."""
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ncase "$*" in *is-*) echo active;; esac\n')
    systemctl.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{site.environment['PATH']}"
    return Site(site.home, site.environment | {"HOME": str(tmp_path), "PATH": path})


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, _, value in (line.partition("=") for line in unit.splitlines() if not line.startswith("#")):
        found.setdefault(name, []).append(value)
    return found


def verified(unit: str, folder: Path) -> None:
    file = folder / "hsmbridge.service"
    file.write_text(unit)
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert file.name not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "words", [["--user"], ["--run-as", _ACCOUNT], ["--run-as", _ACCOUNT, "--listen", "127.0.0.2:2223"]]
)
def test_systemd_accepts_the_unit(site: Site, tmp_path: Path, words: list[str]) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a-good-passphrase\n")
    said = site.must_here("service", "install", "--dry-run", "--passphrase-file", str(passphrase), *words)
    verified(said, tmp_path)
    assert f"LoadCredential=hsm-passphrase:{passphrase}" in said
    assert "a-good-passphrase" not in said
    found = directives(said)
    assert found["Environment"] == ['"HSM_HOME=' + str(site.home).replace("%", "%%") + '"']
    assert found["NoNewPrivileges"] == ["true"]
    assert found["LimitCORE"] == ["0"]
    assert ("IPAddressDeny" in found) == ("--run-as" in words and "--listen" not in words)
    assert ("ProtectSystem" in found) == ("--run-as" in words)


_RUN = {"/run/hsmbridge": "hsmbridge", "/run/a/b": "a/b", "/run/my 100%": '"my 100%%"'}


@pytest.mark.parametrize("directory", [*_RUN, "/srv/socket"])
def test_a_socket_for_a_group(site: Site, tmp_path: Path, directory: str) -> None:
    words = ("--run-as", _ACCOUNT, "--socket-group", "root", "--socket-directory", directory)
    said = site.must("service", "install", "--dry-run", *words)
    verified(said, tmp_path)
    found = directives(said)
    assert found["SupplementaryGroups"] == ["root"]
    assert "--socket-group root --socket-directory " in found["ExecStart"][0]
    assert found["SystemCallFilter"][-1] == "@chown"
    assert "PrivateUsers" not in found
    if directory in _RUN:
        assert (found["RuntimeDirectory"], found["RuntimeDirectoryMode"]) == ([_RUN[directory]], ["0755"])
    else:
        assert directory in found["ReadWritePaths"]
    refused = site.hsm("service", "install", "--user", "--dry-run", "--socket-group", "root")
    assert refused.returncode == 2
    assert site.hsm("service", "install", "--socket-group", "no-such-group", "--run-as", _ACCOUNT).returncode == 1


def test_the_unit_runs_this_installation(site: Site) -> None:
    (command,) = directives(site.must_here("service", "install", "--user", "--dry-run", "--metrics-port", "0"))[
        "ExecStart"
    ]
    words = shlex.split(command)
    assert Path(words[0]).parent == Path(sys.executable).parent
    with subprocess.Popen(words, env=site.environment, stdin=subprocess.DEVNULL) as daemon:
        try:
            for _ in range(300):
                if site.hsm("status").returncode == 0:
                    break
            assert "127.0.0.1" in site.must_here("status")
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0


def test_a_credential_opens_the_hsm(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    site = Site(tmp_path / "hsm", kept | {"HSM_HOME": str(tmp_path / "hsm")})
    site.must_here("init", HSM_PASSPHRASE="a-good-passphrase", HSM_USER="cu1", HSM_PASSWORD="a-good-password")
    own = {"HSM_USER": "cu1", "HSM_PASSWORD": "a-good-password"}
    assert site.here("key", "list", **own).returncode == 1
    (tmp_path / "hsm-passphrase").write_text("a-good-passphrase\n")
    site.must("key", "list", CREDENTIALS_DIRECTORY=str(tmp_path), **own)
    refused = site.here("service", "install", "--user", "--dry-run")
    assert refused.returncode == 1
    assert "--passphrase-file" in refused.stderr


def test_install_status_and_uninstall(user: Site, tmp_path: Path) -> None:
    asked, file = tmp_path / "asked", tmp_path / ".config" / "systemd" / "user" / "hsmbridge.service"
    assert user.here("service", "status", "--user").returncode == 1
    said = user.must_here("service", "install", "--user")
    assert file.read_text() == user.must_here("service", "install", "--user", "--dry-run")
    assert "Next: systemctl --user enable --now hsmbridge.service" in said
    assert asked.read_text().splitlines()[-1] == "--user daemon-reload"
    assert re.search(r"active +active", user.must_here("service", "status", "--user"))
    user.must_here("service", "uninstall", "--user", "--dry-run")
    assert file.exists()
    assert str(file) in user.must_here("service", "uninstall", "--user")
    assert not file.exists()
    assert asked.read_text().splitlines()[-2:] == ["--user disable --now hsmbridge.service", "--user daemon-reload"]
    assert "There is no" in user.must_here("service", "uninstall", "--user")


def test_a_service_of_a_user_who_does_not_exist(user: Site) -> None:
    refused = user.here("service", "install", "--run-as", "nobody_of_that_name")
    assert refused.returncode == 1
    assert "useradd --system" in refused.stderr


@pytest.fixture
def account() -> str:
    if os.geteuid() != 0:
        missing("only root runs a program as another user")
    return "daemon"


def test_a_service_whose_user_cannot_run_hsm(site: Site, account: str, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    python = hidden / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", hidden], check=True, timeout=60)
    (packages,) = hidden.glob("lib/python*/site-packages")
    (packages / "all.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    done = subprocess.run(
        [python, "-m", "bridge", "service", "install", "--run-as", account], env=site.environment, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"the user {account} cannot run {python}: Permission denied; install hsmbridge" in done.stderr


def test_a_service_whose_group_does_not_exist(site: Site, account: str) -> None:
    refused = site.hsm("service", "install", "--run-as", account, "--group", "nobody_of_that_name")
    assert refused.returncode == 1
    assert "there is no group nobody_of_that_name" in refused.stderr


def test_the_example_in_the_wheel(tmp_path: Path) -> None:
    example = (ROOT / "packaging" / "share" / "hsmbridge" / "hsmbridge.service").read_text()
    found = directives(example)
    for name, value in {
        "Type": "notify", "UMask": "0077", "LimitMEMLOCK": "infinity", "ProtectSystem": "strict",
        "StateDirectoryMode": "0700", "CapabilityBoundingSet": "", "ExecStart": "/usr/bin/hsm start --foreground",
        "ProtectHome": "true",
    }.items():  # fmt: skip
        assert found[name] == [value]
    verified(example.replace("/usr/bin/hsm", sys.executable).replace("User=hsmbridge", "User=root"), tmp_path)
