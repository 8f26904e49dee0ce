"""Clients with certificates over real TLS, from Java and the command line: who gets in, and why the others do not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import fork_server, jdk
from tests.certificates import Authority
from tests.site import ADMIN_PASSWORD, Site, fresh_site

from .conftest import programs
from .test_tls import HOST, free_port

NO_CERTIFICATE = "it takes clients with a certificate of a registered trust anchor only"
NO_ANCHOR = "no trust anchor of the HSM has signed the certificate of this client"
EXPIRED = "the certificate of this client has expired"
ADMIN = {"CLOUDHSM_ROLE": "admin", "CLOUDHSM_PIN": f"admin:{ADMIN_PASSWORD}"}

Files = tuple[Path, Path]


@dataclass
class Desk:
    """A daemon that serves TLS, and certificates of clients: of two authorities, an expired one, and a stranger's."""

    site: Site
    folder: Path
    port: int
    authorities: tuple[Authority, Authority]
    files: dict[str, Files]

    def configuration(self, client: str) -> Path:
        """Write a configuration with the certificate of a client; with none for ``nobody``."""
        server = {"hostname": HOST, "port": self.port}
        cluster: dict[str, object] = {
            "hsm_ca_file": str(self.site.home / "customerCA.crt"), "servers": [server],
            "options": {"disable_key_availability_check": True},
        }  # fmt: skip
        if client != "nobody":
            certificate, key = self.files[client]
            cluster |= {"client_cert_hsm_tls_file": str(certificate), "client_key_hsm_tls_file": str(key)}
        path = self.folder / f"{client}.cfg"
        path.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": cluster}]}))
        return path

    def cli(self, *words: str, client: str | None = None) -> tuple[int, object]:
        """Run an admin's command over TLS as a client, or over the Unix socket; return the answer."""
        chosen = ["--config", str(self.configuration(client))] if client else []
        kept = {name: value for name, value in self.site.environment.items() if client is None or name != "HSM_HOME"}
        done = fork_server.run(("cloudhsm-cli", *words, *chosen), kept | ADMIN)
        answer = json.loads(done.stdout)
        return answer["error_code"], answer["data"]

    def mtls(self, *words: str, client: str | None = None) -> str:
        """Run an admin's command that succeeds, and return its data as JSON."""
        code, data = self.cli("cluster", "mtls", *words, client=client)
        assert code == 0, data
        return json.dumps(data)

    def java(self, client: str) -> subprocess.Popen[str]:
        """Start a program that uses the HSM once, and again for each line that it reads."""
        kept = {name: value for name, value in self.site.environment.items() if name != "HSM_HOME"}
        return subprocess.Popen(
            [*jdk.command("java"), f"-Dhsmbridge.config={self.configuration(client)}", "-cp", programs(), "Remote",
             "file"],
            env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def refused(self, client: str) -> str:
        """Return the reason that a Java client gets."""
        program = self.java(client)
        said, errors = program.communicate("", timeout=120)
        assert program.returncode == 1, said
        return errors


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("mutual")
    one, two, stranger = Authority("clients"), Authority("other clients"), Authority("stranger")
    files = {
        "app": one.issue(folder, "app"), "late": one.issue(folder, "late", seconds=-60),
        "second": two.issue(folder, "second"), "stranger": stranger.issue(folder, "stranger"),
    }  # fmt: skip
    files["mixed"] = files["app"][0], files["late"][1]
    for name, authority in (("one", one), ("two", two)):
        (folder / f"{name}.pem").write_bytes(authority.certificate)
    with fresh_site(tmp_path_factory.mktemp("hsm") / "hsm") as site:
        site.must_here("cluster", "initialize", "--new-ca", str(folder / "ca"), "--name", HOST)
        port = free_port()
        site.must("start", "--listen", f"{HOST}:{port}")
        yield Desk(site, folder, port, (one, two), files)


def _use(program: subprocess.Popen[str]) -> str:
    assert program.stdin is not None
    assert program.stdout is not None
    print(file=program.stdin, flush=True)
    return program.stdout.readline()


def _lost(program: subprocess.Popen[str]) -> str:
    """Use the HSM again, and return why that fails."""
    assert program.stdin is not None
    print(file=program.stdin, flush=True)
    return program.communicate(timeout=60)[1]


def test_from_the_first_anchor_to_enforcement_and_back(desk: Desk) -> None:
    desk.mtls("register-trust-anchor", "--path", str(desk.folder / "one.pem"))
    # Without enforcement a client needs no certificate, but one that it shows must be good.
    assert desk.cli("user", "list", client="nobody")[0] == 0
    assert NO_ANCHOR in str(desk.cli("user", "list", client="stranger"))
    code, reason = desk.cli("cluster", "mtls", "set-enforcement", "--level", "cluster", client="nobody")
    assert code == 1
    assert "over mutual TLS" in str(reason)
    with desk.java("nobody") as old, desk.java("app") as program:
        try:
            for one in (old, program):
                assert one.stdout is not None
                assert one.stdout.readline() == "used\n"
            said = desk.mtls("set-enforcement", "--level", "cluster", client="app")
            assert said == '{"message": "Mtls enforcement level set to Cluster successfully"}'
            assert _use(program) == "used\n"
            # The connections that were open without a certificate have ended.
            assert NO_CERTIFICATE in _lost(old)
            _require_refusals(desk)
            _exchange_anchors(desk, program)
        finally:
            for one in (old, program):
                one.kill()
    # The Unix socket takes no certificate: the way back.
    assert desk.mtls("get-enforcement") == '{"mtls-enforcement-level": "cluster"}'
    desk.mtls("set-enforcement", "--level", "none")
    assert desk.cli("user", "list", client="nobody")[0] == 0
    entries = desk.site.must("audit", "list", "--json")
    assert "HSM_SET_ENFORCEMENT" in entries


def _require_refusals(desk: Desk) -> None:
    for client, reason in (("nobody", NO_CERTIFICATE), ("stranger", NO_ANCHOR), ("late", EXPIRED)):
        code, said = desk.cli("user", "list", client=client)
        assert code == 1
        assert f"the HSM at {HOST}:{desk.port} refuses the connection: {reason}" in str(said)
        assert reason in desk.refused(client)
    code, said = desk.cli("user", "list", client="mixed")
    assert code == 1
    assert "the private key is not the one of the client certificate" in str(said)
    assert f"{desk.files['mixed'][1]} is not the private key of the certificate in {desk.files['mixed'][0]}" in (
        desk.refused("mixed")
    )


def _exchange_anchors(desk: Desk, program: subprocess.Popen[str]) -> None:
    """The program's connection ends with its anchor, and those of the other anchor go on."""
    assert "register another anchor" in str(
        desk.cli("cluster", "mtls", "deregister-trust-anchor", "--certificate-reference", "0x01", client="app")
    )
    desk.mtls("register-trust-anchor", "--path", str(desk.folder / "two.pem"), client="app")
    assert _use(program) == "used\n"
    said = desk.mtls("deregister-trust-anchor", "--certificate-reference", "0x01", client="second")
    assert said == '{"message": "Trust anchor with reference 0x01 deregistered successfully"}'
    assert NO_ANCHOR in _lost(program)
    assert NO_ANCHOR in str(desk.cli("user", "list", client="app"))
    assert desk.cli("user", "list", client="second")[0] == 0
