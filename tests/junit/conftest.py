"""JUnit's launcher from Maven Central, and the test classes in ``programs``, compiled with it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.consumers import libraries

HERE = Path(__file__).parent
SECONDS = 300
"""How long a run of JUnit may take."""


@dataclass(frozen=True)
class Launcher:
    """JUnit's launcher, with the classes and the environment of its runs."""

    jar: Path
    class_path: str
    environment: dict[str, str]

    def command(self, *classes: str, options: tuple[str, ...] = (), config: tuple[str, ...] = ()) -> list[str]:
        """Return the command that runs classes.

        Args:
            classes: Names of test classes.
            options: Options of the JVM.
            config: Configuration parameters of JUnit, ``name=value``.
        """
        chosen = [f"--select-class={name}" for name in classes]
        settings = [word for parameter in config for word in ("--config", parameter)]
        return [
            *jdk.command("java"), *options, "-jar", str(self.jar), "-cp", self.class_path, "--disable-banner",
            "--details=tree", "--disable-ansi-colors", *chosen, *settings,
        ]  # fmt: skip

    def run(self, *classes: str, options: tuple[str, ...] = (), config: tuple[str, ...] = (), **variables: str) -> str:
        """Run classes, which must succeed, and return the output."""
        done = subprocess.run(
            self.command(*classes, options=options, config=config),
            env=self.environment | variables, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def launcher() -> Launcher:
    (jar,) = libraries.fetched(HERE / "pom.xml")
    extension = provider_jar().with_name("hsmbridge-junit5.jar")
    classes = jdk.classes(HERE / "programs", class_path=(extension, jar))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "XDG_"))}
    folder = Path(sys.executable).parent
    kept["PATH"] = f"{folder}{os.pathsep}{kept['PATH']}"
    return Launcher(jar, os.pathsep.join(map(str, (classes, provider_jar(), extension))), kept)
