"""Key store files, their passwords and Java's key stores, for the ``hsm keystore`` commands."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.carriers.client import Client
from bridge.cli.access import first_line, new_password, secret
from bridge.cloudhsm_cli.progress import Bar
from bridge.process.hardening import no_core_dump
from bridge.protocol.codec import Value
from hsmcore.files import PRIVATE, read_whole, write_whole

if TYPE_CHECKING:
    from keystore.foreign.model import Found, JavaEntry

FILE_PASSWORD, STORE_PASSWORD, KEY_PASSWORD = "HSM_FILE_PASSWORD", "HSM_KEYSTORE_PASSWORD", "HSM_KEY_PASSWORD"
MAX_BYTES = 32 * 1024 * 1024
"""Size of the largest key store file that is read, in bytes."""
LONGEST = 120
"""Time limit for reading another program's key store, in seconds."""
SHORTEST = 6
"""Length of the shortest password of a new file, in characters; keytool refuses shorter ones."""


Entries = dict[str, Mapping[str, Value]]
"""Entries of a key store by alias, as the protocol has them."""


@dataclass(slots=True)
class LoadedStore:
    """A CloudHSM key store, loaded from a file or created for one."""

    client: Client
    path: Path
    password: str | None = field(repr=False)
    entries: Entries = field(default_factory=dict)
    loses: str | None = None
    """Why the file must not be written over."""
    _to_persist: dict[str, Value] = field(default_factory=dict)

    def aliases(self) -> list[str]:
        """Return the file's aliases, then the labels of keys in the HSM."""
        keys = {alias: entry for alias, entry in self.entries.items() if entry["kind"] == "key"}
        listed: list[str] = []
        after: Value = None
        while True:
            alike, after = self.client.call("STORE_LIST", keys, after)
            rows = alike if isinstance(alike, list) else []
            listed += [alias for row in rows if isinstance(row, list) for alias in _texts(row[1])]
            if after is None:
                return list(dict.fromkeys([*self.entries, *listed]))

    def chain(self, alias: str) -> list[bytes]:
        """Return the certificates (DER) under an alias."""
        chain = self.entries.get(alias, {}).get("chain")
        return [der for der in chain if isinstance(der, bytes)] if isinstance(chain, list) else []

    def is_certificate(self, alias: str) -> bool:
        """Tell whether the alias is a trusted certificate."""
        return self.entries.get(alias, {}).get("kind") == "trusted"

    def knows(self, alias: str) -> bool:
        """Tell whether the file has the alias, or the HSM a key with this label."""
        return alias in self.entries or self.client.call("STORE_IS_KEY", alias, None) != (None,)

    def key(self, alias: str) -> Mapping[str, Value] | None:
        """Return the record of the key under an alias."""
        (record,) = self.client.call("STORE_GET_KEY", alias, self.entries.get(alias))
        return record if isinstance(record, Mapping) else None

    def set_certificate(self, alias: str, certificate: bytes) -> None:
        """Enter a trusted certificate (DER)."""
        (entry,) = self.client.call("STORE_SET_CERTIFICATE", alias, self.entries.get(alias), certificate)
        self._enter(alias, entry)

    def set_key(self, alias: str, handle: int, chain: Sequence[bytes]) -> None:
        """Enter a key that is in the HSM with its certificates (DER)."""
        entry, handles = self.client.call("STORE_SET_KEY", alias, self.entries.get(alias), handle, list(chain))
        self._enter(alias, entry)
        self._to_persist[alias] = handles

    def save(self) -> None:
        """Make new keys persistent and write the file.

        Raises:
            ClickException: Saving would lose entries of the loaded file.
        """
        if self.loses is not None:
            raise click.ClickException(f"{self.path}: {self.loses}")
        (content,) = self.client.call("STORE_ENCODE", self.entries, self.password)
        self.client.call("STORE_PERSIST", self._to_persist)
        if isinstance(content, bytes):
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else PRIVATE
            write_whole(self.path, content, mode=mode)

    def _enter(self, alias: str, entry: Value) -> None:
        if isinstance(entry, Mapping):
            self.entries[alias] = entry
        else:
            self.entries.pop(alias, None)


def _texts(values: Value) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def load_store(client: Client, path: Path, password_file: str | None, *, reads_only: bool) -> LoadedStore:
    """Load a key store file, or create an empty key store if the file does not exist.

    Args:
        reads_only: Whether the key store is never saved, so that a new one needs no password.

    Raises:
        ClickException: The folder does not exist, the daemon has another version, or saving would lose entries.
    """
    if not path.parent.is_dir():
        raise click.ClickException(f"{path.parent} is not a folder; create it first")
    content = read_whole(path, MAX_BYTES) if path.exists() else None
    word = None
    if content is not None or not reads_only:
        word = password(password_file, STORE_PASSWORD, f"the key store {path}", new=content is None)
    store = LoadedStore(client, path, word)
    if content is not None:
        entries, loses = client.call("STORE_DECODE", content, word)
        if not isinstance(entries, Mapping):
            raise click.ClickException("the HSM sent an unknown answer; is the daemon of another version?")
        store.entries = {alias: entry for alias, entry in entries.items() if isinstance(entry, Mapping)}
        store.loses = str(loses) if loses is not None else None
    if store.loses is not None and not reads_only:
        raise click.ClickException(f"{path}: {store.loses}")
    return store


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
    """Read a file with the JDK's key store (a ``JavaReader``). The first call starts a JVM in this process."""
    from bridge.carriers import jvm

    _start_jvm()
    return jvm.read_key_store(kind, file, password)


def write_foreign(entries: Iterable[JavaEntry], password: str) -> bytes:
    """Write a PKCS #12 with the JDK's key store (a ``JavaWriter``). The first call starts a JVM in this process."""
    from bridge.carriers import jvm

    _start_jvm()
    return jvm.write_key_store(entries, password)


def _start_jvm() -> None:
    # Imported here, so that commands without Java start without JPype.
    from bridge.carriers import jvm

    if not jvm.started():
        # A crash of the JVM must not write keys to a file.
        no_core_dump()
        jvm.start([*jvm.QUICK, "-XX:+UseSerialGC", "-Xmx512m"])


@contextmanager
def time_limit() -> Iterator[None]:
    """End this process with exit code 1 if the body takes longer than ``LONGEST``.

    A file can make OpenSSL compute any number of iterations, and Python cannot interrupt OpenSSL.
    """
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
