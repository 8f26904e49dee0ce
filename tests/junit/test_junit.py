"""The JUnit extension under JUnit's own launcher: scopes, parallel tests, and processes that end with the JVM."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import Tally
from tests.junit.conftest import SECONDS, Launcher

_PARALLEL = (
    "junit.jupiter.execution.parallel.enabled=true",
    "junit.jupiter.execution.parallel.mode.default=concurrent",
    "junit.jupiter.execution.parallel.config.strategy=fixed",
    "junit.jupiter.execution.parallel.config.fixed.parallelism=3",
)


def _ended(home: Path, pid: int) -> None:
    """Check that the daemon of a home has ended, or does so in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    else:
        try:
            assert select.select([descriptor], [], [], 60)[0], "the HSM goes on"
        finally:
            os.close(descriptor)
    assert not home.exists()


def test_scopes(launcher: Launcher, tmp_path: Path) -> None:
    said = launcher.run("ScopeTest", "SigningTest", options=(f"-Djava.io.tmpdir={tmp_path}",), TMPDIR=str(tmp_path))
    assert "12 tests successful" in said
    assert re.search(r"reset and login: [\d.]+ ms", said)
    assert not list(tmp_path.glob("hsm-*")), "a directory of a socket is left"


def test_the_times_that_a_test_waits(launcher: Launcher, tally: Tally) -> None:
    """Prints the times after the run and compares them with nothing, because the machine may be busy."""
    said = launcher.run("StartTest")
    found = re.search(r"first HSM: (\d+) ms, reset: (\d+) ms", said)
    assert found, said
    for name, milliseconds in zip(("first HSM", "reset and login"), found.groups(), strict=True):
        tally(f"JUnit extension, {name}")["milliseconds"] = int(milliseconds)


def test_parallel_tests_have_hsms_of_their_own(launcher: Launcher) -> None:
    said = launcher.run("ParallelTest", config=_PARALLEL)
    assert "12 tests successful" in said
    assert 1 < int(re.findall(r"HSMs: (\d+)", said)[0]) <= 12


def test_the_users_of_the_environment(launcher: Launcher) -> None:
    """The provider logs in by itself, as it does for code under test that logs in nowhere."""
    said = launcher.run("SigningTest", HSM_USER="robot", HSM_PASSWORD="a-good-password")
    assert "1 tests successful" in said


def test_a_killed_jvm_leaves_no_process(launcher: Launcher) -> None:
    command = launcher.command("KilledTest", options=("-Dwait=600",))
    with subprocess.Popen(
        command, env=launcher.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as jvm:
        try:
            assert jvm.stdout is not None
            assert select.select([jvm.stdout], [], [], SECONDS)[0]
            home = Path(jvm.stdout.readline().removeprefix("home: ").strip())
            pid = int((home / "hsm.lock").read_text())
            os.kill(pid, 0)
        finally:
            jvm.send_signal(signal.SIGKILL)
    _ended(home, pid)


def _refused(launcher: Launcher, *options: str, **variables: str) -> str:
    done = subprocess.run(
        launcher.command("SigningTest", options=options),
        env=launcher.environment | variables, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stdout


def test_where_the_command_is_looked_for(launcher: Launcher, tmp_path: Path) -> None:
    java, *words = launcher.command("SigningTest")
    java = shutil.which(java) or java

    def run(*options: str, **variables: str) -> str:
        done = subprocess.run(
            [java, *options, *words], env=launcher.environment | {"PATH": str(tmp_path)} | variables,
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        return done.stdout

    said = run()
    assert "The command hsm is not on PATH" in said
    assert "hsmbridge.command" in said
    assert "HSM_COMMAND" in said
    assert "There is no hsm command at /no/hsm, which the environment variable HSM_COMMAND" in run(
        HSM_COMMAND="/no/hsm"
    )
    hsm = str(Path(sys.executable).with_name("hsm"))
    assert "1 tests successful" in run(HSM_COMMAND=hsm)
    assert "1 tests successful" in run(f"-Dhsmbridge.command={hsm}", HSM_COMMAND="/no/hsm")


def test_an_hsm_that_does_not_start_says_why(launcher: Launcher) -> None:
    said = _refused(launcher, HSM_USER="a-b", HSM_PASSWORD="a-good-password")
    assert "The HSM did not start, it ended" in said
    assert "letters, digits and underscores" in said
