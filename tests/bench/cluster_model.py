"""A model of a cluster that is too large for one machine: 28 HSMs in three zones, whose clients change keys.

``python -m tests.bench.cluster_model`` prints, for a number of clients that each send one change after another, how
many changes a second the cluster acknowledges, and how long the turn and the acknowledgement take. docs/cluster.md has
the figures.

Assumptions: the database's primary is in the first zone, its synchronous standby in the second. A round trip takes
0.3 ms inside a zone and 1 to 2 ms between zones. A commit writes to two disks, 1 ms each, and waits for the standby. A
change makes ``STATEMENTS`` round trips while it has the turn, a renewal makes ``RENEWAL``, and applies all that was
committed before it reads the changes. Processors are never the limit.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from statistics import median, quantiles

HSMS, ZONES = 28, 3
STATEMENTS, RENEWAL = 9, 5
READS = 2
"""The round trip of a renewal that reads the changes."""
DISK = 0.001
CHANGES = 20_000


@dataclass
class Hsm:
    """One HSM: its round trip to the database, and the last renewal that a change caused; in seconds."""

    trip: float
    began: float = -1.0
    ended: float = -1.0

    def confirms(self, committed: float) -> float:
        """Return when it has confirmed a change. Changes come in the order of their commits."""
        if self.began + READS * self.trip < committed:
            self.began = max(committed + self.trip / 2, self.ended)
            self.ended = self.began + RENEWAL * self.trip
        return self.ended


def trip(zone: int, random_: random.Random) -> float:
    """Return the round trip from a zone to the database."""
    return 0.0003 if zone == 0 else random_.uniform(0.001, 0.002)


def run(clients: int) -> tuple[float, list[float], list[float]]:
    """Return changes a second, and of each change the wait for the turn and for the acknowledgement."""
    random_ = random.Random(clients)
    hsms = [Hsm(trip(number % ZONES, random_)) for number in range(HSMS)]
    standby = random_.uniform(0.001, 0.002)
    ready = [(0.0, client) for client in range(clients)]
    free, turns, waits = 0.0, [], []
    for _ in range(CHANGES):
        began, client = heapq.heappop(ready)
        own = hsms[client % HSMS]
        turn = max(began, free)
        free = turn + STATEMENTS * own.trip + 2 * DISK + standby
        confirmed = max(hsm.confirms(free) for hsm in hsms if hsm is not own)
        acknowledged = confirmed + 1.5 * own.trip
        turns.append(turn - began)
        waits.append(acknowledged - free)
        heapq.heappush(ready, (acknowledged, client))
    return CHANGES / free, turns, waits


def main() -> None:
    """Print the table."""
    print(f"{'clients':>8} {'changes/s':>10} {'turn, median ms':>16} {'acknowledgement, median ms':>27} {'99 %':>6}")
    for clients in (1, 4, 28, 112):
        rate, turns, waits = run(clients)
        last = quantiles(waits, n=100)[-1]
        print(
            f"{clients:>8} {rate:>10.0f} {median(turns) * 1e3:>16.1f} {median(waits) * 1e3:>27.1f} {last * 1e3:>6.1f}"
        )


if __name__ == "__main__":
    main()
