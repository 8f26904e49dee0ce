"""Automatic backups: one when the newest is a day old, then the removal of those that are too old."""

from __future__ import annotations

import logging
import time
from threading import Event, Thread

from hsmcore.backup.making import AUTOMATIC, DAY_MS, Backups
from hsmcore.errors import BackupRunning, HsmError

RETENTION_DAYS = 90
"""Default number of days for which backups are kept (as CloudHSM)."""
RETENTION_RANGE = 7, 379
"""Least and most days of retention (as CloudHSM)."""
_CHECK_SECONDS = 300.0
_FIRST_SECONDS = 5.0
"""Seconds until the first check, so that a command that opens the HSM for a moment makes no backup."""

_log = logging.getLogger("hsmcore.backup.schedule")


class Schedule:
    """A thread that makes and removes backups until ``close``."""

    def __init__(self, backups: Backups, days: int) -> None:
        """Start the thread.

        Args:
            backups: The backups of the HSM.
            days: The days of retention.
        """
        self._backups = backups
        self._days = days
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="backups", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and a backup that it is making."""
        self._stopped.set()
        self._backups.close()
        self._thread.join()

    def _run(self) -> None:
        wait = _FIRST_SECONDS
        while not self._stopped.wait(wait):
            wait = _CHECK_SECONDS
            try:
                self.check()
            except BackupRunning:
                continue
            except HsmError as error:
                if not self._stopped.is_set():
                    _log.error("the automatic backup failed: %s", error)
            except Exception:
                _log.exception("the automatic backup failed")

    def check(self) -> None:
        """Make a backup if it is due, then remove old ones.

        Raises:
            HsmError: The backup failed.
        """
        if not self._due():
            return
        made = self._backups.make(None, AUTOMATIC)
        _log.info("made %s, %d keys", made.info.name, made.totals.keys)
        if made.totals.damaged_keys or made.totals.damaged_users:
            _log.error("%s lacks damaged rows; `hsm audit verify` lists them", made.info.name)
        for name in self._backups.expire(self._days):
            _log.info("deleted %s, which was older than %d days", name, self._days)

    def _due(self) -> bool:
        """Tell whether no whole backup of this HSM is younger than a day; the clock may have gone back."""
        newest = self._backups.newest()
        return newest is None or abs(time.time_ns() // 1_000_000 - newest) >= DAY_MS
