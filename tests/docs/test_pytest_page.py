"""The tests of docs/pytest.md pass as they stand there, and the page names every fixture, option and field."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

from bridge import pytest_plugin
from bridge.pytest_plugin import HsmUnderTest

_PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")


def test_its_tests_pass(tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    assert len(programs) == 6
    for number, program in enumerate(programs):
        (tmp_path / f"test_{number}.py").write_text(program)
    (options,) = re.findall(r"```ini\n(.*?)```", _PAGE, re.DOTALL)
    (tmp_path / "pytest.ini").write_text(options)
    for folder in ("build/classes", "lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib" / "other.jar").write_bytes(b"PK\x05\x06" + bytes(18))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_it_names_everything() -> None:
    names = {field.name for field in dataclasses.fields(HsmUnderTest)} | {"session", "reset"}
    names |= {name for name in vars(pytest_plugin) if name.startswith("hsm") and name != "hsm_template"}
    names |= {"hsmbridge_classpath", "hsmbridge_jvm_args"}
    assert [name for name in sorted(names) if f"`{name}" not in _PAGE] == []
