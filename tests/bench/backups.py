"""Backups beside uses of keys: ``python -m tests.bench.backups``.

A daemon serves an HSM with many token keys, and a Java client (``Bench.java``) uses one of them. The rate while
``hsm backup create`` runs is compared with the rate before and after it, window by window.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench import growth, subjects

SECONDS, RATIO = 60.0, 0.8
"""Aims: the longest backup of 100 000 keys, and the smallest part of the rate that remains meanwhile."""
_OPERATIONS = ("AES-256-GCM encrypt 1024 B", "P-256 sign")
_WARMING = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backups", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2, help="threads of the client")
    parser.add_argument("--milliseconds", type=int, default=1000, help="a window")
    options = parser.parse_args()
    headings = ("operation", "backup, s", "rate before", "during", "after", "ratio", "windows")
    table = Table(title=f"backup of {options.keys:,} keys beside {options.threads} threads that use one")
    for heading in headings:
        table.add_column(heading, justify="right")
    results = []
    with tempfile.TemporaryDirectory(prefix="hsmbridge-backups-") as folder:
        work = Path(folder)
        environment = _site(work, options.keys)
        with subjects.daemon(environment), _client(work, environment) as client:
            time.sleep(1)
            # The daemon makes a backup of its own a few seconds after its start.
            _wait_for_automatic(work / "hsm" / "backups")
            for operation in _OPERATIONS:
                seconds, rates = _measured(client, operation, options.threads, options.milliseconds, environment)
                before, during, after = map(median, rates)
                ratio = during / ((before + after) / 2)
                results.append((seconds, ratio))
                table.add_row(
                    operation, f"{seconds:.1f}", f"{before:,.0f}", f"{during:,.0f}", f"{after:,.0f}", f"{ratio:.2f}",
                    str(len(rates[1])),
                )  # fmt: skip
        size = max(path.stat().st_size for path in (work / "hsm" / "backups").iterdir())
        begun = time.monotonic()
        subprocess.run(
            [*subjects.HSM, "backup", "restore", _newest(environment), str(work / "restored")],
            env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        restoring = time.monotonic() - begun
    console = Console(width=140)
    console.print(table)
    console.print(f"file: {size / 2**20:.1f} MiB; restore: {restoring:.1f} s")
    longest, smallest = max(seconds for seconds, _ in results), min(ratio for _, ratio in results)
    for name, value, reached in (
        ("longest backup, seconds", longest, longest < SECONDS),
        ("smallest ratio of rates", smallest, smallest >= RATIO),
    ):
        console.print(f"{name}: {value:.2f}: {'reached' if reached else 'NOT reached'}")


def _site(work: Path, keys: int) -> dict[str, str]:
    environment = subjects.site(work / "hsm", os.environ | {"HSM_ADMIN_PASSWORD": "bench-admin-1"})
    growth.fill(work / "hsm", keys)
    subprocess.run(["javac", "-d", str(work), str(Path(__file__).with_name("Bench.java"))], check=True)
    (work / "provider.security").write_text(subjects.registration())
    return environment


def _client(work: Path, environment: dict[str, str]) -> AbstractContextManager[subjects.Subject]:
    properties = f"-Djava.security.properties={work / 'provider.security'}"
    command = ["java", properties, "-cp", f"{work}:{subjects.jar(environment)}", "Bench", "hsm", "1024"]
    return subjects.running(command, environment)


def _wait_for_automatic(directory: Path) -> None:
    end = time.monotonic() + 300
    while not list(directory.glob("*.hsmbackup")):
        if time.monotonic() > end:
            raise TimeoutError("the daemon made no backup")
        time.sleep(0.5)


def _newest(environment: dict[str, str]) -> str:
    directory = Path(environment["HSM_HOME"]) / "backups"
    return max(directory.glob("*.hsmbackup"), key=lambda path: path.stat().st_mtime).stem


def _measured(
    client: subjects.Subject, operation: str, threads: int, milliseconds: int, environment: dict[str, str]
) -> tuple[float, tuple[list[int], list[int], list[int]]]:
    """Return the seconds of a backup, and the rates of windows before, during and after it."""
    for _ in range(_WARMING):
        client.rate(operation, threads, milliseconds)
    before = [client.rate(operation, threads, milliseconds) for _ in range(8)]
    begun = time.monotonic()
    during: list[int] = []
    with subprocess.Popen([*subjects.HSM, "backup", "create"], env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            during.append(client.rate(operation, threads, milliseconds))
        seconds = time.monotonic() - begun
        if process.returncode:
            raise RuntimeError("the backup failed")
    # The first window has the start of the command, the last one is not whole.
    during = during[1:-1] or during
    after = [client.rate(operation, threads, milliseconds) for _ in range(8)]
    return seconds, (before, during, after)


if __name__ == "__main__":
    main()
