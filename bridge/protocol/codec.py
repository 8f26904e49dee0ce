"""Encoding and decoding of frames, as ``bridge/PROTOCOL.md`` defines them. No I/O, no HSM.

Almost every request passes ``decode_values`` and one of the ``encode_*`` functions, so these are written for speed:
precompiled layouts, exact type tests and one loop for each level of nesting. Bytes that are not a frame raise
``MalformedRequest``, ``FrameTooLarge`` or ``UnsupportedVersion``, and no other exception.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from struct import Struct

from hsmcore.errors import FrameTooLarge, MalformedRequest, UnsupportedVersion

VERSION = 1
HEADER_LENGTH = 24
"""Length of the header with its length field, in bytes."""
MAX_FRAME = 64 * 1024 * 1024
"""Length of the longest frame with its header, in bytes (64 MiB)."""
MAX_DEPTH = 8
"""Deepest nesting of lists and maps."""

LENGTH = Struct(">I")
"""A 4-byte length or count."""
_HEADER = Struct(">IBBHQQ")

_read_length = LENGTH.unpack_from
_read_integer = Struct(">q").unpack_from
_read_header = _HEADER.unpack_from
_pack_header = _HEADER.pack
_pack_header_and_bytes = Struct(">IBBHQQBI").pack
_pack_tagged_integer = Struct(">Bq").pack
_pack_tagged_length = Struct(">BI").pack

_NULL, _FALSE, _TRUE, _INT, _BYTES, _TEXT, _LIST, _MAP = range(8)
_CONSTANTS = (None, False, True)

Value = object
"""A field or result: None, bool, int (64 bits, signed), bytes, str, list of values, or dict of str to value."""


def frame_length(prefix: bytes | bytearray | memoryview) -> int:
    """Return the length of a frame with its length field, in bytes.

    The bytes after a frame with a wrong length cannot be trusted, so the caller closes the connection.

    Args:
        prefix: The first 4 bytes of the frame, or more.

    Raises:
        MalformedRequest: The frame is shorter than a header.
        FrameTooLarge: The frame is longer than ``MAX_FRAME``.
    """
    length = int(_read_length(prefix, 0)[0]) + 4
    if length < HEADER_LENGTH:
        raise MalformedRequest(f"a frame has at least {HEADER_LENGTH} bytes, this one says {length}")
    if length > MAX_FRAME:
        raise FrameTooLarge(f"a frame has at most {MAX_FRAME} bytes, this one says {length}")
    return length


def decode_header(frame: bytes) -> tuple[int, int, int]:
    """Return operation or status, session token and request id of one whole frame.

    Raises:
        UnsupportedVersion: The frame has another protocol version.
        MalformedRequest: The frame's length or its reserved byte is wrong.
    """
    if len(frame) < HEADER_LENGTH:
        raise MalformedRequest(f"a frame has at least {HEADER_LENGTH} bytes, this one has {len(frame)}")
    length, version, reserved, operation, session, request = _read_header(frame)
    if version != VERSION:
        raise UnsupportedVersion(f"protocol version {version} is not spoken here, version {VERSION} is")
    if length + 4 != len(frame) or reserved:
        raise MalformedRequest("the frame's length or reserved byte is wrong")
    return operation, session, request


def correlation(frame: bytes | memoryview) -> tuple[int, int]:
    """Return session token and request id of a frame that may be damaged; both are 0 if it is too short."""
    if len(frame) < HEADER_LENGTH:
        return 0, 0
    _, _, _, _, session, request = _read_header(frame)
    return session, request


def decode_values(frame: bytes, at: int = HEADER_LENGTH) -> list[Value]:
    """Decode the values from offset ``at`` to the end of a frame.

    Raises:
        MalformedRequest: A tag is unknown, a length or count exceeds the frame, a text is not UTF-8, a map has the same
            key twice, or values nest deeper than ``MAX_DEPTH``.
    """
    values: list[Value] = []
    append = values.append
    end = len(frame)
    try:
        while at < end:
            tag = frame[at]
            if tag == _BYTES or tag == _TEXT:
                start = at + 5
                at = start + _read_length(frame, at + 1)[0]
                if at > end:
                    raise MalformedRequest("a value is longer than its frame")
                append(frame[start:at] if tag == _BYTES else str(frame[start:at], "utf-8"))
            elif tag == _INT:
                append(_read_integer(frame, at + 1)[0])
                at += 9
            elif tag <= _TRUE:
                append(_CONSTANTS[tag])
                at += 1
            else:
                value, at = _decode_one(frame, at, 1)
                append(value)
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise MalformedRequest("a value does not decode") from error
    return values


def _decode_one(frame: bytes, at: int, depth: int) -> tuple[Value, int]:
    """Return the value at ``at`` and the offset after it; ``depth`` is the nesting level of a list or map there.

    Raises:
        MalformedRequest: A tag is unknown, a length or count exceeds the frame, or values nest too deep.
    """
    tag = frame[at]
    if tag <= _TRUE:
        return _CONSTANTS[tag], at + 1
    if tag == _INT:
        return _read_integer(frame, at + 1)[0], at + 9
    if tag == _BYTES or tag == _TEXT:
        raw, at = _decode_run(frame, at + 1)
        return (raw if tag == _BYTES else str(raw, "utf-8")), at
    if tag > _MAP:
        raise MalformedRequest(f"there is no value with tag {tag}")
    if depth > MAX_DEPTH:
        raise MalformedRequest(f"values nest deeper than {MAX_DEPTH}")
    count = _read_length(frame, at + 1)[0]
    # An element has at least one byte, a pair five. An impossible count is refused before it takes memory.
    if count * (5 if tag == _MAP else 1) > len(frame) - at - 5:
        raise MalformedRequest("a list or map counts more than its frame holds")
    return (_decode_map if tag == _MAP else _decode_list)(frame, at + 5, count, depth)


def _decode_run(frame: bytes, at: int) -> tuple[bytes, int]:
    start = at + 4
    end = start + _read_length(frame, at)[0]
    if end > len(frame):
        raise MalformedRequest("a value is longer than its frame")
    return frame[start:end], end


def _decode_list(frame: bytes, at: int, count: int, depth: int) -> tuple[list[Value], int]:
    values = []
    for _ in range(count):
        value, at = _decode_one(frame, at, depth + 1)
        values.append(value)
    return values, at


def _decode_map(frame: bytes, at: int, count: int, depth: int) -> tuple[dict[str, Value], int]:
    pairs: dict[str, Value] = {}
    for _ in range(count):
        start = at + 4
        at = start + _read_length(frame, at)[0]
        # Slicing cuts a key that exceeds the frame; reading the tag of its value then raises an IndexError.
        key = str(frame[start:at], "utf-8")
        if key in pairs:
            raise MalformedRequest("a map has the same key twice")
        if frame[at] == _BYTES:
            pairs[key], at = _decode_run(frame, at + 1)
        else:
            pairs[key], at = _decode_one(frame, at, depth + 1)
    return pairs, at


def encode_request(operation: int, session: int, request: int, fields: Iterable[Value]) -> bytes:
    """Return the frame of one request."""
    return encode_frame(operation, session, request, encode_values(fields))


def encode_frame(status: int, session: int, request: int, body: bytes) -> bytes:
    """Return a frame.

    Args:
        status: The operation in a request; 0 or the code of an error in a response.
        session: The session token.
        request: The request id.
        body: The encoded values.

    Raises:
        FrameTooLarge: The frame would be longer than ``MAX_FRAME``.
    """
    length = len(body) + HEADER_LENGTH
    if length > MAX_FRAME:
        raise FrameTooLarge(
            f"the message is {length} bytes long, a frame at most {MAX_FRAME}; use a multi-part operation"
        )
    return _pack_header(length - 4, VERSION, 0, status, session, request) + body


def with_request(response: bytes, request: int) -> bytes:
    """Return a response with another request id."""
    return encode_frame(*decode_header(response)[:2], request, response[HEADER_LENGTH:])


def encode_error(session: int, request: int, code: int, message: str) -> bytes:
    """Return the frame of an error response."""
    return encode_frame(code, session, request, encode_values((message,)))


def encode_bytes_response(session: int, request: int, data: bytes) -> bytes:
    """Return the frame of a response whose one result is bytes. Most responses are, so this takes one step.

    Raises:
        FrameTooLarge: The frame would be longer than ``MAX_FRAME``.
    """
    length = len(data)
    if length > MAX_FRAME - HEADER_LENGTH - 5:
        raise FrameTooLarge(f"the result of {length} bytes does not fit a frame; use a multi-part operation")
    return _pack_header_and_bytes(length + HEADER_LENGTH + 1, VERSION, 0, 0, session, request, _BYTES, length) + data


def encode_values(values: Iterable[Value]) -> bytes:
    """Return the encoding of the values, one after the other."""
    parts: list[bytes] = []
    for value in values:
        _encode_one(parts.append, value, 1)
    return b"".join(parts)


def _encode_one(append: Callable[[bytes], None], value: Value, depth: int) -> None:
    if type(value) is bytes:
        append(_pack_tagged_length(_BYTES, len(value)))
        append(value)
    elif type(value) is str:
        raw = value.encode()
        append(_pack_tagged_length(_TEXT, len(raw)))
        append(raw)
    elif value is None or value is False or value is True:
        append(_ENCODED_CONSTANTS[value])
    elif isinstance(value, int):
        append(_tagged_integer(int(value)))
    elif isinstance(value, (list, tuple, dict)):
        _encode_container(append, value, depth)
    elif isinstance(value, str):
        _encode_one(append, str(value), depth)
    else:
        raise TypeError(f"a {type(value).__name__} has no encoding")


_ENCODED_CONSTANTS = {None: bytes([_NULL]), False: bytes([_FALSE]), True: bytes([_TRUE])}


def _tagged_integer(value: int) -> bytes:
    try:
        return _pack_tagged_integer(_INT, value)
    except struct.error as error:
        raise OverflowError("an integer has at most 64 bits") from error


def _encode_container(append: Callable[[bytes], None], value: Iterable[Value], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TypeError(f"values nest at most {MAX_DEPTH} deep")
    if isinstance(value, dict):
        append(_pack_tagged_length(_MAP, len(value)))
        for key, item in value.items():
            raw = key.encode()
            append(LENGTH.pack(len(raw)))
            append(raw)
            _encode_one(append, item, depth + 1)
        return
    items = list(value)
    append(_pack_tagged_length(_LIST, len(items)))
    for item in items:
        _encode_one(append, item, depth + 1)
