"""Java programs of users, as processes: which class path they get, how they reach the HSM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.site import Site

STORE_PASSWORD = "changeit"
_SECONDS = 120
"""How long a program may take."""


@dataclass(frozen=True)
class Application:
    """A user's folder and class path beside one HSM.

    ``beside`` runs programs with ``hsm java``, in one process with the HSM; else they are a stock JVM's, and the HSM is
    the daemon's. Without the provider they run on the JDK alone, as a judge.
    """

    site: Site
    folder: Path
    class_path: tuple[Path, ...]
    beside: bool = False
    without_provider: bool = False
    seconds: int = _SECONDS

    def run(self, program: str, *arguments: object, stdin: str | None = None, **variables: str) -> str:
        """Run a program with assertions on, expect success, return what it printed."""
        done = self.attempt(program, *arguments, stdin=stdin, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def attempt(
        self, program: str, *arguments: object, stdin: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with assertions on."""
        return subprocess.run(
            self._command(program, *arguments), cwd=self.folder, env=self.site.environment | variables,
            input=stdin, capture_output=True, text=True, timeout=self.seconds,
        )  # fmt: skip

    @contextmanager
    def started(self, program: str, *arguments: object, **variables: str) -> Iterator[list[str]]:
        """Run a server; give the lines that it prints, the last of them ``ready``."""
        environment = self.site.environment | variables
        with served(self._command(program, *arguments), self.folder, environment, until="ready") as lines:
            yield lines

    def openssl(self, *arguments: object, stdin: str = "") -> str:
        """Run ``openssl`` in the folder, expect success, return all it printed."""
        done = self.attempt_openssl(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def attempt_openssl(self, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``openssl`` in the folder."""
        return subprocess.run(
            ["openssl", *map(str, arguments)],
            cwd=self.folder, input=stdin, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
        )  # fmt: skip

    def _command(self, program: str, *arguments: object) -> list[str]:
        given = self.beside or self.without_provider
        paths = self.class_path if given else (provider_jar(), *self.class_path)
        launcher = [sys.executable, "-m", "bridge", "java", *jdk.QUICK] if self.beside else jdk.command("java")
        return [*launcher, "-ea", "-cp", os.pathsep.join(map(str, paths)), program, *map(str, arguments)]


@contextmanager
def served(command: list[str], folder: Path, environment: dict[str, str], until: str) -> Iterator[list[str]]:
    """Run a server process; give what it printed up to the line that begins with ``until``, that line included."""
    with (folder / "server.err").open("w+") as complaints:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            lines: list[str] = []
            while not lines or not lines[-1].startswith(until):
                line = server.stdout.readline()
                assert line, (folder / "server.err").read_text()
                lines.append(line.strip())
            yield lines
        finally:
            server.terminate()
            server.communicate(timeout=_SECONDS)


def copied(site: Site, home: Path) -> Site:
    """Return a site with the same keys in a directory of its own; nobody may have the first one open."""
    shutil.copytree(site.home, home)
    return Site(home, site.environment | {"HSM_HOME": str(home)})
