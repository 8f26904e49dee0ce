"""Where pyjks cannot be installed, the command says so, and the other tests of this folder are left out."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests import requirements

COMMAND = "import sys; sys.modules['jks'] = None; from bridge.cli import main; main()"


def test_the_other_tests_of_this_folder_run() -> None:
    if find_spec("jks") is None:
        requirements.missing("pyjks is not installed, which takes a C compiler")


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    store = tmp_path / "old.jks"
    store.write_bytes(b"never read")
    for words in (("import", str(store), "--no-certificates"), ("export", "new.pem", "--keystore", str(store))):
        done = subprocess.run([sys.executable, "-c", COMMAND, "keystore", *words], capture_output=True, text=True)
        assert done.returncode == 1
        assert "pip install 'hsmbridge[migration]'" in done.stderr
        assert "Traceback" not in done.stderr
