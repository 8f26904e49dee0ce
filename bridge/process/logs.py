"""The daemon's log: one JSON object per line, with times in UTC, in a rotated file of mode 0600."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
"""Names of CloudHSM's levels; ``debug`` includes its ``trace``."""
LARGEST = 10 * 1024 * 1024
"""Largest size of a log file, in bytes (10 MiB)."""
KEPT = 5
"""Number of older files that are kept."""


class _PrivateFile(RotatingFileHandler):
    """Creates its files with mode 0600, regardless of the umask."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding="utf-8", errors="backslashreplace")


@contextmanager
def logging_to(path: Path, level: str = "info") -> Iterator[None]:
    """Write the messages of all loggers, from this level up, to the file."""
    handler = _PrivateFile(path, maxBytes=LARGEST, backupCount=KEPT)
    handler.setFormatter(_Json())
    logger = logging.getLogger()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(LEVELS[level])
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)
