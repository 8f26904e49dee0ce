"""OpenSSH: a login whose private key is in the HSM."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

import pytest

from tests.conftest import alike
from tests.native.cryptoki import library
from tests.native.web_servers import free_port
from tests.requirements import tool
from tests.site import PASSWORD, Site

_SEPARATED = Path("/run/sshd")
_CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
AuthenticationMethods publickey
AuthorizedKeysFile {folder}/authorized
"""


@contextmanager
def _sshd(folder: Path, port: int) -> Iterator[None]:
    """Run sshd as this user. Root's needs an empty directory, which a service of the system makes."""
    (folder / "sshd_config").write_text(_CONFIGURATION.format(port=port, folder=folder))
    made = os.geteuid() == 0 and not _SEPARATED.exists()
    if made:
        _SEPARATED.mkdir(mode=0o755)
    command = [tool("sshd"), "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log) as server:
        try:
            for _ in range(1200):
                assert server.poll() is None, (folder / "log").read_text()
                try:
                    create_connection(("127.0.0.1", port), 5).close()
                except OSError:
                    time.sleep(0.05)
                else:
                    break
            yield
        finally:
            server.terminate()
            server.wait(30)
            if made:
                _SEPARATED.rmdir()


@pytest.mark.parametrize("kind", alike(["EC:prime256v1", "rsa:2048"]))
def test_ssh_logs_in_with_a_key_in_the_hsm(site: Site, tmp_path: Path, kind: str) -> None:
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\necho cu1:{PASSWORD}\n")
    ask.chmod(0o700)
    environment = site.environment | {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )

    made = run(
        tool("pkcs11-tool"), "--module", str(library()), "--session-rw", "--login", "--pin", f"cu1:{PASSWORD}",
        "--keypairgen", "--private", "--key-type", kind, "--label", kind, "--id", kind.encode().hex(),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (tmp_path / "authorized").write_text(run("ssh-keygen", "-D", str(library())).stdout)
    assert run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "host")).returncode == 0
    port = free_port()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    options = (
        "-F", "none", "-p", str(port), "-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "StrictHostKeyChecking=yes",
        "-o", "IdentityFile=none", "-o", "IdentityAgent=none", "-o", "PasswordAuthentication=no",
    )  # fmt: skip
    address = f"{getpass.getuser()}@127.0.0.1"
    with _sshd(tmp_path, port):
        logged_in = run(tool("ssh"), *options, "-I", str(library()), address, "echo logged in")
        assert logged_in.stdout == "logged in\n", logged_in.stderr + (tmp_path / "log").read_text()
        refused = run("ssh", *options, address, "echo logged in")
        assert "Permission denied" in refused.stderr
