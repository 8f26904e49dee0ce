"""An HSM in a process of its own, which a test can stop (SIGSTOP), continue or kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hsmcore import Hsm
from hsmcore.errors import HsmError
from hsmcore.storage import cluster
from tests import password_cost
from tests.conftest import ALL

LEASE, RENEWAL = (cluster.LEASE, cluster.RENEWAL) if ALL else (4.0, 0.8)
"""Those of the actors; shorter in a quick run."""
_ANSWER_SECONDS = 60


def _serve(connection: Connection, home: Path) -> None:
    """Open the HSM and run the commands that come, until the connection ends."""
    password_cost.lower()
    cluster.LEASE, cluster.RENEWAL = LEASE, RENEWAL
    sessions: list[Any] = []
    try:
        hsm = Hsm.open(home)
    except HsmError as error:
        connection.send((False, error))
        return
    connection.send((True, None))
    with hsm:
        while True:
            try:
                name, arguments = connection.recv()
            except EOFError:
                return
            try:
                connection.send((True, _run(hsm, sessions, name, arguments)))
            except HsmError as error:
                connection.send((False, error))


def _run(hsm: Hsm, sessions: list[Any], name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "login":
        sessions.append(hsm.users.login(*arguments))
        return len(sessions) - 1
    if name == "until":
        return _until(hsm, sessions, *arguments)
    if name == "work":
        return _work(hsm, sessions[arguments[0]], *arguments[1:])
    if name == "jump":
        return _jump(*arguments)
    if name == "once":
        session, number, repeated, *rest = arguments
        with hsm.requests.once(sessions[session.number], number, repeated=repeated):
            return _run(hsm, sessions, rest[0], (session, *rest[1:]))
    service, _, method = name.rpartition(".")
    call = getattr(getattr(hsm, service) if service else hsm, method)
    if arguments and isinstance(arguments[0], Session):
        arguments = (sessions[arguments[0].number], *arguments[1:])
    return call(*arguments)


def _until(hsm: Hsm, sessions: list[Any], session: int, key: int, seconds: float) -> list[tuple[float, str]]:
    """Use a key again and again; return what came of it, each outcome with the time of its first."""
    seen: list[tuple[float, str]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            hsm.crypto.encrypt(sessions[session], key, "AES_GCM", None, b"text")
            outcome = "used"
        except HsmError as error:
            outcome = type(error).__name__
        if not seen or seen[-1][1] != outcome:
            seen.append((time.monotonic(), outcome))
    return seen


def _work(
    hsm: Hsm, session: Any, prefix: str, seconds: float
) -> tuple[dict[int, str], dict[int, str], set[int], Counter[str]]:
    """Make, rename and destroy keys; return what was acknowledged: labels, new labels, destroyed keys, and counts."""
    made: dict[int, str] = {}
    named: dict[int, str] = {}
    destroyed: set[int] = set()
    unsure: set[int] = set()
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        label = f"{prefix}-{number}"
        try:
            handle = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True, "LABEL": label}).handle
            made[handle] = label
            counts["made"] += 1
            if number % 3:
                unsure.add(handle)
                if number % 3 == 1:
                    hsm.keys.destroy(session, handle)
                    destroyed.add(handle)
                    counts["destroyed"] += 1
                else:
                    hsm.keys.set_attributes(session, handle, {"LABEL": f"{label}-new"})
                    named[handle] = f"{label}-new"
                    counts["renamed"] += 1
                unsure.remove(handle)
        except HsmError:
            counts["refused"] += 1
            time.sleep(0.05)
    # The last change of these failed, and may have been made.
    return {handle: label for handle, label in made.items() if handle not in unsure}, named, destroyed, counts


def _jump(seconds: float) -> None:
    """Set the clock of the day of this process."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds  # type: ignore[assignment]
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)  # type: ignore[assignment]


class Session:
    """A session of an actor, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number


class Actor:
    """One HSM in its process. A call returns what the HSM returns, or raises its error."""

    def __init__(self, home: Path) -> None:
        # A fork of a process that has loaded this module: a new Python takes a second to load it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, home), daemon=True)
        self._process.start()
        other.close()
        self._lock = threading.Lock()
        self._received()

    def __call__(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            self.send(name, *arguments)
            return self._received()

    def login(self, name: str, password: bytes, role: str = "crypto-user") -> Session:
        """Log in."""
        return Session(self("login", name, password, role))

    def send(self, name: str, *arguments: Any) -> None:
        """Send a command without waiting for its answer."""
        self._connection.send((name, arguments))

    def _received(self) -> Any:
        assert self._connection.poll(_ANSWER_SECONDS), "the HSM does not answer"
        good, answer = self._connection.recv()
        if not good:
            raise answer
        return answer

    @property
    def answered(self) -> bool:
        """True when the answer to a command is there."""
        return self._connection.poll()

    received: Callable[[], Any] = _received

    def stop(self) -> None:
        """Stop the process; it keeps its memory."""
        os.kill(int(self._process.pid or 0), signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped process go on."""
        os.kill(int(self._process.pid or 0), signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join(30)

    def close(self) -> None:
        """Close the HSM, or kill its process if it does not end."""
        if self._process.is_alive():
            self.go_on()
            self._connection.close()
            self._process.join(20)
            if self._process.is_alive():
                self.kill()
