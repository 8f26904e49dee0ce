"""An HSM in a directory of its own, its commands and its daemon as processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from unittest.mock import patch

import pytest

from bridge.cli import commands
from hsmcore.storage.state_directory import lock_holder
from tests import fork_server

PASSWORD = "correct-horse-1"
"""The password of the crypto user ``cu1`` of every site."""
ADMIN_PASSWORD = "battery-staple-2"


@dataclass(frozen=True)
class Site:
    """A state directory and how to run commands on it."""

    home: Path
    environment: dict[str, str]

    def hsm(
        self, *arguments: str, file_size_limit: int | None = None, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``hsm``; with a limit, no file it or its daemon writes grows beyond that many bytes."""
        return fork_server.run(
            ("hsm", *arguments), self.environment | variables, directory=cwd, file_size_limit=file_size_limit
        )

    def here(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``hsm`` in this process, whose JVM it uses; a password that it sets has a hash of little cost."""
        with TemporaryFile("w+") as out, TemporaryFile("w+") as errors, Path(os.devnull).open() as nothing:
            with (
                patch.dict(os.environ, self.environment | variables, clear=True), patch("sys.stdin", nothing),
                redirect_stdout(out), redirect_stderr(errors), pytest.raises(SystemExit) as ended,
            ):  # fmt: skip
                commands.hsm.main(arguments, prog_name="hsm")
            for file in (out, errors):
                file.seek(0)
            return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.read(), errors.read())

    def must_here(self, *arguments: str, **variables: str) -> str:
        """Run ``hsm`` in this process, expect success, return what it printed."""
        done = self.here(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin to run ``hsm``; the caller waits for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "bridge", *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def path(self) -> str:
        """``PATH`` with the commands of this environment first."""
        return f"{Path(sys.executable).parent}{os.pathsep}{self.environment.get('PATH', os.defpath)}"

    def must(self, *arguments: str, **variables: str) -> str:
        """Run ``hsm``, expect success, return what it printed."""
        done = self.hsm(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


def made_up_password(said: str) -> str:
    """Return the admin's password that the first line of ``hsm init`` shows."""
    return said.splitlines()[0].split("admin's password: ")[1].split()[0]


def kill(pid: int) -> None:
    """End a process without a warning and wait for its end: a process holds its HSM until then."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 60)[0], pid
    finally:
        os.close(descriptor)


@contextmanager
def fresh_site(home: Path, *options: str) -> Iterator[Site]:
    """Make an HSM with the crypto user ``cu1``; its daemon, if one runs, is stopped afterwards.

    Args:
        home: The state directory.
        options: Options of ``hsm init``.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    own = {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD, "HSM_ADMIN_PASSWORD": ADMIN_PASSWORD}
    site = Site(home, kept | own)
    # A password's hash costs little in this process (tests/conftest.py), and then in those that check it.
    site.must_here("init", *options)
    try:
        yield site
    finally:
        if lock_holder(home) is not None:
            site.here("stop")
