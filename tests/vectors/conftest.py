"""Counts the published vectors that went through the JVM and prints the counts at the end of the run."""

from __future__ import annotations

from collections import Counter

import pytest

_COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="session")
def counted() -> Counter[str]:
    """Vectors run so far, by family."""
    return _COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line of counts."""
    if _COUNTS:
        families = ", ".join(f"{name} {count}" for name, count in sorted(_COUNTS.items()))
        terminalreporter.write_line(f"vectors through the JVM: {families}, together {sum(_COUNTS.values())}")
