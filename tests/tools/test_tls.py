"""A stock JVM and the command lines over TLS: configured in code or a file, first in the list, refused with reasons."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import fork_server, jdk
from tests.certificates import Authority, stand_in
from tests.site import Site, fresh_site

from .conftest import PROVIDER, programs

HOST = "127.0.0.2"


@dataclass(frozen=True)
class Remote:
    """A daemon that serves TLS, a folder with the test's program, and an environment that names no HSM."""

    site: Site
    folder: Path
    port: int
    other_port: int
    """A port of 127.0.0.1, which the certificate does not name."""

    @property
    def authority(self) -> Path:
        return self.site.home / "customerCA.crt"

    def configuration(self, host: str = HOST, port: int = 0, authority: Path | None = None, **cluster: str) -> Path:
        """Write a configuration file."""
        server = {"hostname": host, "port": port or self.port, "enable": True}
        options = {"disable_key_availability_check": True}
        content = {"hsm_ca_file": str(authority or self.authority), "servers": [server], "options": options, **cluster}
        path = self.folder / "cloudhsm-jce.cfg"
        path.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": content}]}))
        return path

    def java(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in self.site.environment.items() if name != "HSM_HOME"}
        return subprocess.run(
            [*jdk.command("java"), *options, "-cp", programs(), "Remote", *words],
            env=kept, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def refused(self, configuration: Path) -> str:
        done = self.java("file", options=(f"-Dhsmbridge.config={configuration}",))
        assert done.returncode == 1, done.stdout
        assert "ProviderInitializationException" in done.stderr
        return done.stderr


def free_port(host: str = HOST) -> int:
    with socket.create_server((host, 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("remote")
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        refused = site.hsm("start", "--listen", HOST)
        assert refused.returncode == 1
        assert "no TLS certificate; `hsm cluster csr` and `hsm cluster initialize` give it one" in refused.stderr
        said = site.must("cluster", "initialize", "--new-ca", str(folder / "ca"), "--name", HOST)
        assert f"clients need  {site.home / 'customerCA.crt'}" in said
        port, other = free_port(), free_port("127.0.0.1")
        site.must("start", "--listen", f"{HOST}:{port}", "--listen", f"127.0.0.1:{other}")
        assert json.loads(site.must_here("status", "--json"))["listen"] == f"{HOST}:{port}, 127.0.0.1:{other}"
        yield Remote(site, folder, port, other)


@pytest.mark.long  # test_refusals_name_the_reason has an expired certificate
def test_a_certificate_that_ends_soon(remote: Remote) -> None:
    initialize = ("cluster", "initialize", "--new-ca", str(remote.folder / "ca"), "--name", HOST)
    remote.site.must(*initialize, "--valid-seconds", "15")
    end = time.time() + 15
    program = "-Dhsmbridge.config=" + str(remote.configuration())
    assert remote.java("file", options=(program,)).stdout == "used\n"
    time.sleep(max(0.0, end - time.time()))
    assert "its certificate has expired (NotAfter: " in remote.refused(remote.configuration())
    remote.site.must(*initialize)
    assert remote.java("file", options=(program,)).stdout == "used\n"


def test_a_configuration_in_code_and_one_in_a_file(remote: Remote) -> None:
    done = remote.java("config", HOST, str(remote.port), str(remote.authority))
    assert done.stdout == "used\n", done.stderr
    done = remote.java("file", options=(f"-Dhsmbridge.config={remote.configuration()}",))
    assert done.stdout == "used\n", done.stderr


def test_the_provider_is_the_first_of_the_jvm(remote: Remote) -> None:
    """JSSE must not take its algorithms from the HSM to which it is connecting."""
    names = [PROVIDER, "SUN", "SunRsaSign", "SunEC", "SunJSSE", "SunJCE"]
    lines = remote.folder / "first.security"
    lines.write_text("".join(f"security.provider.{number}={name}\n" for number, name in enumerate(names, 1)))
    options = f"-Djava.security.properties=={lines}", f"-Dhsmbridge.config={remote.configuration()}"
    done = remote.java("listed", options=options)
    assert done.stdout == "first: CloudHSM\nused\n", done.stderr


def test_refusals_name_the_reason(remote: Remote) -> None:
    authority = Authority("another")
    other = remote.folder / "other.crt"
    other.write_bytes(authority.certificate)
    said = remote.refused(remote.configuration(authority=other))
    assert f"no authority in {other} has signed its certificate" in said
    said = remote.refused(remote.configuration("127.0.0.1", remote.other_port))
    assert f"its certificate is for {HOST}, not for 127.0.0.1" in said
    assert "Connection refused. `hsm start --listen`" in remote.refused(remote.configuration(port=free_port()))
    expired = authority.issue(remote.folder, "expired", "127.0.0.1", seconds=-60)
    with stand_in(expired) as port:
        said = remote.refused(remote.configuration("127.0.0.1", port, other))
    assert "its certificate has expired (NotAfter: " in said
    valid = authority.issue(remote.folder, "valid", "127.0.0.1")
    with stand_in(valid, ssl.TLSVersion.TLSv1_2) as port:
        said = remote.refused(remote.configuration("127.0.0.1", port, other))
    assert "it does not speak TLS 1.3" in said
    # A server that is no HSM, and ends the connection after the handshake.
    with stand_in(valid) as port:
        assert f"the HSM at 127.0.0.1:{port} closed the connection" in remote.refused(
            remote.configuration("127.0.0.1", port, other)
        )


def test_files_that_are_missing_or_damaged(remote: Remote) -> None:
    damaged = remote.folder / "damaged.crt"
    damaged.write_text("nothing")
    for files, said in (
        ({"hsm_ca_file": str(damaged)}, f"{damaged} has no certificates in PEM"),
        ({"client_cert_path": str(damaged)}, "needs its private key"),
        ({"client_cert_path": str(remote.authority), "client_key_path": str(damaged)}, "no private key"),
    ):
        done = remote.java("file", options=(f"-Dhsmbridge.config={remote.configuration(**files)}",))
        assert done.returncode == 1
        assert said in done.stderr


def _of_hsm(environment: dict[str, str]) -> None:
    """Run commands of ``hsm`` over TLS, and one that only the owner of the state directory may."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return fork_server.run(("hsm", *words), environment)

    status = run("status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["configuration"] == environment["HSM_CONFIG"]
    for words in (["key", "list", "--json"], ["user", "list"], ["audit", "verify"]):
        assert run(*words).returncode == 0, words
    refused = run("cluster", "csr")
    assert refused.returncode == 1
    assert "is for the owner of the state directory, and for root" in refused.stderr


def test_the_command_lines_reach_the_hsm_over_tls(remote: Remote) -> None:
    environment = {name: value for name, value in remote.site.environment.items() if name != "HSM_HOME"}

    def answer(*words: str, **variables: str) -> dict[str, object]:
        return dict(json.loads(fork_server.run(("cloudhsm-cli", *words), environment | variables).stdout))

    configuration = str(remote.configuration())
    both = json.loads(Path(configuration).read_text())
    nobody = {"servers": [{"hostname": HOST, "port": free_port()}], "hsm_ca_file": str(remote.authority)}
    both["clusters"] = [{"cluster_id": "a", "cluster": nobody}, {"cluster_id": "B", **both["clusters"][0]}]
    several = remote.folder / "several.cfg"
    several.write_text(json.dumps(both))
    assert "no HSM answers at" in str(answer("user", "list", "--config", str(several))["data"])
    assert answer("user", "list", "--config", str(several), "--cluster-id", "b")["error_code"] == 0
    assert "there are a, B" in str(answer("user", "list", "--config", str(several), "--cluster-id", "c")["data"])
    _of_hsm(environment | {"HSM_CONFIG": configuration})
    assert answer("key", "list", "--config", configuration)["error_code"] == 0
    assert answer("user", "list", HSM_CONFIG=configuration)["error_code"] == 0
    other = remote.folder / "other-cli.crt"
    other.write_bytes(Authority("a third").certificate)
    refused = answer("user", "list", "--config", str(remote.configuration(authority=other)))
    assert refused["error_code"] == 1
    assert "no authority in" in str(refused["data"])
    words = ("cloudhsm-cli", "interactive", "--config", str(remote.configuration()))
    done = fork_server.run(words, environment, given=b"user list\nquit\n")
    assert '"username": "cu1"' in done.stdout
