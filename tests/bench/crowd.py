"""How cost grows with what is open at a time: sessions, and operations in several parts."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hsmcore import Hsm
from hsmcore.crypto.streams import MAX_OPERATIONS
from hsmcore.sessions.session import Session
from tests.bench.growth import milliseconds, site

SIZES = (1, 10, 100, MAX_OPERATIONS - 1)
"""As many of each; a session has at most 1000 operations in parts, and one more is measured."""
MEMORY = "memory of each, KiB"
"""The measure that is no time."""


def measured(work: Path, sizes: tuple[int, ...] = SIZES) -> dict[str, list[dict[str, float]]]:
    """Measure with so many sessions, then so many operations; times are in milliseconds, medians."""
    home = work / "crowded"
    site(home)
    with Hsm.open(home) as hsm:
        key = hsm.keys.generate(_login(hsm), "AES_KEY_GEN", {"TOKEN": True}).handle
        return {"sessions": _sessions(hsm, key, sizes), "operations in parts": _operations(hsm, key, sizes)}


def _login(hsm: Hsm) -> Session:
    return hsm.users.login("cu1", b"bench-password")


def _sessions(hsm: Hsm, key: int, sizes: tuple[int, ...]) -> list[dict[str, float]]:
    sessions: list[Session] = []

    def one_more() -> None:
        session = _login(hsm)
        hsm.crypto.encrypt(session, key, "AES_GCM", None, b"")
        sessions.append(session)

    rows = []
    for size in sizes:
        memory = _memory(one_more, size - len(sessions))
        use = milliseconds(lambda: hsm.crypto.encrypt(sessions[-1], key, "AES_GCM", None, b""), 1000)
        login = milliseconds(lambda: hsm.users.logout(_login(hsm)), 5)
        change = milliseconds(lambda: hsm.keys.set_attributes(sessions[-1], key, {"LABEL": os.urandom(8).hex()}), 20)
        rows.append({"number": size, "login and logout": login, "use": use, "change of a key": change, MEMORY: memory})
    return rows


def _operations(hsm: Hsm, key: int, sizes: tuple[int, ...]) -> list[dict[str, float]]:
    session, data, iv = _login(hsm), os.urandom(1024), os.urandom(16)
    begun: list[int] = []

    def begin() -> None:
        begun.append(hsm.crypto.begin(session, "encrypt", key, "AES_CBC_PAD", {"iv": iv})[0])

    def whole() -> None:
        begin()
        hsm.crypto.update(session, begun[-1], data)
        hsm.crypto.finish(session, begun.pop(), data)

    rows = []
    for size in sizes:
        memory = _memory(begin, size - len(begun))
        update = milliseconds(lambda: hsm.crypto.update(session, begun[0], data), 1000)
        rows.append(
            {"number": size, "update with 1 KiB": update, "one more, whole": milliseconds(whole, 200), MEMORY: memory}
        )
    return rows


def _memory(make: Callable[[], None], count: int) -> float:
    """Make so many, and return what Python has allocated for each, in KiB."""
    tracemalloc.start()
    for _ in range(count):
        make()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / count / 1024


def show(crowd: dict[str, list[dict[str, Any]]]) -> None:
    """Print a table of each."""
    for name, rows in crowd.items():
        table = Table(title=f"how cost grows with {name}: milliseconds, medians")
        table.add_column(name)
        for row in rows:
            table.add_column(f"{row['number']:,}", justify="right")
        for measure in rows[0]:
            if measure != "number":
                table.add_row(measure, *(f"{row[measure]:,.3f}" for row in rows))
        Console(width=120).print(table)
