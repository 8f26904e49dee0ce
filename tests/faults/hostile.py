"""Frames that no client sends, from a seed: damaged, lying, nonsensical; none is a request that changes something."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from bridge.protocol import codec
from bridge.protocol.operations import OPERATIONS

_SAMPLES: dict[type, object] = {
    type(None): None, bool: True, int: 1, bytes: b"x", str: "x", list: [b"x"], dict: {"LABEL": "x"},
}  # fmt: skip
_ENDING = ("LOGOUT",)
"""Operations that a right request would end the session with."""


class Hostile:
    """A source of hostile frames for the holder of these session tokens."""

    def __init__(self, seed: int, tokens: list[int]) -> None:
        self._chance = random.Random(seed)
        self._tokens = tokens
        self._kinds = (
            self._noise,
            self._damaged,
            self._shuffled,
            self._lying,
            self._nested,
            self._extreme,
            self._header,
        )

    def frames(self, count: int) -> Iterator[bytes]:
        """Yield so many frames, each as long as its first four bytes say, or said to be of a length that is refused."""
        for _ in range(count):
            yield self._chance.choice(self._kinds)()

    def _framed(self, operation: int, body: bytes) -> bytes:
        ending = any(row.number == operation and row.name in _ENDING for row in OPERATIONS)
        token = (
            self._chance.getrandbits(63)
            if ending
            else self._chance.choice([0, self._chance.getrandbits(64), *self._tokens])
        )
        return codec.encode_frame(operation, token, self._chance.getrandbits(64), body)

    def _valid(self) -> tuple[int, list[object]]:
        row = self._chance.choice(OPERATIONS)
        return row.number, [_SAMPLES[self._chance.choice(field.types)] for field in row.fields]

    def _noise(self) -> bytes:
        """Any operation with any bytes."""
        number = self._chance.choice([self._chance.getrandbits(16), self._chance.choice(OPERATIONS).number])
        return self._framed(number, self._chance.randbytes(self._chance.randrange(1, 200)))

    def _damaged(self) -> bytes:
        """A body with some bits changed, cut or doubled."""
        number, fields = self._valid()
        body = bytearray(codec.encode_values(fields) or b"\x00")
        for _ in range(self._chance.randrange(1, 4)):
            body[self._chance.randrange(len(body))] ^= 1 << self._chance.randrange(8)
        cut = self._chance.randrange(len(body) + 1)
        return self._framed(number, bytes(self._chance.choice([body, body[:cut], body + body]) or b"\x09"))

    def _shuffled(self) -> bytes:
        """Fields of wrong types, in the wrong order or number."""
        number, fields = self._valid()
        fields += [self._chance.choice(list(_SAMPLES.values()))]
        self._chance.shuffle(fields)
        return self._framed(number, codec.encode_values(fields))

    def _lying(self) -> bytes:
        """A length or count that is not there."""
        number, fields = self._valid()
        tag = self._chance.choice([4, 5, 6, 7])
        size = self._chance.choice([0xFFFFFFFF, 0x7FFFFFFF, 1, 1 << 20, self._chance.getrandbits(32)])
        return self._framed(number, codec.encode_values(fields) + struct.pack(">BI", tag, size))

    def _nested(self) -> bytes:
        """Lists and maps within each other."""
        opening = self._chance.choice([b"\x06\x00\x00\x00\x01", b"\x07\x00\x00\x00\x01\x00\x00\x00\x01a"])
        return self._framed(self._valid()[0], opening * self._chance.choice([9, 100, 5000]) + b"\x00")

    def _extreme(self) -> bytes:
        """Fields of the right types with values at their limits."""
        row = self._chance.choice([row for row in OPERATIONS if row.name not in _ENDING and row.fields])
        values: dict[type, list[object]] = {
            type(None): [None], bool: [True], int: [0, -1, 2**63 - 1, -(2**63)],
            bytes: [b"", bytes(70_000), b"\xff" * 8],
            str: ["", "\x00", "x" * 5000, "../" * 20, "'; DROP TABLE keys; --", "\u202e\U0001f512"],
            list: [[], [None] * 500, [[[]]]], dict: [{}, {"": None}, {"LABEL": [1]}, {"TOKEN": 2, "x" * 300: b""}],
        }  # fmt: skip
        fields = [self._chance.choice(values[self._chance.choice(field.types)]) for field in row.fields]
        return self._framed(row.number, codec.encode_values(fields))

    def _header(self) -> bytes:
        """A header that is damaged, or says a length that is refused."""
        length = self._chance.choice([20, 20, 20, 0, 19, codec.MAX_FRAME, 0xFFFFFFFF])
        rest = struct.pack(">BBHQQ", *(self._chance.getrandbits(bits) for bits in (8, 8, 16, 64, 64)))
        return struct.pack(">I", length) + rest
