"""Key store files, passwords and the progress bar of the ``hsm keystore`` commands."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click

from bridge.carriers.client import Client
from bridge.cli.access import first_line, new_password, secret

FILE_PASSWORD, STORE_PASSWORD, KEY_PASSWORD = "HSM_FILE_PASSWORD", "HSM_KEYSTORE_PASSWORD", "HSM_KEY_PASSWORD"
PRIVATE = 0o600
"""The mode of a new file: readable by its owner only."""
SHORTEST = 6
"""Length of the shortest password of a new file, in characters; keytool refuses shorter ones."""


@dataclass(frozen=True, slots=True)
class LoadedStore:
    """A CloudHSM key store that the HSM has loaded from a file or created for one."""

    client: Client
    path: Path
    handle: int
    password: str | None = field(repr=False)

    def save(self) -> None:
        """Write the file."""
        (content,) = self.client.call("STORE_SAVE", self.handle, self.password)
        if isinstance(content, bytes):
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else PRIVATE
            write_whole(self.path, content, mode=mode, replace=True)


def load_store(client: Client, path: Path, password_file: str | None, *, reads_only: bool) -> LoadedStore:
    """Load a key store file, or create an empty key store if the file does not exist.

    Args:
        reads_only: Whether the key store is never saved, so that a new one needs no password.

    Raises:
        ClickException: The folder does not exist, or the daemon has another version.
    """
    if not path.parent.is_dir():
        raise click.ClickException(f"{path.parent} is not a folder; create it first")
    content = path.read_bytes() if path.exists() else None
    word = None
    if content is not None or not reads_only:
        word = password(password_file, STORE_PASSWORD, f"the key store {path}", new=content is None)
    (handle,) = client.call("STORE_LOAD", content, word)
    if not isinstance(handle, int):
        raise click.ClickException("the HSM sent an unknown answer; is the daemon of another version?")
    return LoadedStore(client, path, handle, word)


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE, replace: bool) -> None:
    """Write a file completely or not at all.

    Raises:
        FileExistsError: The file exists, and ``replace`` is false.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as stream:
            os.fchmod(number, mode)
            stream.write(content)
            stream.flush()
            os.fsync(number)
        if replace:
            Path(name).replace(path)
        else:
            path.hardlink_to(name)
    finally:
        Path(name).unlink(missing_ok=True)


def password(file: str | None, variable: str, what: str, *, new: bool = False) -> str:
    """Return a password from the file, the environment or the terminal, in this order; ask for a new one twice.

    Args:
        what: Name of the protected object, for prompts and messages.

    Raises:
        ClickException: The password is not UTF-8, or a new one is too short.
    """
    if file is not None:
        word = first_line(file)
    elif new and not os.environ.get(variable) and sys.stdin.isatty():
        word = new_password(what, None)
    else:
        word = secret(variable, f"Password of {what}")
    try:
        text = word.decode()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"the password of {what} is not text in UTF-8") from error
    if new and len(text) < SHORTEST:
        raise click.ClickException(f"the password of {what} needs at least {SHORTEST} characters for keytool")
    return text


def key_passwords(file: str | None) -> list[str]:
    """Return the passwords in the file, one per line, or the one in the environment."""
    if file is None:
        word = os.environ.get(KEY_PASSWORD)
        return [word] if word else []
    with click.open_file(file, "r", encoding="utf-8") as stream:
        return [line for line in stream.read().splitlines() if line]


def ask_key_password(alias: str) -> str:
    """Ask for the password of a key at the terminal; the answer may be empty.

    Raises:
        ClickException: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"key {alias!r} has its own password, and standard input is not a terminal: use --key-password-file"
        )
    question = f"Password of key {alias!r} (empty to skip it)"
    answer: str = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
    return answer


Ask = Callable[[str], str]
_T = TypeVar("_T")


@contextmanager
def progress(things: Sequence[_T], what: str) -> Iterator[tuple[Iterable[_T], Callable[[Ask], Ask]]]:
    """Yield the items under a progress bar, if standard error is a terminal, and a wrapper for prompts."""
    # Imported here, so that commands without a bar start without it.
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:

        def pausing(ask: Ask) -> Ask:
            def asked(question: str) -> str:
                bar.stop()
                try:
                    return ask(question)
                finally:
                    bar.start()

            return asked

        yield bar.track(things, description=what), pausing
