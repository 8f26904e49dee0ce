"""Counts and times of operations with keys, by operation and mechanism.

A repeated operation costs one ``next``: a shortcut is an iterator that yields its function 4096 times and then ends.
The iterator itself has the count, and the request after its end takes the full path, which is timed. So every operation
is counted, a failed one perhaps as a success too, and the times are those of first operations and of a sample.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import length_hint
from threading import Lock
from typing import Any

TURNS = 4096
"""Operations of a shortcut between two that are timed."""
BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)
"""Upper bounds of the histogram of times, in seconds. One more bucket has longer times."""


@dataclass(slots=True, eq=False)
class _Count:
    """The count of one operation with one mechanism. ``settled`` has that of shortcuts that were dropped."""

    settled: int = 0
    timed: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Uses:
    """The count of one operation with one mechanism. ``timed`` counts times by bucket; ``seconds`` is their sum."""

    operation: str
    mechanism: str
    count: int
    timed: tuple[int, ...]
    seconds: float


class Shortcut:
    """A prepared operation that REPEAT reaches by number, and the count of its calls."""

    __slots__ = ("count", "number", "turns")

    def __init__(self, run: Callable[..., Any], count: _Count) -> None:
        self.number = 0
        self.turns = itertools.repeat(run, TURNS)
        """Yields the function; ends when a request should take the full path."""
        self.count = count

    def used(self) -> int:
        """Return how often the function was called."""
        return TURNS - length_hint(self.turns)

    def remain(self) -> bool:
        """Tell whether the function can be called again before a request takes the full path."""
        return length_hint(self.turns) > 0

    def settle(self) -> None:
        """Add the count to that of the mechanism, when the shortcut is dropped."""
        self.count.settled += self.used()


class Counts:
    """The counts of one HSM. All methods may be called from any thread, those of shortcuts under the HSM's lock."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def shortcut(self, operation: str, mechanism: str, run: Callable[..., Any]) -> Shortcut:
        """Return a new shortcut."""
        return Shortcut(run, self._count(operation, mechanism))

    def add(self, operation: str, mechanism: str, seconds: float) -> None:
        """Count one operation that took so many seconds."""
        count = self._count(operation, mechanism)
        with self._lock:
            count.timed[bisect_left(BUCKETS, seconds)] += 1
            count.seconds += seconds

    def add_failure(self, operation: str, error: str) -> None:
        """Count an operation that was refused or failed, by the name of its error."""
        with self._lock:
            self._failures[operation, error] = self._failures.get((operation, error), 0) + 1

    def uses(self, shortcuts: Iterable[Shortcut]) -> list[Uses]:
        """Return all counts, with those of the given shortcuts."""
        repeated: dict[_Count, int] = {}
        for kept in shortcuts:
            repeated[kept.count] = repeated.get(kept.count, 0) + kept.used()
        with self._lock:
            return [
                Uses(*names, one.settled + repeated.get(one, 0) + sum(one.timed), tuple(one.timed), one.seconds)
                for names, one in sorted(self._counts.items(), key=lambda item: item[0])
            ]

    def failures(self) -> dict[tuple[str, str], int]:
        """Return the number of failures by operation and error."""
        with self._lock:
            return dict(self._failures)

    def _count(self, operation: str, mechanism: str) -> _Count:
        with self._lock:
            return self._counts.setdefault((operation, mechanism), _Count())
