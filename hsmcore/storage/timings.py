"""Times that an HSM of a cluster waits for others, for monitoring."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from threading import Lock

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the classes, in seconds; one more class has what is above."""


class Times:
    """Counts times by class. Each method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        """The sum of all times."""

    def add(self, seconds: float) -> None:
        """Count a time."""
        with self._lock:
            self.counts[bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds


@dataclass(slots=True)
class ClusterCounts:
    """The waits and losses of an HSM of a cluster since it was opened.

    ``database`` has the times of renewals of the lease, ``acknowledgements`` those for which changes have waited for
    other HSMs. ``lapses`` counts the ends of the lease before its renewal, ``outages`` the losses of the database, of
    which a failover to another server is one.
    """

    database: Times = field(default_factory=Times)
    acknowledgements: Times = field(default_factory=Times)
    lapses: int = 0
    outages: int = 0
