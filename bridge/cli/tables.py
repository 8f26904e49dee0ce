"""Lists, as a table for people or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import click

from bridge.protocol.codec import Value

_WIDTH_OF_A_PIPE = 240
"""Width of a table in a pipe or a file, in columns, so that lines are not cut."""


def show(
    rows: Sequence[Mapping[str, Value]], columns: Mapping[str, str], *, as_json: bool, empty: str = "No entries"
) -> None:  # fmt: skip
    """Print the rows: all fields as JSON (bytes in hexadecimal), or ``columns`` (field to heading) as a table.

    ``empty`` is the text that takes the place of a table without rows.
    """
    if as_json:
        click.echo(json.dumps(rows, default=bytes.hex, indent=2, sort_keys=True))
        return
    if not rows:
        click.echo(empty)
        return
    # Imported here, so that commands without a table start without it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row.get(field))) for field in columns))
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE).print(table)


def shown(value: Value) -> str:
    """Return a value as a table shows it."""
    if value is None or value is False:
        return "-"
    return "yes" if value is True else str(value)


def maps(value: Value) -> list[dict[str, Value]]:
    """Return the maps in a list of protocol values."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
