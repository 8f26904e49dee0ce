"""What the commands of ``hsm keystore`` share: key store files, their passwords, and Java's key stores."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.carriers.client import Client
from bridge.cli.access import first_line, new_password, secret
from bridge.cloudhsm_cli.progress import Bar
from bridge.process.hardening import no_core_dump
from hsmcore.files import PRIVATE, read_whole, write_whole

if TYPE_CHECKING:
    from keystore.foreign.model import Found, JavaEntry

FILE_PASSWORD, STORE_PASSWORD, KEY_PASSWORD = "HSM_FILE_PASSWORD", "HSM_KEYSTORE_PASSWORD", "HSM_KEY_PASSWORD"
MAX_BYTES = 32 * 1024 * 1024
"""Longest key store file that is read, in bytes."""
LONGEST = 120
"""Seconds that reading another program's key store may take."""
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
            write_whole(self.path, content, mode=mode)


def load_store(client: Client, path: Path, password_file: str | None, *, reads_only: bool) -> LoadedStore:
    """Load a key store file, or create an empty key store if the file does not exist.

    Args:
        reads_only: Whether the key store is never saved, so that a new one needs no password.

    Raises:
        ClickException: The folder does not exist, or the daemon has another version.
    """
    if not path.parent.is_dir():
        raise click.ClickException(f"{path.parent} is no folder; make it first")
    content = read_whole(path, MAX_BYTES) if path.exists() else None
    word = None
    if content is not None or not reads_only:
        word = password(password_file, STORE_PASSWORD, f"the key store {path}", new=content is None)
    (handle,) = client.call("STORE_LOAD", content, word)
    if not isinstance(handle, int):
        raise click.ClickException("the HSM sent an unknown answer; is the daemon of another version?")
    return LoadedStore(client, path, handle, word)


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


def asking(bar: Bar) -> Callable[[str], str]:
    """Return ``ask_key_password`` with the bar hidden while it asks."""

    def ask(alias: str) -> str:
        with bar.paused():
            return ask_key_password(alias)

    return ask


def read_foreign(kind: str, file: bytes, password: str) -> list[Found]:
    """Read a file with the JDK's key store, in a JVM of this process that the first call starts. A ``JavaReader``."""
    from bridge.carriers import jvm

    _start_jvm()
    return jvm.read_key_store(kind, file, password)


def write_foreign(entries: Iterable[JavaEntry], password: str) -> bytes:
    """Write a PKCS #12 with the JDK's key store, likewise. A ``JavaWriter``."""
    from bridge.carriers import jvm

    _start_jvm()
    return jvm.write_key_store(entries, password)


def _start_jvm() -> None:
    # Imported here, so that commands without Java start without JPype.
    from bridge.carriers import jvm

    if not jvm.started():
        # A crash of the JVM must not write keys to a file.
        no_core_dump()
        jvm.start(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m"])


@contextmanager
def time_limit() -> Iterator[None]:
    """End this process with exit code 1 where the body takes longer than ``LONGEST``.

    A file may ask OpenSSL for any number of iterations, which neither returns before nor lets Python interrupt it.
    """
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
