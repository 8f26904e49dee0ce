"""Only BKS and UBER files need pyjks, which takes a C compiler to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.keystore.foreign.conftest import Cli

DATA = Path(__file__).parent / "data"
COMMAND = """
import sys
for name in ("jks", "javaobj", "pyasn1", "pyasn1_modules", "Cryptodome", "twofish"):
    sys.modules[name] = None
from bridge.cli import main
main()
"""


def without_pyjks(cli: Cli, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "keystore", *words],
        env=cli.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.long
def test_the_formats_of_java_are_read_and_written(cli: Cli, stores: Path) -> None:
    for name in ("all.jks", "all.jceks", "all.p12"):
        done = without_pyjks(cli, "import", str(stores / name), "--keystore", str(cli.store))
        assert "imported" in done.stdout, done.stderr
    done = without_pyjks(cli, "export", str(cli.folder / "out.p12"), "--keystore", str(cli.store))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["v2.bks", "bc.uber"])
def test_the_command_says_what_is_missing(cli: Cli, name: str) -> None:
    done = without_pyjks(cli, "import", str(DATA / name), "--no-certificates")
    assert done.returncode == 1
    assert f"{name[-4:].strip('.').upper()} files need pyjks" in done.stderr
    assert "pip install pyjks" in done.stderr
    assert "Traceback" not in done.stderr
