"""How cost grows with the number of keys."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from hsmcore import Hsm
from hsmcore.events import EVENTS
from hsmcore.making import generate_secret
from tests.bench.subjects import HSM, daemon, jar, site

SIZES = (10, 1_000, 16_666, 100_000)
ROUNDS = 7
_BATCH = 1_000
_STORE = ("-storetype", "CloudHSM", "-keystore", "NONE", "-storepass", "changeit")


def measured(work: Path, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Measure stores of these sizes; times are in milliseconds, medians."""
    rows = [_store(work / f"hsm{size}", size) for size in sizes]
    reference = _software_list(work)
    return {"stores": rows, "keytool -list of a PKCS #12 file with 100 entries": reference}


def _store(home: Path, size: int) -> dict[str, float]:
    environment = site(home)
    _fill(home, size)
    row: dict[str, float] = {"keys": size}
    row["open"] = milliseconds(lambda: Hsm.open(home).close())
    with Hsm.open(home) as hsm:
        session = hsm.login("cu1", b"bench-password")
        labels = iter(range(10**9))
        row["find by label"] = milliseconds(lambda: hsm.find_keys(session, {"LABEL": f"key {next(labels) % size}"}), 50)
        fresh = iter(hsm.find_keys(session, {}, 2 * ROUNDS))
        row["first use"] = milliseconds(lambda: hsm.encrypt(session, next(fresh).handle, "AES_GCM", None, b""))
        row["list of 10"] = milliseconds(lambda: hsm.find_keys(session, {}, 10))
        row["all labels"] = milliseconds(lambda: hsm.labels(session), 3)
    with daemon(environment):
        row["memory of the daemon, MiB"] = _resident(home)
        tool = ["keytool", "-J-cp", f"-J{jar(environment)}", "-addprovider", "CloudHSM", "-list", *_STORE]
        row["keytool -list, whole process"] = _process(tool, environment)
    row["hsm keytool -list, whole process"] = _process([*HSM, "keytool", "-list", *_STORE], environment)
    row["hsm start"] = milliseconds(lambda: _start_and_stop(environment), 3)
    return row


def _fill(home: Path, size: int) -> None:
    """Make the keys, many in one transaction; the door makes them one by one, which takes minutes for the largest."""
    with Hsm.open(home) as hsm:
        session = hsm.login("cu1", b"bench-password")
        for first in range(0, size, _BATCH):
            numbers = range(first, min(first + _BATCH, size))
            made = [{"TOKEN": True, "LABEL": f"key {number}"} for number in numbers]
            keys = [generate_secret("AES_KEY_GEN", wishes, hsm.settings) for wishes in made]
            with hsm.log.command(EVENTS["generate_key"], {"session": session}):
                hsm._ring.add(session, keys)


def milliseconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return how long a call takes, the median of so many."""
    return median(_once(call) for _ in range(rounds))


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _process(command: list[str], environment: dict[str, str]) -> float:
    return milliseconds(
        lambda: subprocess.run(
            command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ),
        3,
    )


def _start_and_stop(environment: dict[str, str]) -> None:
    with daemon(environment):
        pass


def _resident(home: Path) -> float:
    pid = (home / "hsm.lock").read_text().strip()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def _software_list(work: Path) -> float:
    """A PKCS #12 file with 100 certificates, listed by a stock keytool: what a user is used to."""
    file = work / "hundred.p12"
    make = ["keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=x", "-alias", "k"]
    store = ["-keystore", str(file), "-storepass", "changeit"]
    subprocess.run([*make, *store], check=True, capture_output=True)
    certificate = work / "k.crt"
    subprocess.run(
        ["keytool", "-exportcert", "-alias", "k", "-file", str(certificate), *store], check=True, capture_output=True
    )
    _hundred(file, certificate)
    return milliseconds(lambda: subprocess.run(["keytool", "-list", *store], check=True, capture_output=True), 3)


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
    reference = growth["keytool -list of a PKCS #12 file with 100 entries"]
    console.print(f"keytool -list of a PKCS #12 file with 100 entries: {reference:,.0f} ms")
