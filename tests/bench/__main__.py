"""``make bench``: one run, one table with ratios, a JSON file beside it, and the charts of ``docs/performance.md``.

Every provider runs the same Java program (``Bench.java``) through the JCA, in its own JVM: windows to warm up, then
several whose median counts, all of them in turn. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import chart, crowd, growth, report, subjects

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "performance.md"
_CHARTED = {
    "signatures": (
        "RSA-2048 sign",
        "RSA-2048 verify",
        "P-256 sign",
        "P-256 verify",
        "P-384 sign",
        "RSA-2048 OAEP decrypt",
    ),
    "symmetric": tuple(f"AES-256-GCM encrypt {size} B" for size in (16, 1024, 16384, 1048576))
    + tuple(f"{name} 1024 B" for name in ("AES-256-CBC encrypt", "AES-256-CTR encrypt", "HMAC-SHA256")),
}
CROWD = 64
"""Threads of a crowd."""
_GROWTH = ("open", "find by label", "first use", "list of 10", "keytool -list, whole process")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a few operations, short windows, small stores")
    parser.add_argument("--no-growth", action="store_true", help="leave out the second part")
    parser.add_argument("--only", default=".", metavar="PATTERN", help="operations that match this regular expression")
    parser.add_argument("--milliseconds", type=int, default=400, help="a window")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--threads", default="1,2,8")
    parser.add_argument("--sizes", default="16,1024,16384,1048576", help="payloads in bytes")
    parser.add_argument("--json", type=Path, default=_ROOT / "build" / "bench.json", metavar="FILE")
    parser.add_argument("--charts", action="store_true", help="write the charts of docs/performance.md too")
    options = parser.parse_args()
    if options.short:
        options.only = "2048 sign|P-256|GCM enc|CBC enc|HMAC" if options.only == "." else options.only
        options.milliseconds, options.threads, options.sizes = 100, "1,2", "1024"
    threads = tuple(int(count) for count in options.threads.split(","))
    many = () if options.short else (CROWD,)
    plan = subjects.Plan(options.milliseconds, options.windows, threads, many, options.only, options.sizes)
    grown: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hsmbridge-bench-") as folder:
        results = subjects.measured(Path(folder), plan)
        report.show(results)
        if not options.no_growth:
            some = (growth.SIZES[:2], 1) if options.short else (growth.SIZES, growth.PROCESSES)
            grown = growth.measured(Path(folder), *some)
            growth.show(grown)
            grown["crowd"] = crowd.measured(Path(folder), crowd.SIZES[:2] if options.short else crowd.SIZES)
            crowd.show(grown["crowd"])
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report.write(options.json, results, grown)
    print(f"written: {options.json}")
    if options.charts:
        _draw(results, grown)


def _draw(results: report.Results, grown: dict[str, Any]) -> None:
    for name, charted in _CHARTED.items():
        operations = [operation for operation in charted if (operation, 1) in results[subjects.IN_PROCESS]]
        if not operations:
            continue
        series = {
            subject: [median(rates.get((operation, 1), [0])) for operation in operations]
            for subject, rates in results.items()
        }
        _svg(name).write_text(chart.bars(f"{name}, one thread", operations, series))
    if grown:
        rows = grown["stores"]
        series = {name: [row[name] for row in rows] for name in _GROWTH}
        _svg("growth").write_text(chart.lines("number of keys", [row["keys"] for row in rows], series))
        for name, rows in grown["crowd"].items():
            series = {
                measure: [row[measure] for row in rows]
                for measure in rows[0]
                if measure not in ("number", crowd.MEMORY)
            }
            file = _svg(name.replace(" ", "-"))
            file.write_text(chart.lines(f"number of {name}", [row["number"] for row in rows], series))
    print(f"charts of {_PAGE} written")


def _svg(name: str) -> Path:
    return _PAGE.with_name(f"performance-{name}.svg")


if __name__ == "__main__":
    main()
