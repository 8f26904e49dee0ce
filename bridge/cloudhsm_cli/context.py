"""The context of a command: the HSM, the login, and prompts at the terminal."""

from __future__ import annotations

import select
import signal
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Self

from bridge.carriers.client import Client, DaemonUnreachable, connected
from bridge.cloudhsm_cli.errors import Failure
from bridge.protocol.codec import Value


class Context:
    """One run of the program. The HSM is opened when a command first needs it."""

    def __init__(
        self,
        connect: Callable[[Path | None, str], AbstractContextManager[Client]],
        configuration: Path | None = None,
        cluster_id: str = "",
    ) -> None:
        """Make a context.

        Args:
            connect: Opens the HSM; the arguments are a configuration file, or ``None``, and the id of a cluster in it.
            configuration: The configuration file.
            cluster_id: The id of a cluster; empty for the first one.
        """
        self._connect = connect
        self.configuration = configuration
        self._cluster_id = cluster_id
        self.username = ""
        self.role = ""
        self._client: Client | None = None
        self._open = ExitStack()

    @classmethod
    def at(cls, home: Path, configuration: Path | None = None, cluster_id: str = "") -> Self:
        """Return a context for the HSM in a state directory, through its daemon or opened in this process.

        Args:
            home: The state directory.
            configuration: A configuration file, whose servers are used instead.
            cluster_id: The id of a cluster in that file; empty for the first one.
        """
        return cls(lambda file, chosen: connected(home, None, file, chosen), configuration, cluster_id)

    def configure(self, file: str | None, cluster_id: str | None) -> None:
        """Use another configuration file, or another cluster in it, from the next connection on."""
        self.configuration = self.configuration if file is None else Path(file)
        self._cluster_id = cluster_id or self._cluster_id

    def call(self, operation: str, *fields: Value) -> tuple[Value, ...]:
        """Call one operation of the protocol and return its results.

        Raises:
            HsmError: The HSM refused the operation.
            DaemonUnreachable: The connection broke; the login is gone with it.
        """
        if self._client is None:
            self._client = self._open.enter_context(self._connect(self.configuration, self._cluster_id))
        try:
            return self._client.call(operation, *fields)
        except DaemonUnreachable:
            self.close()
            raise

    def logged_in(self, username: str, role: str) -> None:
        """Record the user of a successful login."""
        self.username, self.role = username.lower(), role

    def logged_out(self) -> None:
        """Record that no user is logged in."""
        self.username = self.role = ""

    def close(self) -> None:
        """Close the connection, which ends the login."""
        self._open.close()
        self._open, self._client = ExitStack(), None
        self.logged_out()


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"WARNING: {text}", file=sys.stderr, flush=True)


def ask(question: str, wait: Callable[[], None] = lambda: None) -> str:
    """Print a question to standard error and return one line of standard input.

    Args:
        wait: Called before the line is read.

    Raises:
        Failure: Standard input has ended.
    """
    print(question, end="", flush=True, file=sys.stderr)
    wait()
    line = sys.stdin.readline()
    if not line:
        raise Failure(f"there is no answer to '{question.strip()}'")
    return line.rstrip("\r\n")


def ask_secret(question: str) -> str:
    """Ask a question and return the answer, which a terminal does not show.

    Raises:
        Failure: Standard input has ended.
    """
    if not sys.stdin.isatty():
        return ask(question)
    with _hidden_input():
        return ask(question, wait=_wait_for_line)


@contextmanager
def _hidden_input() -> Iterator[None]:
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    hidden = list(before)
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        print(file=sys.stderr)


def _wait_for_line() -> None:
    """Return when a line can be read.

    A signal between a check of Python and its call of ``read`` would not end the ``read``: ``getpass`` loses a Ctrl-C
    there. The handler of the interpreter writes every signal to a socket as well, which ends ``select``.
    """
    signals, written = socket.socketpair()
    with signals, written:
        written.setblocking(False)
        before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            while sys.stdin not in select.select([sys.stdin, signals], [], [])[0]:
                signals.recv(64)
        finally:
            signal.set_wakeup_fd(before)


def password(option_value: str | None) -> bytes:
    """Return the given password, or ask for it."""
    return (ask_secret("Enter password:") if option_value is None else option_value).encode("utf-8", "surrogateescape")


def new_password(option_value: str | None) -> bytes:
    """Return the given password, or ask for a new one twice.

    Raises:
        Failure: The two answers differ, or standard input has ended.
    """
    if option_value is not None:
        return option_value.encode()
    first = ask_secret("Enter password:")
    if ask_secret("Confirm password:") != first:
        raise Failure("the passwords do not match")
    return first.encode("utf-8", "surrogateescape")
