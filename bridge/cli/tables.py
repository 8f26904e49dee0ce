"""Lists, as a table for people or as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import click

from bridge.protocol.codec import Value

_WIDTH_OF_A_PIPE = 240
"""Width of a table in a pipe or a file, in columns, so that lines are not cut."""
_GAP = "  "
_NARROWEST = 8
"""Columns below which no cell is folded."""


def show(
    rows: Sequence[Mapping[str, Value]], columns: Mapping[str, str], *, as_json: bool, empty: str = "No entries"
) -> None:  # fmt: skip
    """Print the rows: all fields as JSON (bytes in hexadecimal), or ``columns`` (field to heading) as a table.

    ``empty`` is the text that takes the place of a table without rows.
    """
    if as_json:
        # Imported here, so that commands with a table start without it.
        import json

        click.echo(json.dumps(rows, default=bytes.hex, indent=2, sort_keys=True))
        return
    if not rows:
        click.echo(empty)
        return
    width = _width() if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    cells = [[_printable(shown(row.get(field))) for field in columns] for row in rows]
    for line in _lines([list(columns.values()), *cells], width):
        click.echo(line)


def _width() -> int:
    """Return the columns of the terminal."""
    # Imported here: a program that reads the table has none.
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table, the first row as its head; long cells continue on further lines.

    Args:
        rows: The rows, of the same length.
        width: Columns of the terminal.
    """
    widths = _fitting(list(zip(*rows, strict=True)), width - len(_GAP) * (len(rows[0]) - 1))
    for number, row in enumerate(rows):
        folded = [list(_folded(cell, limit)) for cell, limit in zip(row, widths, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            padded = (part + " " * (limit - _columns_of(part)) for part, limit in zip(parts, widths, strict=True))
            yield _GAP.join(padded).rstrip()
        if number == 0:
            yield _GAP.join("-" * limit for limit in widths)


def _fitting(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return a width for each column. They are folded at spaces first, then in words, the first column last.

    Args:
        columns: The cells.
        width: Columns of the terminal for all of them.
    """
    widths = [max(map(_columns_of, cells)) for cells in columns]
    words = [max(_columns_of(word) for cell in cells for word in (cell.split(" ") or [""])) for cells in columns]
    no_more = [_NARROWEST] * len(columns)
    for least in (words, [words[0], *no_more[1:]], no_more):
        while sum(widths) > width:
            room = [have - max(need, _NARROWEST) for have, need in zip(widths, least, strict=True)]
            if max(room) <= 0:
                break
            widest = max(range(len(widths)), key=lambda at: (room[at] > 0, widths[at]))
            widths[widest] -= 1
    return widths


def _folded(text: str, width: int) -> Iterator[str]:
    """Yield the parts of a text that are at most so wide; it is parted at spaces where it has some."""
    while _columns_of(text) > width:
        end = width
        while _columns_of(text[:end]) > width:
            end -= 1
        end = text.rfind(" ", 0, end + 1) if " " in text[1 : end + 1] else end
        yield text[:end].rstrip()
        text = text[end:].lstrip()
    yield text


def _columns_of(text: str) -> int:
    """Return the columns that a text takes in a terminal: two for a wide character (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    # Imported here: most texts are ASCII.
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def _printable(text: str) -> str:
    """Escape the characters that would move the cursor or end the line, such as those of a label."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shown(value: Value) -> str:
    """Return a value as a table shows it."""
    if value is None or value is False:
        return "-"
    return "yes" if value is True else str(value)


def maps(value: Value) -> list[dict[str, Value]]:
    """Return the maps in a list of protocol values."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
