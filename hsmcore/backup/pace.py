"""The pace of a long job beside the uses of keys."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLICE = 0.001
"""Seconds of work after which the job rests. A use of a key waits at most about that long for the interpreter."""
_STEP = 0.00045
"""Seconds that a step takes with its part of the rests, so that 100 000 keys take about 45."""


class Pace:
    """Rests after each slice of work, so that other threads get the interpreter.

    On a slow machine it rests at least as long as it works. ``proceed`` is called at each rest; its error ends the job.
    """

    def __init__(self, proceed: Callable[[], None]) -> None:
        self._proceed = proceed
        self._began = time.thread_time()
        self._due = time.monotonic()

    def step(self) -> None:
        """Count a step, and rest if a slice of work is done."""
        self._due += _STEP
        worked = time.thread_time() - self._began
        if worked >= _SLICE:
            self._proceed()
            time.sleep(max(worked, self._due - time.monotonic()))
            self._began = time.thread_time()
