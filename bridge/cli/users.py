"""``hsm user``: the HSM's users."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bridge.carriers.client import connected
from bridge.cli import cloudhsm, tables
from bridge.cli.access import ADMIN, CRYPTO_USER, ROLES, as_admin, as_user, confirm, new_password
from bridge.process.environment import passphrase
from bridge.process.logins import from_environment

_role = click.option("--role", type=ROLES, default=CRYPTO_USER, show_default=True, help="The user's role.")
_file = click.option("--password-file", metavar="FILE", help="Read the password from FILE; - is standard input.")


@click.group(cls=cloudhsm.Group)
def user() -> None:
    """Create, list and delete users, change passwords; the other commands are CloudHSM's.

    Commands that change a user log in as an admin, with HSM_ADMIN_PASSWORD, CLOUDHSM_PIN or a password from the
    terminal. CloudHSM's commands answer in JSON; docs/cli.md describes them.
    """


@user.command()
@click.argument("name")
@_role
@_file
@click.pass_obj
def create(home: Path, name: str, role: str, password_file: str | None) -> None:
    """Create a user.

    The password has 8 to 32 characters. If NAME is HSM_USER, it is HSM_PASSWORD.

    \b
    Example:
      hsm user create cu2
      pass show hsm/cu2 | hsm user create cu2 --password-file -
    """
    known = os.environ.get("HSM_PASSWORD") if name == os.environ.get("HSM_USER") and role == CRYPTO_USER else None
    with as_admin(home) as client:
        password = known.encode() if known and not password_file else new_password(name, password_file)
        client.call("USER_CREATE", name, role, password)
    click.echo(f"Created {role} {name.lower()}")


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with every field.")
@click.pass_obj
def list_users(home: Path, as_json: bool) -> None:
    """List the users, without a login.

    \b
    Example:
      hsm user list
    """
    with connected(home) as client:
        (rows,) = client.call("USER_LIST")
    columns = {"username": "user", "role": "role", "locked": "locked", "mfa": "MFA", "quorum": "quorum"}
    tables.show(tables.maps(rows), columns, as_json=as_json)


@user.command("change-password")
@click.argument("name")
@_role
@_file
@click.pass_obj
def change_password(home: Path, name: str, role: str, password_file: str | None) -> None:
    """Set a user's password, which also unlocks the user.

    Without an admin's login in the environment, a crypto user changes their own password: set HSM_USER to NAME and
    HSM_PASSWORD to the old password.

    \b
    Example:
      hsm user change-password cu1
    """
    known = from_environment((ADMIN, CRYPTO_USER))
    own = known is not None and (known.username.lower(), known.role) == (name.lower(), role) and role == CRYPTO_USER
    password = new_password(name, password_file)
    with (as_user if own else as_admin)(home) as client:
        client.call("USER_CHANGE_PASSWORD", name, role, password, False, False)
    click.echo(f"Changed the password of {role} {name.lower()}")


@user.command()
@click.argument("name")
@_role
@click.option("--force-delete-keys", is_flag=True, help="Destroy the user's keys too. They cannot be restored.")
@click.option("--yes", is_flag=True, help="Do not ask before keys are destroyed.")
@click.pass_obj
def delete(home: Path, name: str, role: str, force_delete_keys: bool, yes: bool) -> None:
    """Delete a user. One who owns keys is only deleted with --force-delete-keys.

    \b
    Example:
      hsm user delete cu2
      hsm user delete cu2 --force-delete-keys
    """
    if force_delete_keys and not yes:
        confirm(f"Destroy all keys of {role} {name.lower()}?")
    with as_admin(home) as client:
        (destroyed,) = client.call("USER_DELETE", name, role, force_delete_keys)
    click.echo(f"Deleted {role} {name.lower()}" + (f" and {destroyed} keys" if destroyed else ""))


@user.command()
@click.argument("name")
@_file
@click.pass_obj
def recover(home: Path, name: str, password_file: str | None) -> None:
    """Set an admin's password and unlock the admin, without a login.

    The way back where no admin can log in any more. It takes the state directory, the master key's file or
    HSM_PASSPHRASE, and a stopped daemon; the audit log records it as a change of the password.

    \b
    Example:
      hsm stop
      hsm user recover admin
    """
    password = new_password(name, password_file)
    from hsmcore import Hsm

    with Hsm.open(home, passphrase=passphrase(), start=False) as hsm:
        hsm.users.recover(name, password)
    click.echo(f"Set the password of {ADMIN} {name.lower()}")
