"""Look-up in a table whose rows are written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

R = TypeVar("R")


def row_of(table: Mapping[str, R], key: str, name: str) -> R:
    """Return the row of a table.

    Args:
        name: The table, as in ``HASHES of hsmcore.tables.mechanisms``.

    Raises:
        LookupError: The table has no such row.
    """
    if key not in table:
        raise LookupError(f"the table {name} has no row {str(key)!r}; add one")
    return table[key]
