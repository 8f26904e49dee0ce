"""Stock keytool and jarsigner as processes, and ways to give them the provider."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.site import Site, fresh_site

PROVIDER = "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider"
STORE_PASSWORD = "changeit"
_HERE = Path(__file__).parent


@cache
def programs() -> str:
    """Return the class path of the programs in this folder, some of which run on Java 11, and the provider's jar."""
    oldest = jdk.classes(_HERE / "Members.java", _HERE / "Remote.java", release=11)
    return f"{oldest}:{jdk.classes(_HERE)}:{provider_jar()}"


@dataclass(frozen=True)
class Desk:
    """A folder to work in, an HSM whose daemon runs, and the JDK's tools."""

    site: Site
    folder: Path

    @property
    def store(self) -> list[str]:
        """The options that name the key store."""
        return ["-storetype", "CloudHSM", "-keystore", "certs.store", "-storepass", STORE_PASSWORD]

    def run(self, *command: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, the JDK's from ``JAVA_HOME`` if that is set."""
        return subprocess.run(
            [*jdk.command(command[0]), *command[1:]], cwd=self.folder, env=self.site.environment | variables,
            capture_output=True, text=True, timeout=120, input=stdin,
        )  # fmt: skip

    def must(self, *command: str, **variables: str) -> str:
        """Run a command, expect success, return what it printed."""
        done = self.run(*command, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def with_provider(self) -> list[str]:
        """The shortest way to give a JDK tool the provider."""
        return ["-J-cp", f"-J{provider_jar()}", "-addprovider", "CloudHSM"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk for the tests of one module; each uses aliases of its own."""
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        site.must("start")
        yield Desk(site, tmp_path_factory.mktemp("desk"))
