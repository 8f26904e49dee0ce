"""Compare the PKCS #11 library with SoftHSM 2 behind ``p11-kit server``: ``python -m tests.bench.cryptoki``.

Both are libraries that talk to another process. A C program (``cryptoki_loop.c``) and SunPKCS11 (``Bench.java``) call
them; all take turns, a window each. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bridge.launcher.library import library_path
from tests.bench.subjects import Subject, daemon, running, site

_ROOT = Path(__file__).parents[2]
_SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
_CLIENT = Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so")
_PIN = "bench-pin-1"
_OURS_PIN = "cu1:bench-password"
_WARMING = 2
"""Windows that do not count."""
_GCM = "AES-256-GCM encrypt 1024 B"
OPERATIONS = ("RSA-2048 sign", "P-256 sign", "RSA-2048 verify", "P-256 verify", _GCM)
_SUN = """name = bench
library = {library}
slotListIndex = 0
attributes(generate, CKO_PUBLIC_KEY, *) = {{ CKA_VERIFY = true }}
attributes(generate, CKO_PRIVATE_KEY, *) = {{ CKA_SIGN = true CKA_SENSITIVE = true }}
attributes(generate, CKO_SECRET_KEY, *) = {{ CKA_ENCRYPT = true CKA_DECRYPT = true }}
"""
AIMS = {"RSA-2048 sign": 1.5, "P-256 sign": 1.5, "RSA-2048 verify": 1.0, "P-256 verify": 1.0}
"""The ratio to the other library that each operation should have."""
AIM_GCM = 20_000
"""AES-GCM operations of 1 KiB a second of one client."""

Rates = dict[tuple[str, str, int], list[int]]
"""Caller, operation and threads to operations per second, a window each."""


@dataclass(frozen=True)
class Library:
    """A PKCS #11 library with a token, and the environment of its callers."""

    name: str
    path: Path
    pin: str
    environment: dict[str, str]
    iv_from_hsm: bool = False


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cryptoki", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--milliseconds", type=int, default=400, help="a window")
    parser.add_argument("--callers", default="C,SunPKCS11")
    options = parser.parse_args()
    counts = [int(count) for count in options.threads.split(",")]
    with tempfile.TemporaryDirectory(prefix="hsmbridge-cryptoki-") as folder, ExitStack() as stack:
        work = Path(folder)
        libraries = [stack.enter_context(made(work)) for made in (_ours, _softhsm)]
        rates: dict[str, Rates] = {library.name: {} for library in libraries}
        for caller in options.callers.split(","):
            subjects = {
                library.name: stack.enter_context(_CALLERS[caller](work, library, index))
                for index, library in enumerate(libraries)
            }
            for operation in OPERATIONS:
                for window in range(-_WARMING, options.windows):
                    for count in counts:
                        for name, subject in subjects.items():
                            rate = subject.rate(operation, count, options.milliseconds)
                            if window >= 0 and rate:
                                rates[name].setdefault((caller, operation, count), []).append(rate)
        show(*rates.values())


def show(ours: Rates, theirs: Rates) -> None:
    """Print the table, and whether each aim is reached."""
    table = Table(title="operations per second through PKCS #11 (medians), ratios of neighbouring windows")
    for heading in ("caller", "operation", "threads", "hsmbridge", "SoftHSM behind p11-kit", "ratio", "aim"):
        table.add_column(heading, justify="right")
    for cell, rates in ours.items():
        caller, operation, count = cell
        others = theirs.get(cell)
        ratio = median(our / their for our, their in zip(rates, others, strict=True)) if others else None
        if ratio is not None and operation in AIMS:
            aim = f"{AIMS[operation]:g}: {'reached' if ratio >= AIMS[operation] else 'NOT reached'}"
        elif operation == _GCM and count == 1:
            aim = f"{AIM_GCM:,}/s: {'reached' if median(rates) >= AIM_GCM else 'NOT reached'}"
        else:
            aim = ""
        theirs_shown = f"{median(others):,.0f}" if others else "-"
        shown = f"{ratio:.2f}" if ratio is not None else "-"
        table.add_row(caller, operation, str(count), f"{median(rates):,.0f}", theirs_shown, shown, aim)
    Console(width=130).print(table)


def _c_loop(work: Path, library: Library, number: int) -> AbstractContextManager[Subject]:
    program = work / f"loop{number}"
    source = Path(__file__).with_name("cryptoki_loop.c")
    include = _ROOT / "bridge" / "native"
    subprocess.run(["cc", "-O2", "-pthread", "-I", include, source, "-o", program, "-ldl"], check=True)
    command = [str(program), str(library.path), library.pin, "1" if library.iv_from_hsm else "0"]
    return running(command, library.environment)


def _sun(work: Path, library: Library, number: int) -> AbstractContextManager[Subject]:
    subprocess.run(["javac", "-d", str(work), str(Path(__file__).with_name("Bench.java"))], check=True)
    configuration = work / f"sun{number}.cfg"
    configuration.write_text(_SUN.format(library=library.path))
    provider = f"pkcs11:{configuration}:{library.pin}"
    return running(["java", "-cp", str(work), "Bench", provider, "1024"], library.environment)


_CALLERS = {"C": _c_loop, "SunPKCS11": _sun}


@contextmanager
def _ours(work: Path) -> Iterator[Library]:
    environment = site(work / "hsm")
    with daemon(environment):
        yield Library("hsmbridge", library_path(), _OURS_PIN, environment, iv_from_hsm=True)


@contextmanager
def _softhsm(work: Path) -> Iterator[Library]:
    """A SoftHSM token behind a server of p11-kit."""
    folder = work / "softhsm"
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    address = folder / "p11-kit.sock"
    environment = os.environ | {"SOFTHSM2_CONF": str(conf), "P11_KIT_SERVER_ADDRESS": f"unix:path={address}"}
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", _PIN],
        env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    command = ["p11-kit", "server", "--foreground", "--name", str(address), "--provider", str(_SOFTHSM), "pkcs11:"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(address)
            yield Library("SoftHSM", _CLIENT, _PIN, environment)
        finally:
            server.terminate()


def _wait_for(address: Path) -> None:
    deadline = time.monotonic() + 20
    while not address.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("p11-kit server does not listen")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
