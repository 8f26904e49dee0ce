"""How often keys were used, with which mechanism, and how long that took.

A repeated use costs one ``next``: a shortcut is kept as an iterator that gives its function 4096 times and then ends,
so the iterator itself has the count, and the request after that goes the full way, which is timed. So all uses are
counted, one that fails perhaps besides its failure, and times are those of first uses and of a sample.
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
"""Uses of a shortcut between two that are timed."""
BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)
"""Upper bounds of the histogram of times, in seconds; there is one more for what is longer."""


@dataclass(slots=True, eq=False)
class _Use:
    """``settled`` counts repeated uses of shortcuts that are gone."""

    settled: int = 0
    timed: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Uses:
    """The uses of one operation with one mechanism. ``timed`` counts times by bucket; ``seconds`` is their sum."""

    operation: str
    mechanism: str
    count: int
    timed: tuple[int, ...]
    seconds: float


class Kept:
    """A shortcut's function and how often it was used."""

    __slots__ = ("number", "turns", "use")

    def __init__(self, run: Callable[..., Any], use: _Use) -> None:
        self.number = 0
        self.turns = itertools.repeat(run, TURNS)
        """Gives the function; ends when it is time to take the full way."""
        self.use = use

    def used(self) -> int:
        """Return how often the function was taken."""
        return TURNS - length_hint(self.turns)

    def remain(self) -> bool:
        """Return whether the function may be taken again before a use takes the full way."""
        return length_hint(self.turns) > 0

    def settle(self) -> None:
        """Add the uses to those of the mechanism, once the shortcut is gone."""
        self.use.settled += self.used()


class Counts:
    """The counts of one HSM. All methods may be called from any thread, those about shortcuts under the HSM's lock."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], _Use] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def kept(self, operation: str, mechanism: str, run: Callable[..., Any]) -> Kept:
        """Return a shortcut to keep."""
        return Kept(run, self._use(operation, mechanism))

    def add(self, operation: str, mechanism: str, seconds: float) -> None:
        """Count one use that was timed."""
        use = self._use(operation, mechanism)
        with self._lock:
            use.timed[bisect_left(BUCKETS, seconds)] += 1
            use.seconds += seconds

    def add_failure(self, operation: str, error: str) -> None:
        """Count a use that was refused or failed, by the name of its error."""
        with self._lock:
            self._failures[operation, error] = self._failures.get((operation, error), 0) + 1

    def uses(self, shortcuts: Iterable[Kept]) -> list[Uses]:
        """Return all counts as they are now, with those of the shortcuts that are kept."""
        repeated: dict[_Use, int] = {}
        for kept in shortcuts:
            repeated[kept.use] = repeated.get(kept.use, 0) + kept.used()
        with self._lock:
            return [
                Uses(*names, use.settled + repeated.get(use, 0) + sum(use.timed), tuple(use.timed), use.seconds)
                for names, use in sorted(self._uses.items(), key=lambda item: item[0])
            ]

    def failures(self) -> dict[tuple[str, str], int]:
        """Return how many uses failed, by operation and error."""
        with self._lock:
            return dict(self._failures)

    def _use(self, operation: str, mechanism: str) -> _Use:
        with self._lock:
            return self._uses.setdefault((operation, mechanism), _Use())
