"""``hsm join`` and ``hsm leave``: an HSM's membership in a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.access import confirm
from bridge.process.environment import passphrase
from bridge.process.paths import socket_path


@click.command()
@click.option(
    "--store", metavar="URL", envvar="HSM_STORE", required=True,
    help="The cluster's database of PostgreSQL.  [env: HSM_STORE]",
)  # fmt: skip
@click.option(
    "--master-key-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The key file (master.key) of another HSM of the cluster, which is copied; not needed with HSM_PASSPHRASE.",
)  # fmt: skip
@click.pass_obj
def join(home: Path, store: str, master_key_file: Path | None) -> None:
    """Add an HSM to a cluster that `hsm init --store` has made.

    The HSM gets a state directory, a number, a name and an audit log of its own. It has the cluster's users and keys.

    \b
    Example:
      HSM_HOME=/srv/hsm2 HSM_PASSPHRASE=... hsm join --store 'postgresql://hsm@db1,db2/hsm?sslmode=verify-full'
    """
    # Imported here so that a wrong command line fails at once.
    from hsmcore import Hsm
    from hsmcore.files import read_whole

    socket_path(home)
    key_file = None if master_key_file is None else read_whole(master_key_file, 4096)
    with Hsm.join(home, store, passphrase=passphrase(), key_file=key_file) as hsm:
        own = next(member for member in hsm.members() if member.own)
        count = len(hsm.members())
    click.echo(f"Joined as {own.name}, number {own.number}; the cluster has {count} HSMs; state directory {home}")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def leave(home: Path, yes: bool) -> None:
    """Take the HSM out of its cluster; stop its daemon first.

    The cluster keeps its users, keys and audit logs. The state directory no longer has an HSM.

    \b
    Example:
      hsm stop
      hsm leave --yes
    """
    from hsmcore import Hsm

    if not yes:
        confirm(f"Take the HSM in {home} out of its cluster for good?")
    hsm = Hsm.open(home, passphrase=passphrase(), start=False)
    try:
        hsm.leave()
    finally:
        hsm.close()
    click.echo("Left the cluster")
