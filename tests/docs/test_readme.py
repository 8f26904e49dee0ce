"""The README's commands do what it says, run as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, commands, section

README = ROOT / "README.md"


def test_the_first_five_minutes(tmp_path: Path) -> None:
    script = "\n".join(commands(section(README, "Sign a jar in five lines") + section(README, "Five minutes")))
    assert script.count("hsm jarsigner") == 1
    assert len(list(commands(section(README, "Sign a jar in five lines")))) == 5
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "release, " in done.stdout
    assert "jar signed." in done.stdout
    verified = subprocess.run(["jarsigner", "-verify", "app.jar"], cwd=tmp_path, capture_output=True, text=True)
    assert "jar verified." in verified.stdout
