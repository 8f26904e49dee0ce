"""One provider instance with two HSMs: it spreads, survives a loss, returns, and keeps session keys in place."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.process.paths import socket_path
from tests import jdk
from tests.postgresql import Server
from tests.site import Site, fresh_site, kill

from .conftest import programs
from .test_tls import free_port

_HOSTS = ("127.0.0.2", "127.0.0.3")


@dataclass(frozen=True)
class Members:
    """Two daemons, and how to run a Java program that uses both. They are copies of one HSM, or a cluster."""

    sites: tuple[Site, Site]
    ports: tuple[int, int]
    folder: Path
    further: str = ""
    """A second address of the first one, as host:port."""

    def start(self, member: int) -> None:
        further = ["--listen", self.further] if self.further and member == 0 else []
        self.sites[member].must("start", "--listen", f"{_HOSTS[member]}:{self.ports[member]}", *further)

    def kill(self, member: int) -> None:
        """End a daemon without a warning."""
        kill(self.status(member)["pid"])

    def status(self, member: int) -> dict[str, int]:
        return dict(json.loads(self.sites[member].must_here("status", "--json")))

    def program(self, *members: int, more: str = "", sockets: bool = False, **options: bool) -> subprocess.Popen[str]:
        """Run the program, with some members, or their sockets, and perhaps another address in its configuration."""
        servers: list[dict[str, object]] = [
            {"hostname": str(socket_path(self.sites[member].home)) if sockets else _HOSTS[member],
             "port": self.ports[member]}
            for member in members
        ]  # fmt: skip
        if more:
            host, _, port = more.partition(":")
            servers.append({"hostname": host, "port": int(port)})
        cluster = {"hsm_ca_file": str(self.sites[0].home / "customerCA.crt"), "servers": servers, "options": options}
        path = self.folder / "members.cfg"
        path.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": cluster}]}))
        kept = {name: value for name, value in self.sites[0].environment.items() if name != "HSM_HOME"}
        return subprocess.Popen(
            [*jdk.command("java"), f"-Dhsmbridge.config={path}", "-Dhsmbridge.timeout=20", "-cp", programs(),
             "Members"],
            env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    folder = tmp_path_factory.mktemp("members")
    with fresh_site(tmp_path_factory.mktemp("m") / "one") as site:
        names = [word for host in _HOSTS for word in ("--name", host)]
        site.must_here("cluster", "initialize", "--new-ca", str(folder / "ca"), *names)
        words = "--curve secp256r1 --public-label shared --private-label shared --private-attributes sign=true"
        site.must_here("key", "generate-asymmetric-pair", "ec", *words.split())
        copy = site.home.with_name("two")
        shutil.copytree(site.home, copy)
        other = Site(copy, site.environment | {"HSM_HOME": str(copy)})
        made = Members((site, other), (free_port(_HOSTS[0]), free_port(_HOSTS[1])), folder)
        try:
            made.start(0)
            made.start(1)
            yield made
        finally:
            other.here("stop")


@pytest.fixture
def cluster(tmp_path: Path, members: Members) -> Iterator[Members]:
    """Two HSMs of a cluster on PostgreSQL; the first one has two addresses."""
    server = Server("fsync = off")
    try:
        url, one, two = server.new(), tmp_path / "one", tmp_path / "two"
        environment = members.sites[0].environment
        sites = tuple(Site(home, environment | {"HSM_HOME": str(home)}) for home in (one, two))
        sites[0].must_here("init", "--store", url)
        sites[1].must_here("join", "--store", url, "--master-key-file", str(one / "master.key"))
        for site in sites:
            names = [word for host in (*_HOSTS, "127.0.0.4") for word in ("--name", host)]
            site.must_here("cluster", "initialize", "--new-ca", str(tmp_path / "ca"), *names)
        words = "--curve secp256r1 --public-label shared --private-label shared --private-attributes sign=true"
        sites[0].must_here("key", "generate-asymmetric-pair", "ec", *words.split())
        further = f"127.0.0.4:{free_port('127.0.0.4')}"
        made = Members((sites[0], sites[1]), (free_port(_HOSTS[0]), free_port(_HOSTS[1])), members.folder, further)
        try:
            for member in (0, 1):
                made.start(member)
            yield made
        finally:
            for site in sites:
                site.here("stop")
    finally:
        server.close()


@pytest.fixture
def running(members: Members) -> Iterator[ExitStack]:
    """Ends the programs of a test, and starts the daemons that it has ended."""
    with ExitStack() as stack:
        yield stack
    for member in (0, 1):
        if members.sites[member].here("status").returncode != 0:
            members.start(member)


def tell(program: subprocess.Popen[str], command: str) -> str:
    assert program.stdin is not None
    assert program.stdout is not None
    print(command, file=program.stdin, flush=True)
    return program.stdout.readline().rstrip("\n")


def ended(stack: ExitStack, program: subprocess.Popen[str]) -> subprocess.Popen[str]:
    stack.enter_context(program)
    stack.callback(program.kill)
    return program


def test_uses_are_spread_and_survive_the_loss_of_an_hsm(members: Members, running: ExitStack) -> None:
    program = ended(running, members.program(0, 1, disable_key_availability_check=True))
    assert tell(program, "use 400") == "ok"
    assert all(members.status(member)["sessions"] >= 1 for member in (0, 1))
    for member in (0, 1):
        members.kill(member)
        assert tell(program, "use 200") == "ok"
        members.start(member)
        assert members.status(member)["sessions"] == 0
        for _ in range(60):
            assert tell(program, "use 200") == "ok"
            if members.status(member)["sessions"] >= 1:
                break
        else:
            pytest.fail("the client has not returned to the HSM")


def test_two_sockets_are_used_likewise(members: Members, running: ExitStack) -> None:
    """There is no key availability check."""
    program = ended(running, members.program(0, 1, sockets=True))
    for member in (0, 1):
        members.kill(member)
        assert tell(program, "use 50") == "ok"
        members.start(member)


def test_session_keys_and_operations_stay_with_their_hsm(members: Members, running: ExitStack) -> None:
    program = ended(running, members.program(0, 1, disable_key_availability_check=True))
    assert tell(program, "session") == "ok"
    assert tell(program, "old") == "ok"
    assert tell(program, "multi") == "ok"
    keys = [members.status(member)["keys"] for member in (0, 1)]
    assert abs(keys[0] - keys[1]) == 1
    members.kill(keys.index(max(keys)))
    assert "The underlying Provider connection was lost" in tell(program, "old")
    assert tell(program, "use 20") == "ok"
    assert tell(program, "session") == "ok"
    assert tell(program, "old") == "ok"


def test_a_token_key_needs_two_hsms_if_that_is_checked(members: Members, running: ExitStack) -> None:
    text = "Cannot perform the requested key operation as the key must be available on at least 2 HSMs"
    program = ended(running, members.program(0, 1))
    assert tell(program, "use 4") == "ok"
    members.kill(1)
    # The first use may still succeed at the other HSM, until the client has noticed.
    assert text in [tell(program, "use 8") for _ in range(3)][-1]
    assert tell(program, "session") == "ok"
    assert tell(program, "old") == "ok"
    unchecked = ended(running, members.program(0, 1, disable_key_availability_check=True))
    assert tell(unchecked, "use 20") == "ok"


def test_one_configured_server_leads_to_no_more_than_the_cluster_names(members: Members, running: ExitStack) -> None:
    program = ended(running, members.program(0))
    assert "at least 2 HSMs" in tell(program, "use 1")
    unchecked = ended(running, members.program(0, disable_key_availability_check=True))
    assert tell(unchecked, "use 10") == "ok"


def test_one_configured_server_leads_to_the_others_of_its_cluster(cluster: Members) -> None:
    addresses = [f"{_HOSTS[0]}:{cluster.ports[0]}, {cluster.further}", f"{_HOSTS[1]}:{cluster.ports[1]}"]
    for site in cluster.sites:
        hsms = json.loads(site.must("cluster", "hsm-info"))["data"]["hsms"]
        assert [hsm["address"] for hsm in hsms] == addresses
    with ExitStack() as stack:
        program = ended(stack, cluster.program(0))
        assert tell(program, "use 40") == "ok", "two HSMs answer, and the configuration names one"
        assert [cluster.status(member)["sessions"] for member in (0, 1)] == [1, 1]
        cluster.kill(1)
        text = "at least 2 HSMs"
        assert text in [tell(program, "use 8") for _ in range(3)][-1]
        # One HSM that is configured under two addresses is one.
        again = ended(stack, cluster.program(0, more=cluster.further))
        assert text in tell(again, "use 1")
