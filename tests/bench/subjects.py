"""What is measured: this provider over both carriers, what a user would pick instead, and the limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HSM = [sys.executable, "-m", "bridge"]
IN_PROCESS, SOCKET, SOFTHSM, JDK, CEILING = "in-process", "Unix socket", "SunPKCS11 SoftHSM", "JDK", "ceiling"
_PIN = "bench-pin-1"
_SOFTHSM = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")

Rates = dict[tuple[str, int], list[int]]
"""Operation and threads to operations per second, a window each."""


@dataclass(frozen=True)
class Plan:
    """What every subject is asked to do."""

    milliseconds: int
    windows: int
    threads: str
    pattern: str
    sizes: str

    def arguments(self) -> list[str]:
        """Return the plan as ``Bench`` takes it."""
        return [str(self.milliseconds), str(self.windows), self.threads, self.pattern, self.sizes]


def measured(work: Path, plan: Plan) -> Iterator[tuple[str, Rates]]:
    """Measure every subject that is there, each in a process of its own."""
    subprocess.run(["javac", "-d", str(work), str(Path(__file__).with_name("Bench.java"))], check=True)
    environment = site(work / "hsm")
    subjects: dict[str, Callable[[], Rates]] = {
        IN_PROCESS: lambda: _run([*HSM, "java", "-cp", str(work), "Bench", "hsm", *plan.arguments()], environment),
        SOCKET: lambda: _over_socket(work, plan, environment),
        SOFTHSM: lambda: _softhsm(work, plan),
        JDK: lambda: _run(["java", "-cp", str(work), "Bench", "jdk", *plan.arguments()], dict(os.environ)),
        CEILING: lambda: _run([sys.executable, "-m", "tests.bench.ceiling", *plan.arguments()], dict(os.environ)),
    }
    for name, run in subjects.items():
        if name != SOFTHSM or _library():
            yield name, run()


def site(home: Path) -> dict[str, str]:
    """Make an HSM and return the environment of a crypto user's programs."""
    environment = os.environ | {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": "bench-password"}
    subprocess.run([*HSM, "init"], env=environment, check=True, capture_output=True)
    return environment


@contextmanager
def daemon(environment: dict[str, str]) -> Iterator[None]:
    """Run the HSM's daemon."""
    subprocess.run([*HSM, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*HSM, "stop"], env=environment, check=True, stdout=subprocess.DEVNULL)


def jar(environment: dict[str, str]) -> str:
    """Return where the provider's jar is."""
    done = subprocess.run([*HSM, "jar"], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def registration() -> str:
    """Return the line of ``java.security`` that puts the provider last in this JDK's list."""
    program = "java.util.Arrays.stream(java.security.Security.getProviders()).count()"
    shown = subprocess.run(
        ["jshell", "-s", "-"], input=f"System.out.println({program})", capture_output=True, text=True, check=True
    )
    last = int(shown.stdout.split()[-1]) + 1
    return f"security.provider.{last}=com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider\n"


def _over_socket(work: Path, plan: Plan, environment: dict[str, str]) -> Rates:
    properties = work / "provider.security"
    properties.write_text(registration())
    command = ["java", f"-Djava.security.properties={properties}", "-cp", f"{work}:{jar(environment)}", "Bench", "hsm"]
    with daemon(environment):
        return _run([*command, *plan.arguments()], environment)


def _library() -> str | None:
    found = next((path for path in _SOFTHSM if Path(path).exists()), None)
    return found if shutil.which("softhsm2-util") else None


def _softhsm(work: Path, plan: Plan) -> Rates:
    """Measure SunPKCS11 over a SoftHSM token of its own."""
    folder = work / "softhsm"
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(conf)}
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", _PIN],
        env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    configuration = folder / "pkcs11.cfg"
    configuration.write_text(f"name = soft\nlibrary = {_library()}\nslotListIndex = 0\n")
    subject = f"pkcs11:{configuration}:{_PIN}"
    rates = _run(["java", "-cp", str(work), "Bench", subject, *plan.arguments()], environment)
    shutil.rmtree(folder)
    return rates


def _run(command: list[str], environment: dict[str, str]) -> Rates:
    shown = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    rates: Rates = {}
    for line in shown.stdout.splitlines():
        name, threads, windows = line.split("\t")
        rates[name, int(threads)] = [int(rate) for rate in windows.split(",")]
    return rates
