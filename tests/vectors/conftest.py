"""Counts the published vectors that went through the JVM and prints the counts at the end of the run."""

from __future__ import annotations

from collections import Counter

import pytest

_COUNTS: Counter[str] = Counter()
_LEFT_OUT: Counter[str] = Counter()


@pytest.fixture(scope="session")
def counted() -> Counter[str]:
    """Vectors run so far, by family."""
    return _COUNTS


@pytest.fixture(scope="session")
def left_out() -> Counter[str]:
    """Vectors not run, by reason."""
    return _LEFT_OUT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was run and what was not."""
    if _COUNTS:
        families = ", ".join(f"{name} {count}" for name, count in sorted(_COUNTS.items()))
        terminalreporter.write_line(f"vectors through the JVM: {families}, together {sum(_COUNTS.values())}")
    if _LEFT_OUT:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(_LEFT_OUT.items()))
        terminalreporter.write_line(f"vectors left out: {sum(_LEFT_OUT.values())} ({reasons})")
