"""``hsm rekey``: another passphrase for the master key, or another master key."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bridge.cli.access import first_line
from bridge.process.environment import passphrase


@click.command()
@click.option("--passphrase-file", metavar="FILE", help="Read the new passphrase from FILE; - is standard input.")
@click.option("--to-key-file", is_flag=True, help="Seal the master key under the key file master.key from now on.")
@click.option("--master-key", is_flag=True, help="Make a new master key, and seal everything under it.")
@click.pass_obj
def rekey(home: Path, passphrase_file: str | None, to_key_file: bool, master_key: bool) -> None:
    """Change the passphrase of the master key, or with --master-key the master key itself.

    The passphrase of now is in HSM_PASSPHRASE. The daemon must be stopped. Backups that were made before open with what
    the HSM had then.

    \b
    Example:
      hsm stop
      pass show hsm/new | hsm rekey --passphrase-file -
      hsm rekey --master-key
    """
    if passphrase_file and to_key_file:
        raise click.UsageError("--passphrase-file and --to-key-file exclude each other")
    # Imported here so that a wrong command line fails at once.
    from hsmcore import Hsm

    old = passphrase()
    new = None if to_key_file else _new(old, passphrase_file, asked=not master_key)
    Hsm.rekey(home, passphrase=old, new_passphrase=new, master_key=master_key)
    sealed = f"under the key file {home / 'master.key'}" if new is None else "under the passphrase"
    click.echo(f"{'Made a new master key, sealed' if master_key else 'Sealed the master key'} {sealed}")
    if new is not None and new != old:
        click.echo("Every command needs the new one in HSM_PASSPHRASE from now on; older backups open as before.")


def _new(old: bytes | None, file: str | None, *, asked: bool) -> bytes | None:
    """Return the new passphrase, which is the old one with a new master key unless another is given.

    Raises:
        ClickException: A new passphrase is needed and there is none.
    """
    if file is not None:
        return first_line(file)
    if not asked:
        return old
    if not sys.stdin.isatty():
        raise click.ClickException("a new passphrase is needed: --passphrase-file FILE, or --to-key-file")
    answer: str = click.prompt("New passphrase of the master key", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()
