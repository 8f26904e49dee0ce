"""Access to the HSM for all subcommands: logins, and passwords from the environment or the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bridge.carriers.client import Client, DaemonUnreachable, connected
from bridge.process.configuration import named
from bridge.process.environment import secret_of
from bridge.process.logins import WAYS, Login, from_environment
from hsmcore.errors import AuthenticationFailed

ADMIN = "admin"
"""Name of the user that ``hsm init`` creates, and of its role."""
CRYPTO_USER = "crypto-user"
ROLES = click.Choice([CRYPTO_USER, ADMIN])


@contextmanager
def as_admin(home: Path, timeout: float | None = None) -> Iterator[Client]:
    """Yield a client that is logged in as an admin: that of the environment, or ``admin`` with a password asked for.

    Args:
        home: The state directory.
        timeout: Longest wait for one answer of the daemon, in seconds; ``None`` as in ``Client.connect``.
    """
    with _logged_in(home, from_environment((ADMIN,)) or _asked_login(home, ADMIN, ADMIN), timeout) as client:
        yield client


@contextmanager
def as_user(home: Path) -> Iterator[Client]:
    """Yield a client that is logged in as a crypto user: that of the environment, or one who is asked for."""
    login = from_environment((CRYPTO_USER,))
    if login is None:
        require_hsm(home)
        name = os.environ.get("HSM_USER") or _asked(WAYS[CRYPTO_USER], "Crypto user", hidden=False)
        login = _asked_login(home, name, CRYPTO_USER)
    with _logged_in(home, login) as client:
        yield client


def _asked_login(home: Path, username: str, role: str) -> Login:
    require_hsm(home)
    return Login(username, role, _asked(WAYS[role], f"Password of {username}", hidden=True).encode())


def require_hsm(home: Path) -> None:
    """Check that there is an HSM, for example before a password is asked for.

    Raises:
        StateMissing: There is none.
        HsmError: It cannot be used.
    """
    if named() is not None:
        return
    try:
        Client.connect(home).close()
    except DaemonUnreachable:
        from hsmcore.storage.state_directory import StateDirectory

        StateDirectory(home, create=False).close()


@contextmanager
def _logged_in(home: Path, login: Login, timeout: float | None = None) -> Iterator[Client]:
    with connected(home, timeout) as client:
        try:
            client.call("LOGIN", login.username, login.password, login.role)
        except AuthenticationFailed as error:
            source = f"from {login.source}" if login.source else "as you typed it"
            raise AuthenticationFailed(
                f"{error}: the login of {login.role} {login.username}, {source}, at the HSM of {named() or home}"
            ) from error
        yield client


def secret(variable: str, question: str) -> bytes:
    """Return a password in UTF-8 from the environment, or ask for it at the terminal.

    Raises:
        ClickException: The variable is not set, and standard input is not a terminal.
    """
    return secret_of(variable) or _asked(variable, question, hidden=True).encode()


def new_password(name: str, file: str | None) -> bytes:
    """Return a new password: the first line of ``file`` (``-`` is standard input), or the answer to a prompt.

    Raises:
        ClickException: ``file`` is ``None``, and standard input is not a terminal.
    """
    if file is not None:
        return first_line(file)
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"a new password for {name} is needed: --password-file FILE, or - for standard input"
        )
    answer: str = click.prompt(f"New password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()


def confirm(question: str) -> None:
    """Ask at the terminal whether to go on.

    Raises:
        ClickException: Standard input is not a terminal.
        Abort: The answer is no.
    """
    if not sys.stdin.isatty():
        raise click.ClickException(f"there is no terminal to ask at: {question} Repeat the command with --yes")
    click.confirm(question, abort=True, err=True)


def first_line(file: str) -> bytes:
    """Return the first line of a file (``-`` is standard input) without its line end."""
    with click.open_file(file, "rb") as stream:
        line: bytes = stream.readline()
    return line.rstrip(b"\r\n")


def _asked(variables: str, question: str, *, hidden: bool) -> str:
    if not sys.stdin.isatty():
        raise click.ClickException(f"there is no terminal to ask at; set {variables}")
    answer: str = click.prompt(question, hide_input=hidden, err=True)
    return answer
