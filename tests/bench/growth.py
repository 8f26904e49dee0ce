"""How cost grows with the number of keys."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from hsmcore import Hsm
from hsmcore.audit.events import EVENTS
from hsmcore.keys.generation import generate_secret
from tests.bench.subjects import HSM, daemon, jar, site

SIZES = (10, 1_000, 16_666, 100_000)
ROUNDS = 7
_BATCH = 1_000
PROCESSES = 5
"""Rounds of whole processes."""
_LISTED = 16_666
_LIST = "keytool -list, whole process"
_REFERENCE = "keytool -list of a PKCS #12 file with 100 entries"
_STORE = ("-storetype", "CloudHSM", "-keystore", "NONE", "-storepass", "changeit")


class _Store:
    """An HSM with so many keys, and what was measured of it: milliseconds by round, but for the memory."""

    def __init__(self, home: Path, size: int) -> None:
        self.home, self.size = home, size
        self.environment = site(home)
        fill(home, size)
        self.labels = itertools.count()
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        with Hsm.open(self.home) as self.hsm:
            self.session = self.hsm.users.login("cu1", b"bench-password")
            self.fresh = iter(self.hsm.keys.find(self.session, {}, 2 * ROUNDS))
            yield

    def find(self) -> None:
        self.hsm.keys.find(self.session, {"LABEL": f"key {next(self.labels) % self.size}"})

    def row(self) -> dict[str, float]:
        return {"keys": self.size, **{name: median(times) for name, times in self.times.items()}}


def measured(work: Path, sizes: tuple[int, ...] = SIZES, processes: int = PROCESSES) -> dict[str, Any]:
    """Measure stores of these sizes, in turn as the subjects of the first part; times are in milliseconds, medians.

    Args:
        work: A directory for the stores.
        sizes: Keys of each store.
        processes: Rounds of whole processes, which take a second each.
    """
    stores = [_Store(work / f"hsm{size}", size) for size in sizes]
    _in_turn(stores, "open", lambda store: Hsm.open(store.home).close())
    with ExitStack() as stack:
        for store in stores:
            stack.enter_context(store.opened())
        _in_turn(stores, "find by label", _Store.find, 100)
        _in_turn(
            stores,
            "first use",
            lambda one: one.hsm.crypto.encrypt(one.session, next(one.fresh).handle, "AES_GCM", None, b""),
        )
        _in_turn(stores, "list of 10", lambda one: one.hsm.keys.find(one.session, {}, 10))
        _in_turn(stores, "all labels", lambda one: one.hsm.keys.labels(one.session), 3)
    reference = _software_store(work)
    software: list[float] = []
    with ExitStack() as stack:
        for store in stores:
            stack.enter_context(daemon(store.environment))
            store.times["memory of the daemon, MiB"] = [_resident(store.home)]
        provider = ["-J-cp", f"-J{jar(stores[0].environment)}", "-addprovider", "CloudHSM"]
        for _ in range(processes):
            _in_turn(stores, _LIST, lambda one: _run(["keytool", *provider, "-list", *_STORE], one.environment), 1)
            software.append(_once(lambda: _run(["keytool", "-list", *reference], dict(os.environ))))
    _in_turn(stores, f"hsm {_LIST}", lambda one: _run([*HSM, "keytool", "-list", *_STORE], one.environment), processes)
    _in_turn(stores, "hsm start", lambda one: _start_and_stop(one.environment), processes)
    return {"stores": [one.row() for one in stores], _REFERENCE: median(software), "goals": _goals(stores, software)}


def _in_turn(stores: list[_Store], name: str, call: Callable[[_Store], object], rounds: int = ROUNDS) -> None:
    for _ in range(rounds):
        for store in stores:
            store.times.setdefault(name, []).append(_once(partial(call, store)))


def _goals(stores: list[_Store], software: list[float]) -> list[tuple[str, float, float]]:
    """Return what is compared, the median of the ratios round by round, and what it may be at most."""
    few, many = stores[0], stores[-1]
    goals = [
        (f"{name} with {many.size:,} keys to {few.size:,}", _ratio(many.times[name], few.times[name]), 1.2)
        for name in ("find by label", "first use")
    ]
    listed = [
        (f"keytool -list of {store.size:,} keys to a PKCS #12 file's", _ratio(store.times[_LIST], software), 2.0)
        for store in stores
        if store.size == _LISTED
    ]
    return goals + listed


def _ratio(ours: list[float], others: list[float]) -> float:
    return median(our / other for our, other in zip(ours, others, strict=True))


def fill(home: Path, size: int) -> None:
    """Store many keys in one transaction; the API stores them one by one, which takes minutes for the largest size."""
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", b"bench-password")
        for first in range(0, size, _BATCH):
            numbers = range(first, min(first + _BATCH, size))
            made = [{"TOKEN": True, "LABEL": f"key {number}"} for number in numbers]
            keys = [generate_secret("AES_KEY_GEN", wishes, hsm.settings) for wishes in made]
            core = hsm._core
            with core.log.command(EVENTS["keys.generate"], {"session": session}):
                core.ring.add(session, keys)


def milliseconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return how long a call takes, the median of so many."""
    return median(_once(call) for _ in range(rounds))


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _start_and_stop(environment: dict[str, str]) -> None:
    with daemon(environment):
        pass


def _resident(home: Path) -> float:
    pid = (home / "hsm.lock").read_text().strip()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def _software_store(work: Path) -> list[str]:
    """Make a PKCS #12 file with 100 certificates, what a user is used to, and return keytool's words for it."""
    file = work / "hundred.p12"
    make = ["keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=x", "-alias", "k"]
    store = ["-keystore", str(file), "-storepass", "changeit"]
    _run([*make, *store], dict(os.environ))
    certificate = work / "k.crt"
    _run(["keytool", "-exportcert", "-alias", "k", "-file", str(certificate), *store], dict(os.environ))
    _hundred(file, certificate)
    return store


def _hundred(file: Path, certificate: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    loaded = x509.load_der_x509_certificate(certificate.read_bytes())
    entries = [pkcs12.PKCS12Certificate(loaded, f"entry {number}".encode()) for number in range(100)]
    file.write_bytes(pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(b"changeit")))


def show(growth: dict[str, Any]) -> None:
    """Print the table."""
    rows = growth["stores"]
    table = Table(title="how cost grows: milliseconds, medians")
    table.add_column("keys")
    for row in rows:
        table.add_column(f"{row['keys']:,}", justify="right")
    for name in rows[0]:
        if name != "keys":
            table.add_row(name, *(f"{row[name]:,.2f}" for row in rows))
    console = Console(width=120)
    console.print(table)
    console.print(f"{_REFERENCE}: {growth[_REFERENCE]:,.0f} ms")
    for name, ratio, most in growth["goals"]:
        console.print(f"{name}: {ratio:.2f}; aim at most {most:g}: {'reached' if ratio <= most else 'NOT reached'}")
