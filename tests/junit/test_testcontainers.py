"""docs/examples/testcontainers: a Maven project that compiles, and whose test passes where containers run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import hsmcore
from tests.docs.pages import ROOT
from tests.requirements import missing, tool
from tests.site import Site

_EXAMPLE = ROOT / "docs" / "examples" / "testcontainers"


def _mvn(project: Path, goal: str) -> str:
    repository = ROOT / "build" / "consumers" / "repository"
    Site(project, dict(os.environ)).must("jar", "--maven", str(repository))
    # The image that JAVA_HOME may name has no compiler.
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [tool("mvn"), "-B", f"-Dmaven.repo.local={repository}", goal],
        cwd=project, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    if done.returncode and "Could not transfer" in done.stdout:
        missing(f"Maven could not fetch the libraries: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pom = (_EXAMPLE / "pom.xml").read_text()
    assert f"<version>{hsmcore.__version__}</version>" in pom
    (tmp_path / "pom.xml").write_text(pom)
    sources = tmp_path / "src" / "test" / "java"
    sources.mkdir(parents=True)
    for source in _EXAMPLE.glob("*.java"):
        shutil.copy(source, sources)
    return tmp_path


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_example_compiles(project: Path) -> None:
    _mvn(project, "test-compile")
    classes = project / "target" / "test-classes"
    assert {path.stem for path in classes.glob("*.class")} >= {path.stem for path in _EXAMPLE.glob("*.java")}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_example_signs_in_a_container(project: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "image", "inspect", "hsmbridge"], capture_output=True).returncode != 0:
        pytest.skip("no daemon of Docker runs here that has the image hsmbridge")
    assert "Tests run: 1, Failures: 0" in _mvn(project, "test")
