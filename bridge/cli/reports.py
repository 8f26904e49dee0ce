"""The report of ``hsm keystore``, as a table or as JSON, with one row per entry."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from bridge.cli import tables
from bridge.protocol.codec import Value

INCOMPLETE = 3
"""Exit code if some entries were refused and the others imported or exported."""

IMPORTED, IMPORTABLE, THERE, LEFT_OUT = "imported", "importable", "already-there", "left-out"
EXPORTED, REFUSED = "exported", "refused"
"""Results of an entry; a dry run reports ``importable`` instead of ``imported``."""

_TYPES: dict[Value, str] = {"DESEDE": "DESede", "GENERIC_SECRET": "generic secret"}

_COLUMNS = {
    "alias": "alias",
    "kind": "kind",
    "type": "type",
    "certificates": "certificates",
    "result": "result",
    "reason": "reason",
    "detail": "detail",
}


@dataclass(slots=True)
class Row:
    """One line of the report; the names are those of the JSON. ``reason`` is a value of ``keystore.foreign.Reason``."""

    alias: str
    kind: str
    type: str = ""
    certificates: int = 0
    result: str = REFUSED
    reason: str | None = None
    detail: str = ""


def type_name(key_type: Value, size: Value) -> str:
    """Return the name of a KEY_TYPE with its size in bits."""
    return f"{_TYPES.get(key_type, key_type)} {size}"


def show(rows: Sequence[Row], about: Mapping[str, Value], *, as_json: bool) -> None:
    """Print the report; ``about`` describes the file (``file``, ``format``, ``dry_run``)."""
    lines: list[dict[str, Value]] = [{name: getattr(row, name) for name in _COLUMNS} for row in rows]
    counts = Counter(row.result for row in rows)
    if as_json:
        click.echo(json.dumps({**about, "counts": counts, "entries": lines}, indent=2, sort_keys=True))
        return
    tables.show(lines, _COLUMNS, as_json=False)
    summary = ", ".join(f"{count} {result}" for result, count in counts.items()) or "no entries"
    unchanged = "; nothing was changed" if about.get("dry_run") else ""
    click.echo(f"{about['file']} ({about['format']}): {summary}{unchanged}")


def exit_code(rows: Sequence[Row]) -> int:
    """Return 0, or ``INCOMPLETE`` if an entry was refused."""
    return INCOMPLETE if any(row.result == REFUSED for row in rows) else 0
