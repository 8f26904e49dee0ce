"""The codec: what it writes it reads, and what it cannot read it refuses in one way only."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol import codec
from hsmcore.errors import FrameTooLarge, MalformedRequest, UnsupportedVersion

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40), st.text(max_size=20)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
_FIELDS = st.lists(_VALUES, max_size=5)
_WORDS = st.integers(0, 2**64 - 1)


def _nested(depth: int) -> object:
    value: object = []
    for _ in range(depth - 1):
        value = [value]
    return value


def _frame(body: bytes) -> bytes:
    return struct.pack(">IBBHQQ", 20 + len(body), 1, 0, 4, 0, 1) + body


def test_a_request_on_the_wire() -> None:
    frame = codec.encode_request(1, 0, 7, (1, 1, "hsm"))
    assert frame == bytes.fromhex(
        "0000002e 01 00 0001 0000000000000000 0000000000000007"
        "03 0000000000000001 03 0000000000000001 05 00000003 68736d"
    )


@given(fields=_FIELDS, session=_WORDS, request=_WORDS, operation=st.integers(0, 65535))
def test_round_trip(fields: list[object], session: int, request: int, operation: int) -> None:
    frame = codec.encode_request(operation, session, request, fields)
    assert codec.frame_length(frame) == len(frame)
    assert codec.decode_header(frame) == (operation, session, request)
    decoded = codec.decode_values(frame)
    assert decoded == fields
    assert [type(value) for value in decoded] == [type(value) for value in fields]


@given(fields=_FIELDS)
def test_every_truncation_is_refused_or_a_prefix(fields: list[object]) -> None:
    frame = codec.encode_request(1, 0, 0, fields)
    for end in range(codec.HEADER_LENGTH, len(frame)):
        try:
            decoded = codec.decode_values(frame[:end])
        except MalformedRequest:
            continue
        assert decoded == fields[: len(decoded)]
        assert len(decoded) < len(fields)


@given(body=st.binary(max_size=200))
def test_random_bytes_decode_or_are_malformed(body: bytes) -> None:
    try:
        values = codec.decode_values(_frame(body))
    except MalformedRequest:
        return
    assert codec.decode_values(_frame(codec.encode_values(values))) == values


@given(data=st.binary(max_size=60), session=_WORDS)
def test_quick_encodings_are_the_general_ones(data: bytes, session: int) -> None:
    whole = codec.encode_frame(0, session, 9, codec.encode_values((data,)))
    assert codec.encode_bytes_response(session, 9, data) == whole


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("08", id="unknown tag"),
        pytest.param("ff", id="unknown tag 255"),
        pytest.param("03 00000000000000", id="short integer"),
        pytest.param("04 0000", id="short length"),
        pytest.param("04 00000005 01020304", id="bytes beyond the end"),
        pytest.param("04 ffffffff", id="bytes of 4 GiB"),
        pytest.param("05 00000001 ff", id="not UTF-8"),
        pytest.param("05 00000003 eda080", id="a surrogate"),
        pytest.param("06 ffffffff", id="a list of 2**32 - 1"),
        pytest.param("06 00000003 0000", id="a list cut short"),
        pytest.param("07 00000001 00000001", id="a map cut short"),
        pytest.param("07 00000002 00000001 61 00 00000001 61 00", id="a key twice"),
        pytest.param("07 00000001 00000001 ff 00", id="a key that is not UTF-8"),
    ],
)
def test_malformed_values(body: str) -> None:
    with pytest.raises(MalformedRequest):
        codec.decode_values(_frame(bytes.fromhex(body)))


def test_nesting_has_a_limit_both_ways() -> None:
    assert codec.decode_values(_frame(codec.encode_values([_nested(8)]))) == [_nested(8)]
    with pytest.raises(TypeError):
        codec.encode_values([_nested(9)])
    deeper = bytes.fromhex("0600000001") * 100_000 + b"\x00"
    with pytest.raises(MalformedRequest, match="deeper"):
        codec.decode_values(_frame(deeper))


@pytest.mark.parametrize("length", [0, 1, 19])
def test_a_length_below_the_header_is_malformed(length: int) -> None:
    with pytest.raises(MalformedRequest):
        codec.frame_length(struct.pack(">I", length))


def test_a_length_above_the_limit_is_too_large() -> None:
    assert codec.frame_length(struct.pack(">I", codec.MAX_FRAME - 4)) == codec.MAX_FRAME
    for length in (codec.MAX_FRAME - 3, 0xFFFFFFFF):
        with pytest.raises(FrameTooLarge):
            codec.frame_length(struct.pack(">I", length))


def test_nothing_above_the_limit_is_written() -> None:
    data = bytes(codec.MAX_FRAME - codec.HEADER_LENGTH - 5)
    assert len(codec.encode_bytes_response(1, 1, data)) == codec.MAX_FRAME
    for encode in (
        lambda: codec.encode_bytes_response(1, 1, data + b"x"),
        lambda: codec.encode_request(1, 1, 1, (data + b"x",)),
    ):
        with pytest.raises(FrameTooLarge):
            encode()


def test_damaged_headers() -> None:
    frame = codec.encode_request(4, 0, 1, ())
    with pytest.raises(UnsupportedVersion):
        codec.decode_header(frame[:4] + b"\x02" + frame[5:])
    for damaged in (frame[:23], frame + b"\x00", frame[:5] + b"\x01" + frame[6:], b""):
        with pytest.raises(MalformedRequest):
            codec.decode_header(damaged)


@pytest.mark.parametrize("value", [1.5, {1}, bytearray(b"x"), object()])
def test_other_types_have_no_encoding(value: object) -> None:
    with pytest.raises(TypeError):
        codec.encode_values((value,))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_have_64_bits(value: int) -> None:
    with pytest.raises(OverflowError):
        codec.encode_values((value,))
