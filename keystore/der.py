"""A reader of DER (X.690) as far as PKCS #12 files need it: tags of one byte, definite lengths."""

from __future__ import annotations

from collections.abc import Iterator

INTEGER, OCTETS, OID, BMP_STRING, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x1E, 0x30, 0x31
IMPLICIT_0, EXPLICIT_0 = 0x80, 0xA0


class Malformed(ValueError):
    """The bytes are not DER, or not the expected structure."""


class Reader:
    """A cursor on consecutive values."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        """Return whether values remain."""
        return self._at < len(self._data)

    def peek(self) -> int:
        """Return the tag of the next value. There must be one."""
        return self._data[self._at]

    def take(self, tag: int) -> bytes:
        """Return the content of the next value.

        Raises:
            Malformed: No value remains, it has another tag, or it is cut.
        """
        found, start, end = _header(self._data, self._at)
        if found != tag:
            raise Malformed(f"a value with tag {tag:#x} is missing")
        if end > len(self._data):
            raise Malformed("a value is cut")
        self._at = end
        return self._data[start:end]


def outermost(data: bytes) -> tuple[int, int]:
    """Return the tag of the first value and its length with the header, in bytes; ``(0, 0)`` without a header."""
    try:
        tag, _, end = _header(data, 0)
    except Malformed:
        return 0, 0
    return tag, end


def each(data: bytes, tag: int, most: int) -> Iterator[bytes]:
    """Return the contents of the values in a SEQUENCE, each with the tag."""
    return each_in(Reader(data).take(SEQUENCE), tag, most)


def each_in(content: bytes, tag: int, most: int) -> Iterator[bytes]:
    """Return the contents of consecutive values, each with the tag.

    Raises:
        Malformed: There are more than ``most`` values.
    """
    reader = Reader(content)
    for _ in range(most):
        if not reader.more():
            return
        yield reader.take(tag)
    if reader.more():
        raise Malformed(f"it has more than {most:,} values in a sequence")


def oid(dotted: str) -> bytes:
    """Return the content of an OBJECT IDENTIFIER (X.690, 8.19)."""
    first, second, *others = map(int, dotted.split("."))
    encoded = bytearray()
    for arc in (first * 40 + second, *others):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        encoded += bytes(reversed(groups))
    return bytes(encoded)


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of a value and the offsets of the begin and the end of its content.

    Raises:
        Malformed: The header is cut, or its length is not in DER.
    """
    header = data[at : at + 6]
    if len(header) < 2:
        raise Malformed("a value is cut")
    tag, length = header[0], header[1]
    if length < 0x80:
        return tag, at + 2, at + 2 + length
    count = length & 0x7F
    if not 1 <= count <= 4 or len(header) < 2 + count:
        raise Malformed("a length is not given as DER gives it")
    start = at + 2 + count
    return tag, start, start + int.from_bytes(header[2 : 2 + count], "big")
