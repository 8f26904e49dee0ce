"""A clock that an HSM for tests sets forward."""

from __future__ import annotations

from collections.abc import Callable


class SkewedClock:
    """Another clock plus a number of seconds that may change; ``ahead`` gives it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin without a difference."""
        self._clock = clock
        self.ahead: Callable[[], float] = lambda: 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._clock() + self.ahead()
