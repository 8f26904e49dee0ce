"""``hsm backup``: make, list, verify, restore and delete backups."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli import tables
from bridge.cli.access import as_admin, first_line
from bridge.process.environment import passphrase
from bridge.process.paths import socket_path
from bridge.protocol.codec import Value

if TYPE_CHECKING:
    from hsmcore.backup.restoring import Restored
    from hsmcore.primitives.tls_certificates import CertificateFacts

_COLUMNS = {
    "name": "name",
    "time": "made (UTC)",
    "reason": "reason",
    "state": "state",
    "size": "bytes",
    "serial": "HSM",
    "passphrase": "own passphrase",
}
_PATIENCE = 3600.0
"""Longest wait for a backup, in seconds. One of 100 000 keys takes up to a minute."""

_passphrase = click.option(
    "--passphrase-file", metavar="FILE", help="Read the passphrase of the backup from FILE; - is standard input."
)  # fmt: skip


@click.group()
def backup() -> None:
    """Make, list, verify, restore and delete backups.

    All but restore log in as an admin (HSM_ADMIN_PASSWORD or CLOUDHSM_PIN). The backups are in the directory backups of
    the state directory; copy them elsewhere. The daemon makes one each day.
    """


@backup.command()
@_passphrase
@click.pass_obj
def create(home: Path, passphrase_file: str | None) -> None:
    """Make a backup of users, token keys and settings, while the HSM is in use.

    The backup opens with the HSM's passphrase or key file of now, or with --passphrase-file instead. It is read back
    before the command ends.

    \b
    Example:
      hsm backup create
      pass show hsm/backup | hsm backup create --passphrase-file -
    """
    own = None if passphrase_file is None else first_line(passphrase_file)
    with as_admin(home, _PATIENCE) as client:
        (made,) = client.call("BACKUP_CREATE", own)
    _tell(made if isinstance(made, dict) else {}, "Made")


@backup.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with every field.")
@click.pass_obj
def list_backups(home: Path, as_json: bool) -> None:
    """List the backups, the oldest first.

    \b
    Example:
      hsm backup list
    """
    with as_admin(home) as client:
        (rows,) = client.call("BACKUP_LIST")
    found: list[dict[str, Value]] = [
        {**row, "time": _time(row["created"]) if row["created"] else None} for row in tables.maps(rows)
    ]
    tables.show(found, _COLUMNS, as_json=as_json, empty="No backups")


@backup.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every field.")
@click.pass_obj
def verify(home: Path, name: str, as_json: bool) -> None:
    """Read a backup of this HSM's security domain from its first byte to its last; exit code 1 if it is damaged.

    \b
    Example:
      hsm backup verify backup-3k5jzvq2abc
    """
    with as_admin(home, _PATIENCE) as client:
        (read,) = client.call("BACKUP_VERIFY", name)
    found = read if isinstance(read, dict) else {}
    if as_json:
        click.echo(json.dumps(found))
        return
    _tell(found, "Verified")


@backup.command()
@click.argument("name")
@click.pass_obj
def delete(home: Path, name: str) -> None:
    """Delete a backup for good; the last whole one is not deleted.

    A deleted user or key stays in the backups that have it: delete those too.

    \b
    Example:
      hsm backup delete backup-3k5jzvq2abc
    """
    with as_admin(home) as client:
        client.call("BACKUP_DELETE", name)
    click.echo(f"Deleted {name}")


@backup.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_passphrase
@click.option(
    "--key-file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="The master.key of the HSM that was backed up.  [default: that of the state directory]",
)  # fmt: skip
@click.option(
    "--store", metavar="URL", envvar="HSM_STORE",
    help="An empty database of PostgreSQL for the new HSM, as of hsm init.  [env: HSM_STORE]",
)  # fmt: skip
@click.pass_obj
def restore(
    home: Path, file: Path, directory: Path, passphrase_file: str | None, key_file: Path | None, store: str | None
) -> None:  # fmt: skip
    """Make an HSM in the new state directory DIRECTORY from the backup FILE.

    FILE is a path, or the name of a backup in the state directory. The backup opens with the passphrase or the key file
    that the HSM had when it was made. Without --passphrase-file the passphrase is HSM_PASSPHRASE, which also seals the
    master key of the new HSM.

    \b
    Example:
      hsm backup restore backup-3k5jzvq2abc /srv/restored-hsm
      hsm backup restore /mnt/backups/backup-3k5jzvq2abc.hsmbackup /srv/restored-hsm --key-file /mnt/safe/master.key
    """
    from hsmcore import Hsm
    from hsmcore.backup.opening import Credentials

    target = directory.absolute()
    socket_path(target)
    sealed_by = passphrase()
    opening = sealed_by if passphrase_file is None else first_line(passphrase_file)
    credentials = Credentials(opening, _key_file(home, key_file))
    restored = Hsm.restore(_found(home, file), target, credentials, passphrase=sealed_by, store=store or None)
    click.echo("\n".join(_summary(restored, target, sealed=sealed_by is not None)))


def _found(home: Path, file: Path) -> Path:
    """Return the path of a backup: the name of one in the state directory, or a path."""
    named = home / "backups" / f"{file}.hsmbackup"
    return named if file.name == str(file) and not file.exists() and named.exists() else file


def _key_file(home: Path, named: Path | None) -> bytes | None:
    path = named or home / "master.key"
    return path.read_bytes() if named or path.exists() else None


def _tell(found: dict[str, Value], done: str) -> None:
    click.echo(f"{done} {found['name']}: {_counts(found)}, {found['size']} bytes, {found['path']}")
    if found["damaged_keys"] or found["damaged_users"]:
        click.echo(
            f"WARNING: {found['damaged_keys']} damaged keys are not in it, and {found['damaged_users']} damaged users "
            "are in it without a password; `hsm audit verify` lists them",
            err=True,
        )


def _counts(found: dict[str, Value]) -> str:
    return f"{found['users']} users, {found['keys']} token keys"


def _time(milliseconds: Value) -> str:
    return f"{datetime.fromtimestamp(int(str(milliseconds)) // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _certificate(restored: CertificateFacts | None) -> list[str]:
    """Return the lines about the TLS certificate of a restored HSM."""
    if restored is None:
        return [
            "  certificate   none: the backup has none. Before `hsm start --listen`, `hsm cluster csr` and",
            "                `hsm cluster initialize` give the HSM one; clients keep their customerCA.crt if the same",
            "                authority signs it",
        ]
    end = f"{datetime.fromtimestamp(restored.not_after, UTC):%Y-%m-%d %H:%M} UTC"
    names = ", ".join(restored.names) or "any host"
    says = (
        f"it ended at {end}, and clients refuse it" if restored.not_after <= time.time() else f"it is valid until {end}"
    )
    return [
        f"  certificate   that of the HSM that made the backup, for {names}; {says}",
        "                For other hosts or another end, or beside the old HSM: `hsm cluster csr --new-key`, then",
        "                `hsm cluster initialize`",
    ]


def _summary(restored: Restored, home: Path, *, sealed: bool) -> list[str]:
    """Return the lines about a restored HSM."""
    totals = restored.totals
    lines = [
        f"Restored {restored.name}, made {_time(restored.created)} UTC, into {home}",
        f"  users         {totals.users}, with their passwords of that time",
        f"  token keys    {totals.keys}",
        f"  master key    a new one, {'sealed under HSM_PASSPHRASE' if sealed else home / 'master.key'}",
        *_certificate(restored.certificate),
        "  audit log     a new one, which begins with this restore; the backup has no log of the HSM that made it,",
        f"                {restored.serial}, whose log was at anchor",
        f"                {restored.anchor}",
        "                Its anchors are not anchors of the new log. An anchor of the new log to keep elsewhere:",
        f"                {restored.head.anchor()}",
    ]
    if totals.damaged_keys or totals.damaged_users:
        lines.append(
            f"  damaged       {totals.damaged_keys} keys are not in the backup, {totals.damaged_users} users are locked"
        )
    return [*lines, f"Next: `hsm --home {home} start`"]
