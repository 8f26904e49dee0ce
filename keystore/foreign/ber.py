"""BER without given lengths (X.690, 8.1.3.6), which Bouncy Castle and NSS write and pyasn1 mistakes inside of ANY."""

from __future__ import annotations

_END = b"\0\0"
_STRING, _STRING_OF_PARTS = 0x04, 0x24
_CONSTRUCTED = 0x20
_OPEN = 0x80
"""The first length byte where the length is not given."""


def definite(data: bytes) -> bytes:
    """Return the same value with every length given and octet strings in one part. Raises ``ValueError``."""
    value, end = _value(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the value")
    return value


def _value(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the value that begins there, and where it ends."""
    tag, at = data[start], start + 1
    if tag & 0x1F == 0x1F:
        raise ValueError("a tag above 30 occurs in no PKCS #12")
    length, at = _length(data, at)
    if not tag & _CONSTRUCTED:
        if length is None or at + length > len(data):
            raise ValueError("a value is cut")
        return data[start : at + length], at + length
    end = len(data) if length is None else at + length
    parts: list[bytes] = []
    while at < end and not (length is None and data.startswith(_END, at)):
        part, at = _value(data, at)
        parts.append(part)
    if at > len(data) or (length is not None and at != end) or (length is None and not data.startswith(_END, at)):
        raise ValueError("a value is cut")
    return _joined(tag, parts), at + (len(_END) if length is None else 0)


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """Return the length, ``None`` where it is not given, and where the content begins."""
    first = data[at]
    if first <= _OPEN:
        return (None if first == _OPEN else first), at + 1
    count = first & 0x7F
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


def _joined(tag: int, parts: list[bytes]) -> bytes:
    if tag != _STRING_OF_PARTS:
        return _encoded(tag, b"".join(parts))
    content = bytearray()
    for part in parts:
        _, at = _length(part, 1)
        content += part[at:]
    return _encoded(_STRING, bytes(content))


def _encoded(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _OPEN:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, _OPEN | size)) + length.to_bytes(size, "big") + content
