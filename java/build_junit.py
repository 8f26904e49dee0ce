"""Builds the jar of the JUnit extension, ``bridge/hsmbridge-junit5.jar``, beside that of the provider.

::

    python java/build_junit.py            compile and write the jar
    python java/build_junit.py --check    compile with every warning an error, write nothing

JUnit is not needed: ``java/junit5/src/stubs`` declares the part of it that the extension uses.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import build_jar
from build_jar import BuildError

JAR = Path("bridge", "hsmbridge-junit5.jar")
SOURCES = Path("java", "junit5", "src", "main", "java")
STUBS = Path("java", "junit5", "src", "stubs", "java")


def build(root: Path) -> Path:
    """Build the jar of the source tree ``root``, where that of the provider is built, and return its path.

    Raises:
        BuildError: There is no JDK, or a file does not compile.
    """
    jar = root / JAR
    with tempfile.TemporaryDirectory(prefix="hsmbridge-junit5-") as folder:
        compile_sources(root, Path(folder), "-Xlint:none")
        unfinished = jar.with_suffix(".jar.new")
        build_jar.pack(Path(folder), unfinished, build_jar.manifest(root, "io.hsmbridge.junit5"))
        unfinished.replace(jar)
    return jar


def compile_sources(root: Path, target: Path, *options: str) -> None:
    """Compile the extension into ``target``.

    Raises:
        BuildError: There is no JDK, or a file does not compile.
    """
    sources = sorted(str(path) for path in (root / SOURCES).rglob("*.java"))
    fixed = ["--release", str(build_jar.RELEASE), "-encoding", "UTF-8", "-implicit:none", "-d", str(target)]
    paths = ["-cp", str(root / build_jar.JAR), "-sourcepath", str(root / STUBS)]
    build_jar.run([build_jar.find_javac(), *fixed, *paths, *options, *sources], root)


def main() -> None:
    """Run the command line."""
    root = Path(__file__).resolve().parent.parent
    try:
        if sys.argv[1:] == ["--check"]:
            with tempfile.TemporaryDirectory(prefix="hsmbridge-junit5-") as folder:
                compile_sources(root, Path(folder), "-Xlint:all", "-Werror")
        else:
            print(build(root).relative_to(root))
    except BuildError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
