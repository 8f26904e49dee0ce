"""Prints the counts of the tests at the end of a run, in one process or in several (pytest-xdist)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from typing import Any

import pytest

Tally = Callable[[str], Counter[str]]

_TALLIES: defaultdict[str, Counter[str]] = defaultdict(Counter)
_SENT = "tallies"


@pytest.fixture(scope="session")
def tally() -> Tally:
    """Give the counts under a title, which are printed as ``title: name count, ...``."""
    return _TALLIES.__getitem__


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write what no encoding has, which hostile tests print, in a form that can be sent between processes."""
    report = yield
    report.sections = [(title, _encodable(text)) for title, text in report.sections]
    if report.longrepr is not None and (told := str(report.longrepr)) != _encodable(told):
        report.longrepr = _encodable(told)
    return report


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts of a process that has no terminal to the one that has."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_SENT] = {title: dict(counts) for title, counts in _TALLIES.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what another process has counted."""
    for title, counts in getattr(node, "workeroutput", {}).get(_SENT, {}).items():
        _TALLIES[title].update(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts."""
    for title, counts in sorted(_TALLIES.items()):
        parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        together = f", together {counts.total()}" if len(counts) > 1 else ""
        terminalreporter.write_line(f"{title}: {parts}{together}")
