"""Builds the provider's jar, ``bridge/hsmbridge.jar``, with nothing but Python and a JDK 17 or later.

The jar runs on Java 11. It is a multi-release jar (JEP 238): ``java/src/main/java17`` has the classes that use newer
interfaces.

::

    python java/build_jar.py            compile and write the jar
    python java/build_jar.py --check    compile with every warning an error, write nothing
    python java/build_jar.py --services FILE    write the provider's services resource only (build.gradle)
    python java/build_jar.py --jdk      say which compiler would be used (Makefile)

The same sources and the same compiler give the same bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

RELEASE = 11
"""The oldest Java version that the jar runs on."""
NEWER = 17
"""The Java version that loads the classes under ``META-INF/versions``, and the oldest JDK that builds the jar."""
JAR = Path("bridge", "hsmbridge.jar")
SERVICES = Path("io", "hsmbridge", "jce", "services.tsv")
"""Path in the jar of the resource with the provider's services."""
_SOURCES = Path("java", "src", "main", "java")
_NEWER_SOURCES = Path("java", "src", "main", f"java{NEWER}")
_VERSIONS = Path("META-INF", "versions", str(NEWER))
_RESOURCES = Path("java", "src", "main", "resources")
# The earliest time that a zip entry can carry (APPNOTE 4.4.6).
_TIME = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The jar cannot be built; the message names the missing part or quotes the compiler."""


def build(root: Path) -> Path:
    """Build the jar of the source tree ``root`` and return its path.

    Raises:
        BuildError: There is no JDK, or a file does not compile.
    """
    jar = root / JAR
    with tempfile.TemporaryDirectory(prefix="hsmbridge-jar-") as folder:
        content = Path(folder)
        compile_sources(root, content, "-Xlint:none")
        if (root / _RESOURCES).is_dir():
            shutil.copytree(root / _RESOURCES, content, dirs_exist_ok=True)
        write_services(root, content / SERVICES)
        # Written beside the target and renamed, so that a JVM that has the old jar open keeps a whole one.
        unfinished = jar.with_suffix(".jar.new")
        pack(content, unfinished, manifest(root))
        unfinished.replace(jar)
    return jar


def is_current(target: Path, *inputs: Path) -> bool:
    """Return whether a file is newer than each of the files and the contents of each of the folders."""
    if not target.is_file():
        return False
    built = target.stat().st_mtime
    files = (file for path in inputs for file in ([path] if path.is_file() else path.rglob("*")))
    return all(file.stat().st_mtime <= built for file in files)


def compile_sources(root: Path, target: Path, *options: str) -> None:
    """Compile the provider's sources into ``target``, those for newer versions below ``META-INF/versions``.

    Raises:
        BuildError: There are no sources or no JDK, or a file does not compile.
    """
    _compile(root, root / _SOURCES, target, "--release", str(RELEASE), *options)
    newer = target / _VERSIONS
    _compile(root, root / _NEWER_SOURCES, newer, "--release", str(NEWER), "-cp", str(target), *options)


def _compile(root: Path, folder: Path, target: Path, *options: str) -> None:
    sources = sorted(str(path) for path in folder.rglob("*.java"))
    if not sources:
        raise BuildError(f"there are no Java sources under {folder}")
    # To concatenate by StringBuilder takes 25 ms less of a JVM's start than to link the call sites at run time.
    fixed = ["-encoding", "UTF-8", "-XDstringConcat=inline", "-d", str(target)]
    run([find_javac(), *fixed, *options, *sources], root)


def write_services(root: Path, target: Path) -> None:
    """Write the services resource from the core's mechanism table.

    Raises:
        BuildError: The mechanism table cannot be printed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(run([sys.executable, "-m", "hsmcore.tables.mechanisms"], root), encoding="utf-8")


def find_javac() -> str:
    """Return the compiler of the first JDK that is new enough: ``$JAVA_HOME``, then ``PATH``.

    Raises:
        BuildError: No JDK is new enough.
    """
    seen = []
    for candidate in _candidates():
        found = subprocess.run([candidate, "-version"], capture_output=True, text=True, check=False)
        version = re.search(r"javac (?:1\.)?(\d+)", found.stdout + found.stderr)
        if version and int(version[1]) >= NEWER:
            return candidate
        seen.append(f"{candidate} is {version[0] if version else 'no javac'}")
    raise BuildError(
        f"hsmbridge needs a JDK {NEWER} or later to build its Java provider; none was found in JAVA_HOME or on PATH"
        + (f" ({'; '.join(seen)})" if seen else "")
        + ". Install one (Debian: apt install default-jdk-headless) and, if it is not on"
        " PATH, set JAVA_HOME to its folder."
    )


def _candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "javac").is_file():
        yield str(Path(home) / "bin" / "javac")
    on_path = shutil.which("javac")
    if on_path:
        yield on_path


def run(command: list[str], root: Path) -> str:
    """Run a command in the source tree and return its output.

    Raises:
        BuildError: It failed.
    """
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def manifest(root: Path, module: str = "io.hsmbridge.jce") -> str:
    """Return the manifest of a jar with this module name."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    fields = {
        "Manifest-Version": "1.0",
        "Multi-Release": "true",
        "Automatic-Module-Name": module,
        "Implementation-Title": "hsmbridge",
        "Implementation-Version": version,
    }
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"


def pack(content: Path, jar: Path, manifest: str) -> None:
    """Write the files of a folder to a jar."""
    with ZipFile(jar, "w") as archive:
        # JarInputStream finds the manifest only as the first entry.
        archive.writestr(_entry("META-INF/MANIFEST.MF"), manifest)
        for path in sorted(path for path in content.rglob("*") if path.is_file()):
            archive.writestr(_entry(path.relative_to(content).as_posix()), path.read_bytes())


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _TIME)
    entry.compress_type = ZIP_DEFLATED
    # Without the Unix mode, of which jarsigner says that it is not signed.
    entry.create_system, entry.external_attr = 0, 0x20
    return entry


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the hsmbridge provider jar.")
    parser.add_argument("--check", action="store_true", help="compile with -Xlint:all -Werror and write nothing")
    parser.add_argument("--services", type=Path, metavar="FILE", help="write the services resource to FILE and stop")
    parser.add_argument("--jdk", action="store_true", help="print the compiler that would be used and stop")
    options = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    try:
        if options.jdk:
            print(find_javac())
        elif options.check:
            with tempfile.TemporaryDirectory(prefix="hsmbridge-jar-") as folder:
                compile_sources(root, Path(folder), "-Xlint:all", "-Werror")
        elif options.services:
            write_services(root, options.services)
        else:
            print(build(root).relative_to(root))
    except BuildError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
