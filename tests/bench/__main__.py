"""``make bench``: one table, from one run, of this provider beside what a user would pick instead, with ratios.

Every provider runs the same Java program (``Bench.java``) through the JCA, in its own JVM; the rounds alternate between
providers, and the best rate of each cell counts, so that a noisy moment of the machine hurts no provider alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

Rates = dict[tuple[str, int], int]
_HSM = [sys.executable, "-m", "bridge"]
_PIN = "bench-pin-1"
_SOFTHSM = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
IN_PROCESS, SOCKET, SOFTHSM, JDK = "in-process", "Unix socket", "SunPKCS11 SoftHSM", "JDK"

TARGETS = (
    ("RSA-2048 sign", 1, IN_PROCESS, JDK, 2.0),
    ("P-256 sign", 1, IN_PROCESS, JDK, 10.0),
    ("AES-256-GCM encrypt 1024 B", 1, IN_PROCESS, SOFTHSM, 4.0),
    ("AES-256-GCM encrypt 1024 B", 2, IN_PROCESS, SOFTHSM, 4.0),
    ("RSA-2048 sign", 2, SOCKET, SOFTHSM, 1.5),
    ("P-256 sign", 2, SOCKET, SOFTHSM, 1.5),
)
"""Operation, threads, the provider, what it is compared with, the ratio to be reached."""


def main() -> None:
    """Measure every provider in turn and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--milliseconds", type=int, default=1000, help="time for one cell of the table")
    parser.add_argument("--rounds", type=int, default=2, help="how often all providers take their turn")
    options = parser.parse_args()
    results: dict[str, Rates] = {}
    with tempfile.TemporaryDirectory(prefix="hsmbridge-bench-") as folder:
        work = Path(folder)
        subprocess.run(["javac", "-d", str(work), str(Path(__file__).with_name("Bench.java"))], check=True)
        arguments = [str(options.milliseconds), "1", "2"]
        for turn in range(options.rounds):
            for name, rates in _one_round(work, arguments, turn):
                best = results.setdefault(name, {})
                for cell, rate in rates.items():
                    best[cell] = max(rate, best.get(cell, 0))
    _print(results)


def _one_round(work: Path, arguments: list[str], turn: int) -> Iterator[tuple[str, Rates]]:
    environment = os.environ | {
        "HSM_HOME": str(work / f"hsm{turn}"),
        "HSM_USER": "cu1",
        "HSM_PASSWORD": "bench-password",
    }
    subprocess.run([*_HSM, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)
    yield IN_PROCESS, _run([*_HSM, "java", "-cp", str(work), "Bench", "hsm", *arguments], environment)
    with _daemon(environment):
        jar = subprocess.run([*_HSM, "jar"], env=environment, check=True, capture_output=True, text=True).stdout.strip()
        properties = work / "provider.security"
        properties.write_text(_registration())
        yield (
            SOCKET,
            _run(
                [
                    "java",
                    f"-Djava.security.properties={properties}",
                    "-cp",
                    f"{work}:{jar}",
                    "Bench",
                    "hsm",
                    *arguments,
                ],
                environment,
            ),
        )
    library = next((path for path in _SOFTHSM if Path(path).exists()), None)
    if library and shutil.which("softhsm2-util"):
        configuration = _softhsm(work / f"softhsm{turn}", library)
        environment["SOFTHSM2_CONF"] = str(configuration.with_name("softhsm2.conf"))
        yield (
            SOFTHSM,
            _run(["java", "-cp", str(work), "Bench", f"pkcs11:{configuration}:{_PIN}", *arguments], environment),
        )
    yield JDK, _run(["java", "-cp", str(work), "Bench", "jdk", *arguments], environment)


def _registration() -> str:
    """Return the line that puts the provider last in this JDK's list."""
    program = "java.util.Arrays.stream(java.security.Security.getProviders()).count()"
    shown = subprocess.run(
        ["jshell", "-s", "-"], input=f"System.out.println({program})", capture_output=True, text=True, check=True
    )
    last = int(shown.stdout.split()[-1]) + 1
    return f"security.provider.{last}=com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider\n"


@contextmanager
def _daemon(environment: dict[str, str]) -> Iterator[None]:
    subprocess.run([*_HSM, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*_HSM, "stop"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _softhsm(folder: Path, library: str) -> Path:
    """Make a SoftHSM token of its own and return the SunPKCS11 configuration for it."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", _PIN],
        env=os.environ | {"SOFTHSM2_CONF": str(conf)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    configuration = folder / "pkcs11.cfg"
    configuration.write_text(f"name = soft\nlibrary = {library}\nslotListIndex = 0\n")
    return configuration


def _run(command: list[str], environment: dict[str, str]) -> Rates:
    shown = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    rates: Rates = {}
    for line in shown.stdout.splitlines():
        parts = line.split("\t")
        if len(parts) == 3:
            rates[parts[0], int(parts[1])] = int(parts[2])
    return rates


def _print(results: dict[str, Rates]) -> None:
    console = Console(width=140)
    table = Table(title="operations per second, through the JCA")
    table.add_column("operation")
    table.add_column("threads", justify="right")
    for name in results:
        table.add_column(name, justify="right")
    others = [name for name in (SOFTHSM, JDK) if name in results]
    for other in others:
        table.add_column(f"in-process / {other}", justify="right")
    for cell in results[IN_PROCESS]:
        rates = [results[name][cell] for name in results]
        ratios = [results[IN_PROCESS][cell] / results[other][cell] for other in others]
        table.add_row(cell[0], str(cell[1]), *(f"{rate:,}" for rate in rates), *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    for operation, threads, ours, theirs, wanted in TARGETS:
        if theirs in results:
            ratio = results[ours][operation, threads] / results[theirs][operation, threads]
            verdict = "reached" if ratio >= wanted else "NOT reached"
            where = f"{operation}, {threads} thread{'s' if threads > 1 else ''}"
            console.print(f"{where}: {ours} is {ratio:.2f} times {theirs}; wanted {wanted:g}: {verdict}")


if __name__ == "__main__":
    main()
