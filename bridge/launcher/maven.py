"""Installs the jars in a Maven repository, under the coordinates that builds name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hsmcore
from hsmcore.files import write_whole

GROUP = "io.hsmbridge"
JUNIT = "5.9.3"
"""The oldest version of JUnit Jupiter that the tests run."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One jar: its name in a repository, its file beside this package, and its POM's own lines."""

    name: str
    file: str
    title: str
    description: str
    dependencies: tuple[str, ...] = ()
    """Scope and coordinates of each; without a version, that of this package."""


ARTIFACTS = (
    Artifact(
        "hsmbridge-jce",
        "hsmbridge.jar",
        "hsmbridge JCE provider",
        "JCE provider of hsmbridge, a software HSM, with the API of AWS CloudHSM's provider",
    ),
    Artifact(
        "hsmbridge-junit5",
        "hsmbridge-junit5.jar",
        "hsmbridge JUnit 5 extension",
        "An HSM for JUnit tests, in memory and reset between tests",
        ("compile io.hsmbridge:hsmbridge-jce", f"provided org.junit.jupiter:junit-jupiter-api:{JUNIT}"),
    ),
)

_POM = """\
<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId>
  <artifactId>{artifact.name}</artifactId>
  <version>{version}</version>
  <name>{artifact.title}</name>
  <description>{artifact.description}</description>
  <licenses>
    <license>
      <name>Apache-2.0</name>
      <url>https://www.apache.org/licenses/LICENSE-2.0.txt</url>
    </license>
  </licenses>
  <developers>
    <developer>
      <name>The hsmbridge developers</name>
    </developer>
  </developers>
  <dependencies>
{dependencies}  </dependencies>
</project>
"""
_DEPENDENCY = """\
    <dependency>
      <groupId>{}</groupId>
      <artifactId>{}</artifactId>
      <version>{}</version>
      <scope>{}</scope>
    </dependency>
"""


def publish(repository: Path, package: Path) -> list[str]:
    """Install each artifact, with its sources and its Javadoc where the package has them; return the coordinates.

    Args:
        repository: The repository, which is created if it is missing.
        package: The folder of the jars.

    Raises:
        OSError: A file cannot be read or written.
    """
    version = hsmcore.__version__
    published = []
    for artifact in ARTIFACTS:
        folder = repository.joinpath(*GROUP.split("."), artifact.name, version)
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{artifact.name}-{version}"
        files = {f"{stem}.jar": (package / artifact.file).read_bytes(), f"{stem}.pom": pom(artifact).encode()}
        for kind in ("sources", "javadoc"):
            beside = package / "maven" / f"{artifact.name}-{kind}.jar"
            if beside.is_file():
                files[f"{stem}-{kind}.jar"] = beside.read_bytes()
        for name, content in files.items():
            write_whole(folder / name, content, mode=0o644)
        published.append(f"{GROUP}:{artifact.name}:{version}")
    return published


def has_documents(package: Path) -> bool:
    """Return whether the folder of the jars has their sources and their Javadoc."""
    return all(
        (package / "maven" / f"{artifact.name}-{kind}.jar").is_file()
        for artifact in ARTIFACTS
        for kind in ("sources", "javadoc")
    )


def pom(artifact: Artifact) -> str:
    """Return the POM of an artifact."""
    dependencies = ""
    for scope, coordinates in (dependency.split() for dependency in artifact.dependencies):
        group, name, *version = coordinates.split(":")
        dependencies += _DEPENDENCY.format(group, name, (version or [hsmcore.__version__])[0], scope)
    return _POM.format(group=GROUP, artifact=artifact, version=hsmcore.__version__, dependencies=dependencies)
