"""The table, the goals, and the JSON file beside it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.subjects import CEILING, IN_PROCESS, JDK, SOCKET, SOFTHSM, TLS, Rates

Results = dict[str, Rates]


@dataclass(frozen=True)
class Goal:
    """A ratio of rates: of one operation and number of threads by one subject, to another."""

    operation: str
    threads: int
    subject: str
    other: str
    ratio: float
    other_threads: int = 0


_GCM = "AES-256-GCM encrypt"
GOALS = (
    Goal("RSA-2048 sign", 1, IN_PROCESS, JDK, 2.5),
    Goal("RSA-2048 sign", 1, IN_PROCESS, CEILING, 0.9),
    Goal("RSA-2048 sign", 2, IN_PROCESS, CEILING, 1.62, 1),
    Goal("P-256 sign", 1, IN_PROCESS, JDK, 15),
    Goal("P-256 sign", 1, IN_PROCESS, CEILING, 0.7),
    Goal("P-256 sign", 2, IN_PROCESS, IN_PROCESS, 1.6, 1),
    Goal("RSA-2048 verify", 1, IN_PROCESS, JDK, 1),
    Goal("P-256 verify", 1, IN_PROCESS, JDK, 1),
    *(Goal(f"{_GCM} {size} B", threads, IN_PROCESS, SOFTHSM, 8) for size in (16, 1024) for threads in (1, 2)),
    Goal(f"{_GCM} 16384 B", 1, IN_PROCESS, SOFTHSM, 5),
    Goal(f"{_GCM} 1048576 B", 1, IN_PROCESS, CEILING, 0.8),
    Goal("AES-256-CBC encrypt 1024 B", 1, IN_PROCESS, SOFTHSM, 5),
    Goal("HMAC-SHA256 1024 B", 1, IN_PROCESS, SOFTHSM, 5),
    Goal("RSA-2048 sign", 1, SOCKET, SOFTHSM, 1),
    Goal("P-256 sign", 1, SOCKET, SOFTHSM, 1),
    Goal("RSA-2048 sign", 2, SOCKET, SOFTHSM, 2),
    Goal("P-256 sign", 2, SOCKET, SOFTHSM, 2),
    Goal(f"{_GCM} 1024 B", 2, SOCKET, SOFTHSM, 2),
    Goal("AES-256-CBC encrypt 1024 B", 2, SOCKET, SOFTHSM, 1.2),
    *(Goal(name, 2, TLS, SOCKET, 0.7) for name in ("RSA-2048 sign", "P-256 sign", f"{_GCM} 1024 B")),
    *(Goal(name, 8, IN_PROCESS, IN_PROCESS, 1, 2) for name in ("RSA-2048 sign", "P-256 sign", f"{_GCM} 1024 B")),
)
"""Target ratios; the machine decides how many are reached."""


def show(results: Results) -> None:
    """Print medians, how far the windows lie apart, ratios, and how each goal stands."""
    console = Console(width=150)
    table = Table(title="operations per second through the JCA: medians (± half the spread of the windows, %)")
    table.add_column("operation")
    table.add_column("threads", justify="right")
    for name in results:
        table.add_column(name, justify="right")
    others = [name for name in (SOFTHSM, JDK, CEILING) if name in results]
    for other in others:
        table.add_column(f"in-process / {other}", justify="right")
    for cell in results[IN_PROCESS]:
        ours = results[IN_PROCESS][cell]
        rates = [_shown(results[name].get(cell)) for name in results]
        ratios = [f"{_ratio(ours, results[other][cell]):.2f}" if cell in results[other] else "-" for other in others]
        table.add_row(cell[0], str(cell[1]), *rates, *ratios)
    console.print(table)
    for goal in GOALS:
        _tell(console, goal, results)


def _ratio(ours: list[int], theirs: list[int]) -> float:
    """Return the median of the ratios of windows of the same time."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def _shown(windows: list[int] | None) -> str:
    if not windows:
        return "-"
    middle = median(windows)
    return f"{middle:,.0f} ±{50 * (max(windows) - min(windows)) / middle:.0f}"


def _tell(console: Console, goal: Goal, results: Results) -> None:
    ours = results.get(goal.subject, {}).get((goal.operation, goal.threads))
    theirs = results.get(goal.other, {}).get((goal.operation, goal.other_threads or goal.threads))
    if not ours or not theirs:
        return
    ratio = _ratio(ours, theirs)
    verdict = "reached" if ratio >= goal.ratio else "NOT reached"
    against = goal.other + (f" with {goal.other_threads}" if goal.other_threads else "")
    console.print(
        f"{goal.operation}, {goal.threads} threads: {goal.subject} is {ratio:.2f} of {against}; "
        f"aim {goal.ratio:g}: {verdict}"
    )


def write(path: Path, results: Results, growth: dict[str, Any]) -> None:
    """Write everything as JSON."""
    rates = {
        name: [{"operation": cell[0], "threads": cell[1], "windows": windows} for cell, windows in rates.items()]
        for name, rates in results.items()
    }
    machine = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, "rates": rates, "growth": growth}, indent=1) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
