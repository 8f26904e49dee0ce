"""The snippets of docs/junit.md in a project: Surefire runs the tests of the page in forks with their own HSMs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hsmcore
from tests.requirements import missing, tool
from tests.site import Site

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "junit.md").read_text(encoding="utf-8")
_FORKS = "<configuration><forkCount>2</forkCount><reuseForks>false</reuseForks></configuration>"


def _snippet(language: str) -> str:
    return _snippets(language)[0]


def _snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE, re.DOTALL)


def test_the_tests_of_the_page_are_those_that_run() -> None:
    programs = _ROOT / "tests" / "junit" / "programs"
    assert _snippets("java") == [(programs / f"{name}.java").read_text() for name in ("SigningTest", "NamedKeyTest")]
    assert set(re.findall(r"\b0\.\d+\.\d+", _PAGE)) == {hsmcore.__version__}
    assert set(re.findall(r"\b5\.\d+\.\d+", _PAGE)) == {"5.13.4"}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_surefire_runs_it_in_forks(tmp_path: Path) -> None:
    mvn, repository = tool("mvn"), _ROOT / "build" / "consumers" / "repository"
    Site(tmp_path, dict(os.environ)).must("jar", "--maven", str(repository))
    version = "<version>3.2.5</version>"
    assert version in _snippet("xml")
    (tmp_path / "pom.xml").write_text(_snippet("xml").replace(version, version + _FORKS))
    sources = tmp_path / "src" / "test" / "java"
    sources.mkdir(parents=True)
    for name, program in zip(("SigningTest", "NamedKeyTest"), _snippets("java"), strict=True):
        (sources / f"{name}.java").write_text(program)
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_HOME" and not name.startswith("HSM_")}
    command = Path(sys.executable).with_name("hsm")
    done = subprocess.run(
        [mvn, "-B", f"-Dmaven.repo.local={repository}", f"-Dhsmbridge.command={command}", "test"],
        cwd=tmp_path, env=kept | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    if done.returncode and "Could not transfer" in done.stdout:
        missing(f"Maven could not fetch its plugins: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Tests run: 3, Failures: 0" in done.stdout
    assert not list(tmp_path.glob("hsm-*"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_gradle_compiles_it(tmp_path: Path) -> None:
    """Gradle before 4.6 has no ``useJUnitPlatform``, so the tests are compiled here and not run."""
    gradle, repository = tool("gradle"), _ROOT / "build" / "consumers" / "repository"
    Site(tmp_path, dict(os.environ)).must("jar", "--maven", str(repository))
    build, of_test, rest = _snippet("groovy").partition("test {")
    assert "useJUnitPlatform()" in rest
    assert of_test
    (tmp_path / "build.gradle").write_text(build.replace("    mavenCentral()\n", ""))
    (tmp_path / "settings.gradle").write_text("rootProject.name = 'signer'\n")
    sources = tmp_path / "src" / "test" / "java"
    sources.mkdir(parents=True)
    for name, program in zip(("SigningTest", "NamedKeyTest"), _snippets("java"), strict=True):
        (sources / f"{name}.java").write_text(program)
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [gradle, "--no-daemon", "--offline", "-q", f"-Dmaven.repo.local={repository}", "compileTestJava"],
        cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.rglob("NamedKeyTest.class"))
