"""The JDK's programs as tests run them, and the classes of the programs in Java that tests run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from bridge.process.paths import provider_jar

_BUILT = Path(__file__).parents[1] / "build" / "test-classes"
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options that halve the processor time of a JVM of a few seconds, which ends before a better compiler has paid off."""
_SECONDS = 120
"""How long the compiler may take."""


def java_tool(name: str) -> str:
    """Return a tool of the Java under test, ``JAVA_HOME``'s where that has it, else the one on ``PATH``."""
    home = os.environ.get("JAVA_HOME")
    in_home = Path(home) / "bin" / name if home else None
    return str(in_home) if in_home and in_home.is_file() else name


def command(name: str) -> list[str]:
    """Return the words that begin a command: a tool of the Java under test with its options, or another program."""
    if name == "java":
        return [java_tool(name), *QUICK]
    return [java_tool(name), *(f"-J{flag}" for flag in QUICK if name in ("jar", "jarsigner", "javac", "keytool"))]


def classes(*sources: Path, class_path: tuple[Path, ...] = (), release: int = 17) -> Path:
    """Return the folder of the classes of some programs, which other processes and later runs use too.

    Args:
        sources: Java files, or folders of them.
        class_path: Jars and folders of classes beside the provider's jar.
        release: The oldest Java version that loads the classes.
    """
    files = sorted(file for source in sources for file in (source.glob("*.java") if source.is_dir() else [source]))
    path = [provider_jar(), *class_path]
    flags = ["--release", str(release), "-Xlint:all,-processing,-options", "-Werror"]
    compiler = str(shutil.which(java_tool("javac")))
    told = "\n".join([str(Path(compiler).resolve()), *flags, *map(str, (*files, *path))]).encode()
    content = b"".join(file.read_bytes() for file in (*files, *path) if file.is_file())
    digest = hashlib.sha256(told + content).hexdigest()
    _BUILT.mkdir(parents=True, exist_ok=True)
    target, new = _BUILT / digest[:16], _BUILT / f"{digest[:16]}.new"
    with (_BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            done = subprocess.run(
                [*command("javac"), *flags, "-d", str(new), "-cp", os.pathsep.join(map(str, path)), *map(str, files)],
                capture_output=True, text=True, timeout=_SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            new.rename(target)
    return target
