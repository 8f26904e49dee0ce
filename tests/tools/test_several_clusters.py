"""A configuration file with several clusters, each a provider instance: from code, keytool and ``java.security``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from tests import fork_server
from tests.site import PASSWORD, Site

from .conftest import PROVIDER, Desk, programs


@contextmanager
def in_memory(home: Path) -> Iterator[Site]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    site = Site(home, kept | {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD})
    site.must("start", "--ephemeral")
    try:
        yield site
    finally:
        site.hsm("stop")


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A file of ``configure-jce`` with the clusters ``blue`` and ``green``; each HSM has a key with that label."""
    folder = tmp_path_factory.mktemp("desk")
    with in_memory(tmp_path_factory.mktemp("blue")) as blue, in_memory(tmp_path_factory.mktemp("green")) as green:
        kept = {name: value for name, value in blue.environment.items() if name != "HSM_HOME"}
        desk = Desk(Site(blue.home, kept | {"HSM_CONFIG": "jce.cfg"}), folder)
        for name, site in (("blue", blue), ("green", green)):
            configure = ("configure-jce", "add-cluster", "--config", str(folder / "jce.cfg"))
            words = (*configure, "--cluster-id", name, "-a", str(socket_path(site.home)))
            assert fork_server.run(words, site.environment).returncode == 0
            words = ("-genseckey", "-alias", name, "-keyalg", "AES", "-keysize", "256", "-providerName", name)
            done = keytool(desk, *words, cluster=name)
            assert done.returncode == 0, done.stdout + done.stderr
        yield desk


def keytool(desk: Desk, *words: str, cluster: str) -> subprocess.CompletedProcess[str]:
    options = ("-providerpath", str(provider_jar()), "-providerclass", PROVIDER, "-providerarg", f"cluster={cluster}")
    return desk.run("keytool", *words, *options, *desk.store)


def listed(desk: Desk, *words: str) -> list[str]:
    options = [word for word in words if word.startswith("-D")]
    identifiers = [word for word in words if word not in options]
    return desk.must("java", *options, "-cp", programs(), "Clusters", *identifiers).splitlines()


def test_each_instance_has_its_cluster(clusters: Desk) -> None:
    assert listed(clusters, "green", "BLUE", "red") == [
        "CloudHSM [blue]",
        "green [green]",
        "BLUE [blue]",
        "jce.cfg has no cluster red; there are: blue, green",
        "jce.cfg has no cluster yellow; there are: blue, green",
        "A cluster of the configuration file has its certificates and options there; call withServer for others",
    ]


def test_lines_of_java_security_name_clusters(clusters: Desk) -> None:
    names = ["SUN", "SunRsaSign", "SunEC", "SunJSSE", "SunJCE", f"{PROVIDER} cluster=green", f"{PROVIDER} cluster=blue"]
    lines = clusters.folder / "own.security"
    lines.write_text("".join(f"security.provider.{number}={name}\n" for number, name in enumerate(names, 1)))
    found = listed(clusters, f"-Djava.security.properties=={lines}")
    assert found[:3] == ["green [green]", "blue [blue]", "CloudHSM [blue]"]


def test_a_setting_of_the_process_changes_the_default_only(clusters: Desk) -> None:
    """Both clusters are still those of the file."""
    found = listed(clusters, "-Dhsmbridge.socket=/nowhere/hsm.sock", "green", "blue")
    assert "[" not in found[0]
    assert found[1:3] == ["green [green]", "blue [blue]"]
