"""``hsm start --ephemeral``: an HSM in memory, and the directory of its socket."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click
from click.core import ParameterSource

from bridge.cli.settings import settings_of
from bridge.process.paths import socket_path
from bridge.protocol.codec import Value
from hsmcore.errors import StateError

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm

USER = "cu1"
"""The crypto user of an HSM for which the environment names none."""


@dataclass(frozen=True)
class Ephemeral:
    """An HSM to make: its users with their passwords, and the flags of ``bridge.cli.settings``."""

    user: str
    password: str = field(repr=False)
    admin_password: str = field(repr=False)
    flags: Mapping[str, bool]

    @classmethod
    def from_environment(cls, flags: Mapping[str, bool]) -> Self:
        """Take the users of the environment, as ``hsm init`` does, and generate the passwords that it does not have.

        Raises:
            UsageError: The environment has half a crypto user.
        """
        user, password = os.environ.get("HSM_USER", ""), os.environ.get("HSM_PASSWORD", "")
        if password and not user:
            raise click.UsageError("HSM_USER is not set; a crypto user needs both HSM_USER and HSM_PASSWORD")
        return cls(
            user or USER,
            password or secrets.token_urlsafe(15),
            os.environ.get("HSM_ADMIN_PASSWORD") or secrets.token_urlsafe(15),
            flags,
        )

    def encode(self) -> bytes:
        """Return the HSM to make as JSON, for the process that makes it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Read what ``encode`` returned."""
        return cls(**json.loads(encoded))

    def make(self) -> Hsm:
        """Make the HSM.

        Raises:
            PasswordInvalid: A password breaks the rules for passwords.
            UserNameInvalid: The user's name breaks the rules for names.
        """
        from hsmcore import Hsm

        return Hsm.ephemeral(
            admin_password=self.admin_password.encode(),
            crypto_user=(self.user, self.password.encode()),
            settings=settings_of(self.flags),
        )

    def credentials(self) -> dict[str, str]:
        """Return the logins."""
        return {"user": self.user, "password": self.password, "admin_password": self.admin_password}


def new_home(context: click.Context) -> Path:
    """Return the directory that the command line or the environment names, else a new private one."""
    root = context.find_root()
    if root.get_parameter_source("home") is not ParameterSource.DEFAULT or os.environ.get("HSM_HOME"):
        home: Path = root.obj
        return home
    return Path(tempfile.mkdtemp(prefix="hsm-", dir=os.environ.get("XDG_RUNTIME_DIR") or None))


@contextmanager
def socket_directory(home: Path) -> Iterator[None]:
    """Hold a directory for the socket of an HSM in memory, and remove it at the end unless it has other files.

    Raises:
        StateError: The directory has an HSM, or cannot be used.
        StateLocked: Another process has the directory.
    """
    from hsmcore.storage.state_directory import StateDirectory

    state = StateDirectory(home, create=True)
    try:
        if state.database.exists():
            raise StateError(
                f"there is an HSM in {home} already; an ephemeral one needs another HSM_HOME, or none: unset HSM_HOME"
            )
        yield
        state.remove_lock()
        with suppress(OSError):
            home.rmdir()
    finally:
        state.close()


def announce(running: Mapping[str, Value], home: Path, made: Ephemeral | None, *, as_json: bool) -> None:
    """Print process, socket and addresses of a daemon and, for an HSM in memory, its logins.

    Args:
        running: The fields of its status that are known.
        home: The directory of its socket.
        made: The HSM in memory that it serves; ``None`` for that of the directory.
        as_json: Print one JSON object.
    """
    path = socket_path(home)
    if as_json:
        shown = {"pid": running["pid"], "home": str(home), "socket": str(path)}
        shown |= {name: running[name] for name in ("listen", "metrics") if name in running}
        click.echo(json.dumps(shown | (made.credentials() if made else {})))
    elif made is None:
        click.echo(f"Started, pid {running['pid']}, socket {path}")
        if "listen" in running:
            click.echo(f"TLS: {running['listen']}")
        if "metrics" in running:
            click.echo(f"Metrics: {running['metrics']}")
    else:
        click.echo(f"# An HSM in memory, pid {running['pid']}; `hsm stop` ends it and destroys its keys.")
        click.echo(f"export HSM_HOME={shlex.quote(str(home))}")
        click.echo(f"export HSM_USER={made.user} HSM_PASSWORD={shlex.quote(made.password)}")
        click.echo(f"export HSM_ADMIN_PASSWORD={shlex.quote(made.admin_password)}")
