"""The README's commands do what it says, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def commands(heading: str) -> str:
    """Return the commands of the console blocks under a heading, continuation lines included."""
    section = README.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL):
        continues = False
        for line in block.splitlines():
            if line.startswith("$ ") or continues:
                lines.append(line.removeprefix("$ "))
                continues = line.endswith("\\")
    return "\n".join(lines)


def test_five_minutes(tmp_path: Path) -> None:
    script = commands("Five minutes")
    assert "hsm jarsigner" in script
    # The first line installs into a virtual environment, which the tests run in already.
    install, _, rest = script.partition("\n")
    assert install.startswith("make install")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", rest], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "release, " in done.stdout
    assert "jar signed." in done.stdout
    verified = subprocess.run(["jarsigner", "-verify", "app.jar"], cwd=tmp_path, capture_output=True, text=True)
    assert "jar verified." in verified.stdout
