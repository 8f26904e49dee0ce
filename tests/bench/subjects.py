"""The measured subjects: this provider over both carriers, the alternatives of a user, and the ceiling."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

HSM = [sys.executable, "-m", "bridge"]
IN_PROCESS, SOCKET, TLS, SOFTHSM = "in-process", "Unix socket", "TLS", "SunPKCS11 SoftHSM"
JDK, CEILING = "JDK", "ceiling"
_WARMING = 2
"""Windows that do not count: a JVM has compiled what it runs most only after thousands of rounds."""
_CROWDED = ("RSA-2048 sign", "P-256 sign", "AES-256-GCM encrypt 1024 B", "HMAC-SHA256 1024 B")
"""Subjects that are also measured with many threads."""
_PIN = "bench-pin-1"
_SOFTHSM = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")

Rates = dict[tuple[str, int], list[int]]
"""Operation and threads to operations per second, a window each."""


@dataclass(frozen=True)
class Plan:
    """Operations that every subject performs."""

    milliseconds: int
    windows: int
    threads: tuple[int, ...]
    crowd: tuple[int, ...]
    pattern: str
    sizes: str


def measured(work: Path, plan: Plan) -> dict[str, Rates]:
    """Measure every subject that is there, each in a process of its own.

    They take turns, a window each: what a shared machine does to one in a minute it does to all. The windows of all
    subjects with the same index are so of the same time.
    """
    subprocess.run(["javac", "-d", str(work), str(Path(__file__).with_name("Bench.java"))], check=True)
    with ExitStack() as stack:
        subjects = {name: stack.enter_context(made) for name, made in _subjects(work, plan.sizes)}
        rates: dict[str, Rates] = {name: {} for name in subjects}
        wanted = [name for name in subjects[IN_PROCESS].operations if re.search(plan.pattern, name)]
        for operation in track(wanted, "measuring", console=Console(stderr=True), disable=not sys.stderr.isatty()):
            counts = (*plan.threads, *plan.crowd) if operation in _CROWDED else plan.threads
            for window in range(-_WARMING, plan.windows):
                for threads in counts:
                    for name, subject in subjects.items():
                        rate = subject.rate(operation, threads, plan.milliseconds)
                        if window >= 0 and rate:
                            rates[name].setdefault((operation, threads), []).append(rate)
    return rates


class Subject:
    """A process that measures when it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        self.operations = [line.rstrip("\n") for line in iter(self._output.readline, "\n")]

    def rate(self, operation: str, threads: int, milliseconds: int) -> int:
        """Return operations per second in one window; 0 for an operation that the subject does not have."""
        print(operation, threads, milliseconds, sep="\t", file=self._input, flush=True)
        return int(self._output.readline())


@contextmanager
def running(command: list[str], environment: Mapping[str, str]) -> Iterator[Subject]:
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Subject(process)


def _subjects(work: Path, sizes: str) -> Iterator[tuple[str, AbstractContextManager[Subject]]]:
    bench = ["java", "-cp", str(work), "Bench"]
    yield IN_PROCESS, running([*HSM, *bench, "hsm", sizes], site(work / "hsm"))
    yield SOCKET, _over_socket(work, sizes)
    yield TLS, _over_tls(work, sizes)
    if _library():
        yield SOFTHSM, _softhsm(work, sizes)
    yield JDK, running([*bench, "jdk", sizes], os.environ)
    yield CEILING, running([sys.executable, "-m", "tests.bench.ceiling", sizes], os.environ)


def site(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Make an HSM and return the environment of a crypto user's programs."""
    environment = {**environment} | {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": "bench-password"}
    subprocess.run([*HSM, "init"], env=environment, check=True, capture_output=True)
    return environment


@contextmanager
def daemon(environment: dict[str, str], *options: str) -> Iterator[None]:
    """Run the HSM's daemon."""
    subprocess.run([*HSM, "start", *options], env=environment, check=True, stdout=subprocess.DEVNULL)
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


@contextmanager
def _over_socket(work: Path, sizes: str) -> Iterator[Subject]:
    environment = site(work / "served")
    properties = work / "provider.security"
    properties.write_text(registration())
    command = ["java", f"-Djava.security.properties={properties}", "-cp", f"{work}:{jar(environment)}", "Bench", "hsm"]
    with daemon(environment), running([*command, sizes], environment) as subject:
        yield subject


@contextmanager
def _over_tls(work: Path, sizes: str) -> Iterator[Subject]:
    environment = site(work / "remote")
    host, port = "127.0.0.2", 22399
    command = [*HSM, "cluster", "initialize", "--new-ca", str(work / "ca"), "--name", host]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    configuration = work / "cloudhsm-jce.cfg"
    cluster = {
        "hsm_ca_file": str(work / "ca" / "customerCA.crt"), "servers": [{"hostname": host, "port": port}],
        "options": {"disable_key_availability_check": True},
    }  # fmt: skip
    configuration.write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
    properties = work / "remote.security"
    properties.write_text(registration())
    options = [f"-Djava.security.properties={properties}", f"-Dhsmbridge.config={configuration}"]
    command = ["java", *options, "-cp", f"{work}:{jar(environment)}", "Bench", "hsm", sizes]
    # Without HSM_HOME, which leads to the Unix socket.
    client = {name: value for name, value in environment.items() if name != "HSM_HOME"}
    with daemon(environment, "--listen", f"{host}:{port}"), running(command, client) as subject:
        yield subject


def _library() -> str | None:
    found = next((path for path in _SOFTHSM if Path(path).exists()), None)
    return found if shutil.which("softhsm2-util") else None


@contextmanager
def _softhsm(work: Path, sizes: str) -> Iterator[Subject]:
    """SunPKCS11 over a SoftHSM token of its own."""
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
    provider = f"pkcs11:{configuration}:{_PIN}"
    with running(["java", "-cp", str(work), "Bench", provider, sizes], environment) as subject:
        yield subject
