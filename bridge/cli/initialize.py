"""``hsm init``."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from bridge.cli.access import ADMIN, CRYPTO_USER, first_line
from bridge.process.environment import passphrase
from bridge.process.paths import socket_path


@click.command("init")
@click.option("--admin-password-file", metavar="FILE", help="Read the admin's password from FILE; - is standard input.")
@click.option("--unactivated", is_flag=True, help="Create no admin and no crypto user; activate the HSM later.")
@click.option("--non-extractable", is_flag=True, help="Make new keys non-extractable by default.")
@click.option(
    "--enable-clear-key-extraction", is_flag=True,
    help="Let the owner of an extractable key read it in the clear (getEncoded).",
)  # fmt: skip
@click.option(
    "--strict-limits", is_flag=True,
    help="Refuse operations on more data than CloudHSM accepts, such as 16,000 bytes for AES-GCM.",
)  # fmt: skip
@click.option(
    "--strong-hashes", is_flag=True,
    help="Refuse ECDSA signatures with a hash weaker than the key, as CloudHSM does from Client SDK 5.16 on.",
)  # fmt: skip
@click.pass_obj
def initialize(
    home: Path,
    admin_password_file: str | None,
    unactivated: bool,
    non_extractable: bool,
    enable_clear_key_extraction: bool,
    strict_limits: bool,
    strong_hashes: bool,
) -> None:
    """Make an HSM, its admin and a crypto user.

    \b
    The command asks no questions; it reads these variables:
      HSM_HOME                the state directory of the new HSM
      HSM_USER, HSM_PASSWORD  the crypto user to create, if any
      HSM_ADMIN_PASSWORD      the admin's password; without it one is generated and shown once
      HSM_PASSPHRASE          seals the master key; without it the master key is a plain file, for development

    \b
    Example:
      HSM_HOME=$PWD/my-hsm HSM_USER=cu1 HSM_PASSWORD=a-good-password hsm init
    """
    # Imported here so that a wrong command line fails at once.
    from hsmcore import Hsm
    from hsmcore.settings import Settings

    socket_path(home)
    user, password = ("", b"") if unactivated else _crypto_user()
    admin_password, shown = (None, "not activated") if unactivated else _admin_password(admin_password_file)
    sealed_by = passphrase()
    settings = Settings(
        clear_key_extraction=enable_clear_key_extraction,
        extractable_default=not non_extractable,
        strict_limits=strict_limits,
        strong_hashes=strong_hashes,
    )
    with Hsm.initialize(home, admin_password=admin_password, passphrase=sealed_by, settings=settings) as hsm:
        click.echo(f"Made an HSM in {home}")
        click.echo(f"  admin         {ADMIN}, {shown}")
        if user and admin_password:
            session = hsm.users.login(ADMIN, admin_password, ADMIN)
            hsm.users.create(session, user, CRYPTO_USER, password)
            click.echo(f"  crypto user   {user}, the password of HSM_PASSWORD")
        else:
            click.echo(f"  crypto user   none{'' if unactivated else '; `hsm user create NAME` makes one'}")
    click.echo(f"  new keys      {'non-extractable' if non_extractable else 'extractable'} unless asked otherwise")
    if enable_clear_key_extraction:
        click.echo("  extraction    the owner of an extractable key can read it in the clear")
    if strict_limits:
        click.echo("  limits        CloudHSM's limits on the data of one operation")
    if strong_hashes:
        click.echo("  ECDSA         signs with hashes as strong as the key")
    _tell_master_key(home, sealed=sealed_by is not None)
    if not unactivated:
        click.echo("Next: `hsm start` for a daemon, or `hsm keytool`, `hsm jarsigner`, `hsm java` without one.")


def _admin_password(file: str | None) -> tuple[bytes, str]:
    """Return the admin's password and the text that is shown for it."""
    given = first_line(file) if file else os.environ.get("HSM_ADMIN_PASSWORD", "").encode()
    if given:
        return given, "the password you gave"
    made_up = secrets.token_urlsafe(15)
    return made_up.encode(), f"password {made_up}  (made up; shown only now, keep it)"


def _crypto_user() -> tuple[str, bytes]:
    user, password = os.environ.get("HSM_USER", ""), os.environ.get("HSM_PASSWORD", "")
    if bool(user) != bool(password):
        missing = "HSM_PASSWORD" if user else "HSM_USER"
        raise click.UsageError(f"{missing} is not set; a crypto user needs both HSM_USER and HSM_PASSWORD")
    if user:
        from hsmcore.users.accounts import check_password, normal_name

        # Checked first, so that a refused name or password leaves no files behind.
        normal_name(user)
        check_password(password.encode())
    return user, password.encode()


def _tell_master_key(home: Path, *, sealed: bool) -> None:
    if sealed:
        click.echo("  master key    sealed under HSM_PASSPHRASE, which every command now needs; nothing can replace it")
        return
    click.echo(f"  master key    {home / 'master.key'}")
    click.secho(
        "WARNING: the master key is a plain file, the development default. Anyone who can read it can open every key.\n"
        "         For production keys, make the HSM with HSM_PASSPHRASE set.",
        fg="yellow",
        err=True,
    )
