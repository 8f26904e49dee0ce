"""How often tests repeat, and the counts that they print at the end, in one process or side by side (pytest-xdist).

A quick run (``make test``) covers every behaviour once. With ``HSMBRIDGE_TEST_ALL=1`` (``make test-all``) the tests
that are marked ``long`` run too, and the others repeat more often.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from tests import password_cost

Tally = Callable[[str], Counter[str]]
T = TypeVar("T")

ALL = os.environ.get("HSMBRIDGE_TEST_ALL") == "1"
"""True in a long run."""
_STRIDE = 7
"""Prime, so that a sample takes from every place of the groups that vector files consist of."""

password_cost.lower()

# No limit of time: the machine may be busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Containers and build servers set it. The processes that tests start would each compile hsmbridge again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts a command in the background lets it ignore Ctrl-C, and what the command starts too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SHORT = ("tests/hsmcore/", "tests/vectors/", "tests/docs/")
"""Folders whose files take seconds each."""
_TALLIES: defaultdict[str, Counter[str]] = defaultdict(Counter)
_SENT = "tallies"


def repeated(quick: int, long: int, variable: str = "") -> int:
    """Return how often to repeat; the environment variable, if there is one and it is set, says it instead."""
    return int(os.environ.get(variable, long if ALL else quick))


def sampled(cases: Iterable[T]) -> Iterator[T]:
    """Return the first of every seven cases in a quick run, else all."""
    return islice(cases, 0, None, 1 if ALL else _STRIDE)


def alike(cases: Iterable[object]) -> list[object]:
    """Return cases for ``parametrize`` that differ little: a quick run takes the first alone."""
    first, *others = cases
    return [first, *(pytest.param(case, marks=pytest.mark.long) for case in others)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are marked ``long`` in a quick run, and put short files last."""
    left_out = [] if ALL else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    # The files that take longest come first, so that processes side by side end together.
    items.sort(key=lambda item: item.nodeid.startswith(_SHORT))


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
