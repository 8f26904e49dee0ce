"""The snippets of docs/junit.md in a Maven project: Surefire runs the test of the page in forks with their own HSMs."""

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
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>signer</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    {snippet}
    <dependency>
      <groupId>org.junit.jupiter</groupId>
      <artifactId>junit-jupiter</artifactId>
      <version>5.9.3</version>
      <scope>test</scope>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <artifactId>maven-surefire-plugin</artifactId>
        <version>3.2.5</version>
        <configuration>
          <forkCount>2</forkCount>
          <reuseForks>false</reuseForks>
        </configuration>
      </plugin>
    </plugins>
  </build>
</project>
"""


def _snippet(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE, re.DOTALL)[0]


def test_the_test_of_the_page_is_the_one_that_runs() -> None:
    assert _snippet("java") == (_ROOT / "tests" / "junit" / "programs" / "SigningTest.java").read_text()
    assert set(re.findall(r"0\.\d+\.\d+", _PAGE)) == {hsmcore.__version__}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_surefire_runs_it_in_forks(tmp_path: Path) -> None:
    mvn, repository = tool("mvn"), _ROOT / "build" / "consumers" / "repository"
    Site(tmp_path, dict(os.environ)).must("jar", "--maven", str(repository))
    (tmp_path / "pom.xml").write_text(_POM.format(snippet=_snippet("xml")))
    sources = tmp_path / "src" / "test" / "java"
    sources.mkdir(parents=True)
    program = _snippet("java")
    for name in ("SigningTest", "OtherTest"):
        (sources / f"{name}.java").write_text(program.replace("SigningTest", name))
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_HOME" and not name.startswith("HSM_")}
    command = Path(sys.executable).with_name("hsm")
    done = subprocess.run(
        [mvn, "-B", f"-Dmaven.repo.local={repository}", f"-Dhsmbridge.command={command}", "test"],
        cwd=tmp_path, env=kept | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    if done.returncode and "Could not transfer" in done.stdout:
        missing(f"Maven could not fetch its plugins: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Tests run: 2, Failures: 0" in done.stdout
    assert not list(tmp_path.glob("hsm-*"))
