"""``hsm audit``: list, verify and export the audit log."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from bridge.carriers.client import Client
from bridge.cli import tables
from bridge.cli.access import as_admin
from bridge.protocol.codec import Value

if TYPE_CHECKING:
    from hsmcore.storage.rows import AuditRow

_COLUMNS = {
    "number": "no.",
    "time": "time (UTC)",
    "reboot": "reboot",
    "opcode": "opcode",
    "session": "session",
    "user_name": "user",
    "keys": "keys",
    "answer": "response",
}

Entry = dict[str, Value]


@click.group()
def audit() -> None:
    """List, verify and export the audit log, as an admin (HSM_ADMIN_PASSWORD or CLOUDHSM_PIN).

    The log has an entry for each login, each change of users and keys, and each key that leaves the HSM. Each entry is
    chained to the one before it.
    """


@audit.command("list")
@click.option("--first", type=click.IntRange(min=0), default=0, help="Begin with this sequence number.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Show at most this number of entries; 0 is all.")
@click.option("--json", "form", flag_value="json", help="Print one JSON object a line, with every field.")
@click.option("--text", "form", flag_value="text", help="Print the form of CloudHSM's audit log.")
@click.pass_obj
def list_entries(home: Path, first: int, limit: int, form: str | None) -> None:
    """List entries, the oldest first.

    \b
    Example:
      hsm audit list --first 100
      hsm audit list --text
    """
    with as_admin(home) as client:
        entries = _entries(client, first, limit)
        if form is not None:
            _write(entries, sys.stdout, form)
            return
        tables.show([_columns(entry) for entry in entries], _COLUMNS, as_json=False)


@audit.command()
@click.option("--anchor", help="An anchor that an earlier verify printed, kept outside this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: entries, reboot, anchor, findings.")
@click.pass_context
def verify(context: click.Context, anchor: str | None, as_json: bool) -> None:
    """Check that no entry was changed, removed, moved or added; exit code 1 if one was.

    Keep the printed anchor elsewhere and give it to a later verify: it then also finds a state directory that was
    restored to an earlier state.

    \b
    Example:
      hsm audit verify
      hsm audit verify --anchor 120:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    with as_admin(context.obj) as client:
        (result,) = client.call("AUDIT_VERIFY", anchor)
    found: dict[str, Any] = result if isinstance(result, dict) else {}
    if as_json:
        click.echo(json.dumps(found))
    else:
        for finding in found["findings"]:
            place = "log" if finding["sequence"] is None else f"{finding['sequence']:#x}"
            click.echo(f"{place:<10}{finding['text']}")
        click.echo(f"{found['entries']} entries, {len(found['findings']) or 'no'} findings")
        click.echo(f"Anchor to keep elsewhere: {found['anchor']}")
    context.exit(1 if found["findings"] else 0)


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--text", "form", flag_value="text", default="json", help="Write the form of CloudHSM's audit log.")
@click.pass_obj
def export(home: Path, file: Path, form: str) -> None:
    """Write the log to FILE, which must not exist: one JSON object a line.

    Each object has the hashes of the chain, so the file can be checked against an anchor without the HSM.

    \b
    Example:
      hsm audit export audit-2026-07.jsonl
    """
    with as_admin(home) as client, _new(file) as stream:
        _write(_entries(client, 0, 0), stream, form)
    click.echo(f"Wrote {file}")


def _new(file: Path) -> IO[str]:
    return os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w", encoding="utf-8")


def _entries(client: Client, first: int, limit: int) -> Iterator[Entry]:
    """Yield entries page by page; entries added in the meantime may be included."""
    shown = 0
    while page := tables.maps(client.call("AUDIT_LIST", first, limit and limit - shown)[0]):
        yield from page
        shown += len(page)
        if shown == limit:
            return
        first = int(str(page[-1]["sequence"])) + 1


def _write(entries: Iterator[Entry], stream: IO[str], form: str) -> None:
    from hsmcore.audit.chain import text_form

    for entry in entries:
        stream.write(json.dumps(entry) + "\n" if form == "json" else text_form(_row(entry)) + "\n")


def _row(entry: Entry) -> AuditRow:
    from hsmcore.storage.rows import AuditRow

    values: dict[str, Any] = {**entry, "previous": b"", "hash": b""}
    return AuditRow(**values)


def _columns(entry: Entry) -> Entry:
    """Return the columns of an entry in the table."""
    from bridge.cloudhsm_cli.handles import reference
    from hsmcore.audit.events import response_text

    row = _row(entry)
    moment = datetime.fromtimestamp(row.time // 1_000_000, UTC)
    keys = " ".join(reference(handle) for handle in (row.secret_handle, row.public_handle) if handle)
    answer = "SUCCESS" if row.response == 0 else f"{row.response} {response_text(row.response)}"
    return {
        "number": f"{row.sequence:#x}",
        "time": f"{moment:%Y-%m-%d %H:%M:%S}",
        "reboot": row.reboot,
        "opcode": row.opcode,
        "session": f"{row.session:#x}",
        "user_name": row.user_name or None,
        "keys": keys or row.detail or None,
        "answer": answer,
    }
