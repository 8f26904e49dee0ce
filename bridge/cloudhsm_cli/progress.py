"""A progress bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """A progress bar with one task; without ``progress`` it shows nothing."""

    def __init__(self, progress: Progress | None, what: str = "", total: int = 0) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """Show that another ``count`` steps are done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bar while the program asks a question at the terminal."""
        if self._progress is not None:
            self._progress.stop()
        try:
            yield
        finally:
            if self._progress is not None:
                self._progress.start()


@contextmanager
def progress(what: str, total: int, *, at_least: int = 1) -> Iterator[Bar]:
    """Yield a bar that counts up to ``total``; it is hidden if ``total`` is below ``at_least``."""
    if total < at_least or not sys.stderr.isatty():
        yield Bar(None)
        return
    # Imported here, so that commands without a bar start without it.
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        yield Bar(shown, what, total)
