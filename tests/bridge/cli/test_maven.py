"""``hsm jar --maven``: the repository that it writes, and builds that find the jar there (docs/in-your-build.md)."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import pytest

import hsmcore
from bridge.carriers.jvm import provider_jar
from tests.requirements import missing, tool
from tests.site import Site

_ROOT = Path(__file__).parents[3]
_PAGE = (_ROOT / "docs" / "in-your-build.md").read_text(encoding="utf-8")
_SECONDS = 500
_MAIN = """\
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;

public final class Main {
    public static void main(String[] arguments) {
        System.out.println(CloudHsmProvider.PROVIDER_NAME);
    }
}
"""


def _folder(repository: Path, name: str) -> Path:
    return repository / "io" / "hsmbridge" / name / hsmcore.__version__


def test_it_writes_the_jar_and_its_pom(tmp_path: Path) -> None:
    site = Site(tmp_path, dict(os.environ))
    for _ in range(2):
        said = site.must("jar", "--maven", str(tmp_path / "m2"))
        assert f"io.hsmbridge:hsmbridge-jce:{hsmcore.__version__}" in said.splitlines()
    folder = _folder(tmp_path / "m2", "hsmbridge-jce")
    stem = f"hsmbridge-jce-{hsmcore.__version__}"
    assert (folder / f"{stem}.jar").read_bytes() == provider_jar().read_bytes()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    project = ET.parse(folder / f"{stem}.pom").getroot()  # noqa: S314  # written by the command under test
    names = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in project}
    assert (names["groupId"], names["artifactId"], names["version"]) == (
        "io.hsmbridge", "hsmbridge-jce", hsmcore.__version__,
    )  # fmt: skip


def test_the_users_own_repository_is_the_default(tmp_path: Path) -> None:
    site = Site(tmp_path, dict(os.environ) | {"HOME": str(tmp_path)})
    done = site.hsm("jar", "--maven")
    assert done.stdout == site.must("jar", "--maven", str(tmp_path / "other"))
    assert f"Installed in {tmp_path / '.m2' / 'repository'}" in done.stderr
    # Maven and Gradle do not look at HOME.
    assert "-Dmaven.repo.local=" in done.stderr
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for root in (tmp_path / ".m2" / "repository", tmp_path / "other")
        for path in root.rglob("*")
        if path.is_file()
    }
    assert files
    for name, content in files.items():
        assert (tmp_path / ".m2" / "repository" / name).read_bytes() == content


@pytest.mark.long
def test_sources_and_javadoc_are_built_for_a_wheel(tmp_path: Path) -> None:
    tool("javadoc")
    done = subprocess.run(
        ["python3", str(_ROOT / "java" / "build_artifacts.py"), str(tmp_path)],
        capture_output=True, text=True, timeout=_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with ZipFile(tmp_path / "hsmbridge-jce-sources.jar") as archive:
        assert "com/amazonaws/cloudhsm/jce/provider/CloudHsmProvider.java" in archive.namelist()
    with ZipFile(tmp_path / "hsmbridge-jce-javadoc.jar") as archive:
        assert "com/amazonaws/cloudhsm/jce/provider/CloudHsmProvider.html" in archive.namelist()


def _snippet(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE, re.DOTALL)[0]


def _run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode and "Could not transfer" in done.stdout:
        missing(f"Maven could not fetch its plugins: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_maven_finds_it(tmp_path: Path) -> None:
    mvn, repository = tool("mvn"), _ROOT / "build" / "consumers" / "repository"
    Site(tmp_path, dict(os.environ)).must("jar", "--maven", str(repository))
    dependency = _snippet("xml").replace("<scope>test</scope>", "<scope>compile</scope>")
    (tmp_path / "pom.xml").write_text(f"""\
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
  <dependencies>{dependency}</dependencies>
</project>
""")
    sources = tmp_path / "src" / "main" / "java"
    sources.mkdir(parents=True)
    (sources / "Main.java").write_text(_MAIN)
    _run([mvn, "-B", "-q", f"-Dmaven.repo.local={repository}", "compile"], tmp_path)
    class_path = f"{tmp_path / 'target' / 'classes'}{os.pathsep}{provider_jar()}"
    assert _run(["java", "-cp", class_path, "Main"], tmp_path) == "CloudHSM\n"


@pytest.mark.long
def test_gradle_finds_it(tmp_path: Path) -> None:
    gradle = tool("gradle")
    Site(tmp_path, dict(os.environ)).must("jar", "--maven", str(tmp_path / "m2"))
    (tmp_path / "settings.gradle").write_text("rootProject.name = 'signer'\n")
    (tmp_path / "build.gradle").write_text(
        "plugins {\n    id 'java'\n}\n" + _snippet("groovy").replace("testImplementation", "implementation")
    )
    sources = tmp_path / "src" / "main" / "java"
    sources.mkdir(parents=True)
    (sources / "Main.java").write_text(_MAIN)
    local = f"-Dmaven.repo.local={tmp_path / 'm2'}"
    _run([gradle, "--no-daemon", "--offline", "-q", local, "compileJava"], tmp_path)
    assert list(tmp_path.rglob("Main.class"))


@pytest.mark.long
def test_gradle_publishes_the_same(tmp_path: Path) -> None:
    """The sources go along, so that the build leaves the tree as it is."""
    gradle = tool("gradle")
    local = f"-Dmaven.repo.local={tmp_path / 'm2'}"
    _run([gradle, "--no-daemon", "--offline", "-q", local, "publishToMavenLocal"], _ROOT)
    for artifact, jar in (("hsmbridge-jce", "hsmbridge.jar"), ("hsmbridge-junit5", "hsmbridge-junit5.jar")):
        folder = _folder(tmp_path / "m2", artifact)
        stem = f"{artifact}-{hsmcore.__version__}"
        wanted = {f"{stem}{end}" for end in (".jar", ".pom", "-sources.jar", "-javadoc.jar")}
        assert wanted <= {path.name for path in folder.iterdir()}
        with ZipFile(folder / f"{stem}.jar") as ours, ZipFile(provider_jar().with_name(jar)) as theirs:
            assert set(theirs.namelist()) <= set(ours.namelist())


def test_the_version_of_the_page_is_that_of_the_package() -> None:
    assert set(re.findall(r"\d+\.\d+\.\d+", _PAGE)) == {hsmcore.__version__}
