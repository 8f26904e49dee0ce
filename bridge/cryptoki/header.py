"""Prints ``tables.h`` for the C library: the numbers that decide how it encodes, from the tables of this package.

The modules that it needs import only the standard library, so that a build can run it before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.cryptoki.attributes import ROWS as ATTRIBUTES
from bridge.cryptoki.attributes import Kind
from bridge.cryptoki.mechanisms import ROWS as MECHANISMS
from bridge.cryptoki.mechanisms import Form
from bridge.cryptoki.numbers import PART_COUNTER, PART_LENGTH, REPEATABLE
from hsmcore import __version__
from hsmcore.errors import OperationLimit


def _lettered(name: str, rows: Iterable[tuple[int, str]]) -> list[str]:
    return [
        f"UNUSED static const struct {{ unsigned long number; char letter; }} {name}[] = {{",
        *(f"    {{{number:#x}, '{letter}'}}," for number, letter in rows),
        "};",
    ]


def text() -> str:
    """Return the header."""
    major, minor = __version__.split(".")[:2]
    lines = [
        "/* Written by bridge/cryptoki/header.py when the library is built. */",
        "#define UNUSED __attribute__((unused))",
        f"enum {{ LIBRARY_MAJOR = {major}, LIBRARY_MINOR = {minor}, STATUS_LIMIT = {OperationLimit.code},",
        f"       PART_COUNTER = {PART_COUNTER}, PART_LENGTH = {PART_LENGTH} }};",
        *_lettered("ATTRIBUTES", ((row.number, row.kind.value) for row in ATTRIBUTES if row.kind is not Kind.BYTES)),
        *_lettered("MECHANISMS", ((row.number, row.form.value) for row in MECHANISMS if row.form is not Form.NONE)),
        "UNUSED static const char *const REPEATABLE[] = {",
        *(f'    "{name}",' for name in REPEATABLE),
        "};",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
