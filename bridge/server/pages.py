"""Pages of lists: as many keys or aliases as one answer may have, by their number and by their bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from bridge.protocol.codec import Value
from hsmcore.errors import MalformedRequest

MAX_KEYS = 1000
"""Maximum number of keys in an answer."""
MAX_BYTES = 4 * 1024 * 1024
"""Length of the longest list of keys or aliases in an answer, about, in bytes."""
_SCALAR = 9
"""Length of an encoded integer; other values without a length of their own are shorter."""
_POSITION = struct.Struct(">QQ")

T = TypeVar("T")


def weight(value: Value) -> int:
    """Return about the number of bytes of an encoded value."""
    if isinstance(value, str):
        return _SCALAR + (len(value) if value.isascii() else len(value.encode()))
    if isinstance(value, bytes):
        return _SCALAR + len(value)
    if isinstance(value, Mapping):
        return _SCALAR + sum(weight(name) + weight(one) for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return _SCALAR + sum(map(weight, value))
    return _SCALAR


def fitting(limit: int, read: Callable[[int], T], rows: Callable[[T], Value]) -> tuple[T, int]:
    """Return the longest page that one answer may have, and the number of rows that it was asked for.

    Args:
        limit: The client's maximum number of rows, 0 for none.
        read: Reads a page of at most so many rows.
        rows: Returns the rows of a page as the answer has them.

    Raises:
        MalformedRequest: The limit is negative.
    """
    if limit < 0:
        raise MalformedRequest(f"a limit is 0 or more, not {limit}")
    count = min(limit or MAX_KEYS, MAX_KEYS)
    page = read(count)
    while count > 1 and weight(rows(page)) > MAX_BYTES:
        count //= 2
        page = read(count)
    return page, count


def beginning(rows: Iterable[T]) -> list[T]:
    """Return the first of the rows, as many as one answer may have, and at least one."""
    taken: list[T] = []
    room = MAX_BYTES
    for row in rows:
        room -= weight(row)
        if room < 0 and taken:
            break
        taken.append(row)
    return taken


def encode_position(position: tuple[int, int] | None) -> bytes | None:
    """Return a position among keys as a client sends it back; ``None`` where the list ends."""
    return None if position is None else _POSITION.pack(*position)


def decode_position(encoded: bytes | None) -> tuple[int, int] | None:
    """Return the position that a client sends back.

    Raises:
        MalformedRequest: The bytes are no position.
    """
    if encoded is None:
        return None
    if len(encoded) != _POSITION.size:
        raise MalformedRequest("no answer had this position")
    created, handle = _POSITION.unpack(encoded)
    if max(created, handle) >= 2**63:
        raise MalformedRequest("no answer had this position")
    return created, handle
