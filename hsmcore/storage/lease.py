"""The lease of an HSM of a cluster: the time until which it may use what is in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any

from hsmcore.errors import NotCaughtUp

# Counts on while the machine is suspended, as the other HSMs' clocks do.
clock = partial(time.clock_gettime, time.CLOCK_BOOTTIME)

_RUN, _PAUSE = 0.001, 0.0001
"""Seconds that uses of keys run, and seconds that one of them pauses then, while another thread is urgent."""


class Lease:
    """The time until which an HSM may use what is in its memory. ``reason`` tells why it was not renewed."""

    __slots__ = ("_lock", "_run_until", "period", "reason", "since", "until", "urgent")

    def __init__(self) -> None:
        self.until = 0.0
        self.since = clock()
        """The time before the last renewal was sent."""
        self.reason = ""
        self.period = 0
        """Number of the times in which the lease was renewed before its end. A use that began in an earlier one may
        have a key that is gone."""
        self.urgent = 0
        """Number of threads in a block of ``hurried``."""
        self._lock = Lock()
        self._run_until = 0.0

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Make threads that use keys pause now and then while this thread renews the lease or changes the database.

        Each answer of the database takes the interpreter's lock several times. A thread that runs without waiting
        keeps it for 5 ms each time, or for longer than a lease where it gives the lock up and takes it again at once.
        """
        with self._lock:
            self.urgent += 1
        try:
            yield
        finally:
            with self._lock:
                self.urgent -= 1

    def require(self, period: int) -> None:
        """Check the lease, after the use of memory and before its result leaves the HSM.

        Args:
            period: The period in which the use began.

        Raises:
            NotCaughtUp: The lease has ended, or had ended since the use began.
        """
        now = clock()
        if self.urgent and now >= self._run_until:
            time.sleep(_PAUSE)
            now = clock()
            self._run_until = now + _RUN
        if now >= self.until or period != self.period:
            raise NotCaughtUp(
                "this HSM has no contact with its cluster and may not know the last changes; "
                "another HSM of the cluster may answer" + (f" ({self.reason})" if self.reason else "")
            )

    def guarded(self, run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return a function of two arguments that withholds its result after the end of the lease.

        After that it withholds every result: it may have a key that is gone.
        """
        now, boot, period = time.clock_gettime, time.CLOCK_BOOTTIME, self.period

        def checked(first: Any, second: Any) -> Any:
            result = run(first, second)
            if now(boot) >= self.until or period != self.period or self.urgent:
                self.require(period)
            return result

        return checked
