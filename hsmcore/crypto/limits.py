"""CloudHSM's limits on the length of data, for an HSM that was initialised with strict limits.

A limit applies to each request: to the data of a one-shot operation, and to each part of a multi-part operation.
"""

from __future__ import annotations

from collections.abc import Callable

from hsmcore.errors import DataLengthInvalid
from hsmcore.primitives import Run, Stream
from hsmcore.primitives.families import Begin
from hsmcore.primitives.parameters import Parameters
from hsmcore.tables.mechanisms import Mechanism, Operation

OVERHEAD = 16
"""Bytes by which a ciphertext may exceed the limit: padding to a block, or a tag."""


def limited(row: Mechanism, kind: Operation, run: Run) -> Run:
    """Return the operation with the mechanism's limit. It raises ``DataLengthInvalid`` for longer data."""
    check = _check(row, kind)

    def within(parameters: object, data: bytes, *rest: bytes) -> object:
        check(data)
        return run(parameters, data, *rest)

    return within


def limited_stream(row: Mechanism, kind: Operation, begin: Begin) -> Begin:
    """Return the multi-part operation with the mechanism's limit on each part."""
    check = _check(row, kind)

    def within(parameters: Parameters) -> tuple[Stream, dict[str, object] | None]:
        stream, chosen = begin(parameters)
        return _LimitedStream(stream, check), chosen

    return within


class _LimitedStream:
    def __init__(self, stream: Stream, check: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._check = check

    def update(self, data: bytes) -> bytes:
        self._check(data)
        return self._stream.update(data)

    def finish(self, data: bytes) -> bytes:
        self._check(data)
        return self._stream.finish(data)


def _check(row: Mechanism, kind: Operation) -> Callable[[bytes], None]:
    longest = row.limit + (OVERHEAD if kind is Operation.DECRYPT else 0)

    def check(data: bytes) -> None:
        if len(data) > longest:
            raise DataLengthInvalid(
                f"{row.name} takes at most {longest} bytes at once, not {len(data)}: this HSM has strict limits"
            )

    return check
