"""Builds what a Maven repository has beside the provider's jar: the sources and the Javadoc, in ``bridge/maven``.

::

    python java/build_artifacts.py [FOLDER]    write them; without the JDK's javadoc, the sources only

``hsm jar --maven`` copies them, with a POM, into a repository.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import build_jar
import build_junit
from build_jar import BuildError

FOLDER = Path("bridge", "maven")
SOURCES = {"hsmbridge-jce": Path("java", "src", "main", "java"), "hsmbridge-junit5": build_junit.SOURCES}
"""Artifacts, with the sources of each."""


def build(root: Path, folder: Path | None = None) -> list[Path]:
    """Write the sources jar and, where the JDK has a javadoc, the Javadoc jar of each artifact; return their paths.

    Args:
        root: The source tree.
        folder: The folder to write; ``None`` for that of the package.

    Raises:
        BuildError: There is no JDK, or its javadoc fails.
    """
    javadoc = shutil.which(Path(build_jar.find_javac()).with_name("javadoc"))
    folder = folder or root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    built = []
    for artifact, sources in SOURCES.items():
        built.append(_packed(root, root / sources, folder / f"{artifact}-sources.jar"))
        if javadoc is None:
            continue
        with tempfile.TemporaryDirectory(prefix="hsmbridge-javadoc-") as documents:
            _document(javadoc, root, root / sources, Path(documents))
            built.append(_packed(root, Path(documents), folder / f"{artifact}-javadoc.jar"))
    return built


def _document(javadoc: str, root: Path, sources: Path, target: Path) -> None:
    files = sorted(str(path) for path in sources.rglob("*.java"))
    options = ["-quiet", "-notimestamp", "-Xdoclint:all,-missing", "-encoding", "UTF-8", "--release"]
    paths = ["-cp", str(root / build_jar.JAR), "-sourcepath", str(root / build_junit.STUBS)]
    build_jar.run([javadoc, *options, str(build_jar.RELEASE), *paths, "-d", str(target), *files], root)


def _packed(root: Path, content: Path, jar: Path) -> Path:
    build_jar.pack(content, jar, build_jar.manifest(root))
    return jar


def main() -> None:
    """Run the command line."""
    root = Path(__file__).resolve().parent.parent
    try:
        for path in build(root, Path(sys.argv[1]).absolute() if sys.argv[1:] else None):
            print(path)
    except BuildError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
