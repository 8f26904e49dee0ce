"""REPEAT: a short request that repeats an operation with other data.

The answer to a request of one of ``KINDS`` with the request id 0 has a number in place of the id. A REPEAT with that
number runs the prepared operation of that request on other data; its body is raw bytes instead of tagged values. The
HSM forgets a number when its key changes, when the session ends, and after 4096 repetitions, so that it times one whole
request. It gives no number twice.

No code of the project runs more often. A Python call takes as long as hashing sixty bytes, so there are few calls.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING, Any

from bridge.protocol.codec import LENGTH, MAX_FRAME, VERSION, correlation, encode_error
from bridge.protocol.operations import NUMBERS
from hsmcore.errors import NotRepeated

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

REPEAT = 34
"""The operation's number. It has no row in the operations table, because its body has no values."""
KINDS = {NUMBERS[name]: name for name in ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY")}
"""The operations that can be repeated, with the key attribute that permits each."""

_BODY = Struct(">IIQQQI")
"""Header, with version, reserved byte and operation as one field; number; length of the data's first part."""
_read = _BODY.unpack_from
_read_length = LENGTH.unpack_from
_pack_answer = Struct(">IBBHQQB").pack
"""Header, and the length of the IV that the HSM chose."""
_ANSWER = 21
"""Length of an answer without its length field, IV and result, in bytes."""
_START = _BODY.size
_KIND = VERSION << 24 | REPEAT
MARK = _KIND.to_bytes(4, "big")
"""Bytes 4 to 8 of a REPEAT."""

_BRIEF = 17 * 1024
"""Longest frame, in bytes, of a use that takes microseconds."""


class Span(Enum):
    """About how long a use takes, and whether it lets Python's lock go while it computes: only the longer ones do."""

    MICROSECONDS = 1
    MILLISECONDS = 2


_TRUTH = {False: b"\0", True: b"\1"}

Repeated = Callable[[bytes, bytes], tuple[bytes, bytes]]
"""A prepared operation in REPEAT's form.

It takes the first part of the data (an IV, or for VERIFY the data) and the rest, and returns the IV that the HSM chose
(empty if none) and the result.
"""


def answer(frame: memoryview, sessions: dict[int, Session]) -> tuple[bytes, bytes]:
    """Return the answer to a REPEAT in two pieces. Every ``Exception`` becomes an error response.

    Args:
        frame: Memory that begins with the request; it may be longer.
        sessions: The sessions of the connection, by session token.
    """
    try:
        length, kind, token, request, number, first = _read(frame)
        rest = _START + first
        end = length + 4
        if kind != _KIND or rest > end or end > len(frame):
            raise ValueError
        # Copied before use, because the client can change a shared buffer at any time.
        chosen, result = next(sessions[token].shortcuts[number])(
            frame[_START:rest].tobytes() if first else b"", frame[rest:end].tobytes()
        )
        size = len(result) + len(chosen) + _ANSWER
        if size + 4 > MAX_FRAME:
            raise ValueError
        return _pack_answer(size, VERSION, 0, 0, token, request, len(chosen)) + chosen, result
    except Exception:
        # The client sends the whole request, whose answer tells the error. A failed operation changes nothing.
        return encode_error(*correlation(frame), NotRepeated.code, "send the whole request"), b""


def span(frame: bytes, sessions: dict[int, Session]) -> Span | None:
    """Tell about how long it takes to answer one whole frame that is a REPEAT; return ``None`` for any other bytes."""
    if frame[4:8] != MARK or len(frame) < _START or _read_length(frame)[0] + 4 != len(frame):
        return None
    _, _, token, _, number, _ = _read(frame)
    session = sessions.get(token)
    if session is not None and number in session.brief and len(frame) <= _BRIEF:
        return Span.MICROSECONDS
    return Span.MILLISECONDS


def keep(hsm: Hsm, session: Session, operation: int, fields: list[Any]) -> int:
    """Return the number that repeats an answered request, 0 if the request cannot be repeated.

    Args:
        hsm: The HSM.
        session: The session of the request.
        operation: The number of the operation, one of ``KINDS``.
        fields: The fields of the request.
    """
    key, mechanism, parameters = fields[:3]
    if type(key) is not int or not (parameters is None or parameters.keys() == {"iv"}):
        return 0
    kind = KINDS[operation]
    return hsm.crypto.keep_shortcut(session, kind, key, mechanism, _FORMS[kind])


def _encrypting(run: Callable[..., Any]) -> Repeated:
    def repeated(iv: bytes, data: bytes) -> tuple[bytes, bytes]:
        result, chosen = run({"iv": iv} if iv else None, data)
        return chosen["iv"] if chosen else b"", result

    return repeated


def _giving_bytes(run: Callable[..., Any]) -> Repeated:
    return lambda iv, data: (b"", run({"iv": iv} if iv else None, data))


def _verifying(run: Callable[..., Any]) -> Repeated:
    return lambda data, signature: (b"", _TRUTH[run(None, data, signature)])


_FORMS = {"ENCRYPT": _encrypting, "DECRYPT": _giving_bytes, "SIGN": _giving_bytes, "VERIFY": _verifying}
