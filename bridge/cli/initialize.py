"""``hsm init``: makes the HSM and its users, then prints what it made."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.access import ADMIN, first_line
from bridge.cli.settings import options, settings_of
from bridge.process.environment import passphrase
from bridge.process.paths import socket_path
from bridge.process.streams import discard_output
from hsmcore.files import write_whole

if TYPE_CHECKING:
    from hsmcore.settings import Settings

_KEY_FILE_WARNING = """\
WARNING: the master key is a plain file, the development default. Anyone who can read it can open every key.
         For production keys, make the HSM with HSM_PASSPHRASE set."""

UNREAD = "admin-password.txt"
"""File in the state directory with the text that nothing took."""


@click.command("init")
@click.option("--admin-password-file", metavar="FILE", help="Read the admin's password from FILE; - is standard input.")
@click.option("--unactivated", is_flag=True, help="Create no admin and no crypto user; activate the HSM later.")
@options
@click.option(
    "--store", metavar="URL", envvar="HSM_STORE",
    help="Keep the HSM in an empty database of PostgreSQL, which other HSMs can join.  [env: HSM_STORE]",
)  # fmt: skip
@click.pass_obj
def initialize(
    home: Path,
    /,
    admin_password_file: str | None,
    unactivated: bool,
    store: str | None,
    **flags: bool,
) -> None:
    """Make an HSM, its admin and a crypto user.

    \b
    The command asks no questions; it reads these variables:
      HSM_HOME                the state directory of the new HSM
      HSM_USER, HSM_PASSWORD  the crypto user to create, if any
      HSM_ADMIN_PASSWORD      the admin's password; without it one is generated and shown once
      HSM_PASSPHRASE          seals the master key; without it the master key is a plain file, for development
      HSM_STORE               the URL of --store, which other users of the machine do not see there

    If neither standard output nor standard error takes a generated password, it is in the file admin-password.txt of
    the state directory.

    \b
    Example:
      HSM_HOME=$PWD/my-hsm HSM_USER=cu1 HSM_PASSWORD=a-good-password hsm init
      hsm init --store 'postgresql://hsm@db1,db2/hsm?sslmode=verify-full&sslrootcert=/etc/hsm/db-ca.pem'
    """
    # Imported here so that a wrong command line fails at once.
    from hsmcore import Hsm

    socket_path(home)
    user, password = ("", b"") if unactivated else _crypto_user()
    generated = ""
    admin_password = None if unactivated else _given_password(admin_password_file)
    if admin_password == b"":
        generated = secrets.token_urlsafe(15)
        admin_password = generated.encode()
    sealed_by = passphrase()
    settings = settings_of(flags)
    lines = [
        f"Made an HSM in {home}"
        + (f"; admin's password: {generated}  (generated, shown only now)" if generated else "")
    ]
    Hsm.initialize(
        home,
        admin_password=admin_password,
        passphrase=sealed_by,
        settings=settings,
        store=store or None,
        crypto_user=(user, password) if user else None,
    ).close()
    lines += _summary(settings, user, activated=not unactivated, generated=bool(generated))
    lines += _master_key(home, sealed=sealed_by is not None)
    if not unactivated:
        lines.append("Next: `hsm start` for a daemon, or `hsm keytool`, `hsm jarsigner`, `hsm java` without one.")
    _tell("\n".join(lines), sealed=sealed_by is not None, file=home / UNREAD if generated else None)


def _summary(settings: Settings, user: str, *, activated: bool, generated: bool) -> list[str]:
    """Return the lines about the new HSM's users and settings."""
    password = "the password above" if generated else "the password you gave"
    extractable = "extractable" if settings.extractable_default else "non-extractable"
    nobody = "none; `hsm user create NAME` makes one" if activated else "none"
    lines = [
        f"  admin         {ADMIN}, {password if activated else 'not activated'}",
        f"  crypto user   {f'{user}, the password of HSM_PASSWORD' if user else nobody}",
        f"  new keys      {extractable} unless asked otherwise",
    ]
    if settings.clear_key_extraction:
        lines.append("  extraction    the owner of an extractable key can read it in the clear")
    if settings.strict_limits:
        lines.append("  limits        CloudHSM's limits on the data of one operation")
    if settings.strong_hashes:
        lines.append("  ECDSA         signs with hashes as strong as the key")
    if settings.allow_reset:
        lines.append("  reset         allowed to everyone who can connect; not for keys of value")
    if settings.allow_faults:
        lines.append("  faults        allowed to everyone who can connect")
    return lines


def _given_password(file: str | None) -> bytes:
    """Return the admin's password from the file or the environment; empty where there is none."""
    return first_line(file) if file else os.environ.get("HSM_ADMIN_PASSWORD", "").encode()


def _crypto_user() -> tuple[str, bytes]:
    user, password = os.environ.get("HSM_USER", ""), os.environ.get("HSM_PASSWORD", "")
    if bool(user) != bool(password):
        missing = "HSM_PASSWORD" if user else "HSM_USER"
        raise click.UsageError(f"{missing} is not set; a crypto user needs both HSM_USER and HSM_PASSWORD")
    if user:
        from hsmcore.users.accounts import normal_name
        from hsmcore.users.passwords import check_password

        # Checked first, so that a refused name or password leaves no files behind.
        normal_name(user)
        check_password(password.encode())
    return user, password.encode()


def _master_key(home: Path, *, sealed: bool) -> list[str]:
    if sealed:
        return ["  master key    sealed under HSM_PASSPHRASE, which every command now needs; nothing can replace it"]
    return [f"  master key    {home / 'master.key'}"]


def _tell(text: str, *, sealed: bool, file: Path | None) -> None:
    """Print the text, then warn of a master key that no passphrase seals.

    Args:
        text: The text.
        sealed: Whether a passphrase seals the master key.
        file: As for ``tell``.

    Raises:
        ClickException: Standard output is closed or full.
    """
    written = tell(text, file)
    if not sealed:
        click.secho(_KEY_FILE_WARNING, fg="yellow", err=True)
    if not written:
        raise click.ClickException("standard output takes no text; the HSM was made, as the text above says")


def tell(text: str, file: Path | None) -> bool:
    """Print the text: to standard output; if that is closed or full, to standard error; else to a file.

    Args:
        text: The text.
        file: The file, ``None`` for a text that is not needed again.

    Returns:
        Whether standard output has taken the text.

    Raises:
        OSError: Neither output takes the text.
    """
    try:
        if sys.stdout is not None:
            click.echo(text)
            return True
    except OSError:
        discard_output()
    try:
        click.echo(text, err=True)
    except OSError:
        if file is not None:
            write_whole(file, text.encode() + b"\n")
        raise
    return False
