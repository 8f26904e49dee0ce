"""Compare the daemons of several source trees: ``python -m tests.bench.serving OLD_TREE [NEW_TREE ...]``.

A tree has the folders ``bridge`` (with its jar), ``hsmcore`` and ``keystore``. Its daemon serves a Java client
(``Bench.java``) of its own. The clients take turns, one window each, and the order alternates, so a change of the
machine's load affects all trees alike. Trust the ratios, not the rates.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench import subjects

_OPERATIONS = ("AES-256-GCM encrypt 1024 B", "HMAC-SHA256 1024 B", "P-256 sign", "RSA-2048 sign")


def main() -> None:
    """Measure and print the ratios of the other trees to the first one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving")
    parser.add_argument("trees", type=Path, nargs="+", help="source trees; the first one is compared with the others")
    parser.add_argument("--clients", default="1,2,8,64", help="threads of the Java client, one connection each")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--milliseconds", type=int, default=400, help="a window")
    parser.add_argument("--only", default="", help="operations whose name contains this text")
    options = parser.parse_args()
    counts = [int(count) for count in options.clients.split(",")]
    operations = [name for name in _OPERATIONS if options.only in name]
    table = Table(title="operations per second (medians), and ratios to the first tree (medians of paired windows)")
    ratios = [f"ratio {tree.name}" for tree in options.trees[1:]]
    for heading in ("operation", "clients", *(tree.name for tree in options.trees), *ratios):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory(prefix="hsmbridge-serving-") as folder:
        work = Path(folder)
        subprocess.run(["javac", "-d", folder, str(Path(__file__).with_name("Bench.java"))], check=True)
        (work / "provider.security").write_text(subjects.registration())
        for count in counts:
            # A client keeps its connections, and idle ones count: every number of clients has daemons of its own.
            with ExitStack() as stack:
                clients = [
                    _client(stack, work, tree.resolve(), f"{count}-{index}") for index, tree in enumerate(options.trees)
                ]
                for operation in operations:
                    rates = _rates(clients, operation, count, options.milliseconds, options.windows)
                    table.add_row(operation, str(count), *_cells(rates))
                    print(operation, count, *_cells(rates), flush=True)
    Console(width=160).print(table)


def _cells(rates: list[list[int]]) -> list[str]:
    ratios = [median(new / old for old, new in zip(rates[0], other, strict=True)) for other in rates[1:]]
    return [*(f"{median(of_tree):,.0f}" for of_tree in rates), *(f"{ratio:.2f}" for ratio in ratios)]


def _client(stack: ExitStack, work: Path, tree: Path, name: str) -> subjects.Subject:
    """Start the tree's daemon and a Java client of it."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    environment = subjects.site(work / name, environment)
    stack.enter_context(subjects.daemon(environment))
    properties = f"-Djava.security.properties={work / 'provider.security'}"
    command = ["java", properties, "-cp", f"{work}:{subjects.jar(environment)}", "Bench", "hsm", "1024"]
    return stack.enter_context(subjects.running(command, environment))


def _rates(
    clients: list[subjects.Subject], operation: str, count: int, milliseconds: int, windows: int
) -> list[list[int]]:  # fmt: skip
    """Return the rates of each client, one for each window; two earlier windows warm the JVM up."""
    rates: list[list[int]] = [[] for _ in clients]
    for window in range(-2, windows):
        order = list(range(len(clients)))
        for index in order if window % 2 else reversed(order):
            time.sleep(float(os.environ.get("PAUSE", "0")))
            rate = clients[index].rate(operation, count, milliseconds)
            if window >= 0:
                rates[index].append(rate)
    return rates


if __name__ == "__main__":
    main()
