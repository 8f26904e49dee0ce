"""The pace of a long job beside the uses of keys."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLICE = 0.001
"""Seconds of work after which the job rests. A use of a key waits at most about that long for the interpreter."""
_SHARE = 0.15
"""Part of one processor that the job takes."""


class Pace:
    """Rests after each slice of work, so that other threads get the interpreter.

    ``proceed`` is called at each rest; its error ends the job.
    """

    def __init__(self, proceed: Callable[[], None]) -> None:
        self._proceed = proceed
        self._began = time.thread_time()

    def step(self) -> None:
        """Rest if a slice of work is done."""
        worked = time.thread_time() - self._began
        if worked >= _SLICE:
            self._proceed()
            time.sleep(worked * (1 / _SHARE - 1))
            self._began = time.thread_time()
