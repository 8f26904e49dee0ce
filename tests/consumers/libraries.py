"""The libraries that consumers use, from Maven Central, at the versions that ``libraries/pom.xml`` pins."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.requirements import missing, tool

SOURCES = Path(__file__).parent / "libraries"
_CACHE = Path(__file__).parents[2] / "build" / "consumers"
_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies"


def fetched(pom: Path = SOURCES / "pom.xml") -> list[Path]:
    """Return the jars; Maven fetches them once for each content of the ``pom.xml``. Skips where it cannot."""
    folder = _CACHE / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        _fetch(pom, folder)
    return sorted(folder.glob("*.jar"))


def _fetch(pom: Path, folder: Path) -> None:
    _CACHE.mkdir(parents=True, exist_ok=True)
    # Renamed when whole, so that an interrupted download is no cache.
    with tempfile.TemporaryDirectory(dir=_CACHE) as unfinished:
        command = [tool("mvn"), "-B", "-q", "-f", str(pom), _GOAL, f"-DoutputDirectory={unfinished}/jars"]
        # The image that JAVA_HOME may name has no compiler, which Maven asks for.
        environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            complaint = re.search(r"\[ERROR\] (.*)", done.stdout)
            missing(f"Maven could not fetch the libraries ({complaint[1] if complaint else done.stderr})")
        try:
            Path(unfinished, "jars").rename(folder)
        except OSError:
            # Another test process was first.
            if not folder.is_dir():
                raise
