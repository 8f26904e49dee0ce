"""What a command works with: the HSM, who is logged in, and the terminal to ask at."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

from bridge.carriers.client import Client, DaemonUnreachable
from bridge.cli.access import connected
from bridge.cloudhsm_cli.errors import Failure
from bridge.protocol.codec import Value


class Context:
    """One run of the program. The HSM is opened when a command first needs it."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Client]]) -> None:
        self._connect = connect
        self.username = ""
        self.role = ""
        self._client: Client | None = None
        self._open = ExitStack()

    @classmethod
    def at(cls, home: Path) -> Self:
        """Use the HSM in a state directory: through its daemon, or opened here."""
        return cls(lambda: connected(home))

    def call(self, operation: str, *fields: Value) -> tuple[Value, ...]:
        """Do one operation of the protocol. Raises ``HsmError``."""
        if self._client is None:
            self._client = self._open.enter_context(self._connect())
        try:
            return self._client.call(operation, *fields)
        except DaemonUnreachable:
            self.close()
            raise

    def logged_in(self, username: str, role: str) -> None:
        """Remember who has logged in."""
        self.username, self.role = username.lower(), role

    def logged_out(self) -> None:
        """Forget who was logged in."""
        self.username = self.role = ""

    def close(self) -> None:
        """Let the HSM go, and with it the login."""
        self._open.close()
        self._open, self._client = ExitStack(), None
        self.logged_out()


def ask(question: str) -> str:
    """Return a line from the terminal, or from standard input where that is none. Raises ``Failure`` at its end."""
    print(question, end="", flush=True, file=sys.stderr)
    line = sys.stdin.readline()
    if not line:
        raise Failure(f"there is no answer to '{question.strip()}'")
    return line.rstrip("\r\n")


def ask_secret(question: str) -> str:
    """As ``ask``, without showing what is typed."""
    if not sys.stdin.isatty():
        return ask(question)
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise Failure(f"there is no answer to '{question.strip()}'") from error


def password(given: str | None) -> bytes:
    """Return a password: the one given, else the answer to a prompt."""
    return (ask_secret("Enter password:") if given is None else given).encode("utf-8", "surrogateescape")


def new_password(given: str | None) -> bytes:
    """Return a new password: the one given, else what was typed twice. Raises ``Failure`` where that differs."""
    if given is not None:
        return given.encode()
    first = ask_secret("Enter password:")
    if ask_secret("Confirm password:") != first:
        raise Failure("the passwords do not match")
    return first.encode("utf-8", "surrogateescape")
