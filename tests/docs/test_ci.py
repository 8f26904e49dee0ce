"""docs/ci.md: the examples are YAML, the page quotes them, and their commands run, as far as they need no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT

_EXAMPLES = ROOT / "docs" / "examples"
_INSTALLS = re.compile(r"apt-get |pip install |python3 -m venv |export PATH=")
"""Commands that install; the commands under test are installed."""


def _read(name: str) -> Any:
    return yaml.safe_load((_EXAMPLES / name).read_text(encoding="utf-8"))


def _shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of a job; the daemon that it leaves running is stopped."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    job = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    yield job
    for home in tmp_path.glob("hsm-*"):
        subprocess.run(["hsm", "stop"], env=job | {"HSM_HOME": str(home)}, capture_output=True, timeout=60)


def test_github_actions(tmp_path: Path, environment: dict[str, str]) -> None:
    work, variables = tmp_path / "work", tmp_path / "variables"
    work.mkdir()
    variables.touch()
    (job,) = _read("github-actions.yml")["jobs"].values()
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    commands = [step["run"] for step in job["steps"] if "run" in step and not _INSTALLS.match(step["run"])]
    said = ""
    for command in commands:
        handed = dict(line.split("=", 1) for line in variables.read_text().splitlines())
        said += _shell(command, work, environment | handed | {"GITHUB_ENV": str(variables)})
    assert "jar signed." in said
    assert "jar verified." in said
    assert len(commands) == 6


@pytest.mark.long
def test_gitlab_ci(tmp_path: Path, environment: dict[str, str]) -> None:
    job = _read("gitlab-ci.yml")["test"]
    commands = [command for command in job["before_script"] + job["script"] if not _INSTALLS.match(command)]
    assert len(commands) == 6
    said = _shell("\n".join(commands), tmp_path, environment)
    assert "release" in said
    assert "Reset" in said


def test_the_page_quotes_the_examples() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    github, gitlab = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    assert github[0] in _read("github-actions.yml")["jobs"]["sign"]["steps"]
    assert set(gitlab["before_script"]) <= set(_read("gitlab-ci.yml")["test"]["before_script"])
