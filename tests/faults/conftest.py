"""An HSM in a directory of its own and its daemon as a process, to be broken."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "correct-horse-1"


@dataclass(frozen=True)
class Site:
    """A state directory and how to run commands on it."""

    home: Path
    environment: dict[str, str]

    def hsm(self, *arguments: str, file_size_limit: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``hsm``; with a limit, no file it or its daemon writes grows beyond that many bytes."""

        def limit() -> None:
            if file_size_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_limit, file_size_limit))

        return subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            env=self.environment, capture_output=True, text=True, preexec_fn=limit, timeout=60,
        )  # fmt: skip

    def must(self, *arguments: str) -> str:
        """Run ``hsm``, expect success, return what it printed."""
        done = self.hsm(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A fresh HSM with the crypto user ``cu1``; its daemon, if one runs, is stopped afterwards."""
    home = tmp_path_factory.mktemp("hsm", numbered=True)
    environment = os.environ | {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD}
    site = Site(home, environment)
    site.must("init")
    yield site
    site.hsm("stop")
