"""REPEAT: a short request that repeats an operation with other data.

The answer to a request of one of ``KINDS`` with the request id 0 has a number in place of the id. A REPEAT with that
number runs the prepared operation of that request on other data; its body is raw bytes instead of tagged values. The
HSM forgets a number when its key changes, when the session ends, and after 4096 repetitions, so that it times one whole
request. It gives no number twice.

No code of the project runs more often. A Python call takes as long as hashing sixty bytes, so there are few calls.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from bridge.protocol.codec import MAX_FRAME, VERSION, correlation, encode_error
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
_pack_answer = Struct(">IBBHQQB").pack
"""Header, and the length of the IV that the HSM chose."""
_ANSWER = 21
"""Length of an answer without its length field, IV and result, in bytes."""
_START = _BODY.size
_KIND = VERSION << 24 | REPEAT
MARK = _KIND.to_bytes(4, "big")
"""Bytes 4 to 8 of a REPEAT."""

SHORT = 17 * 1024
"""Longest frame, in bytes, of an operation that takes microseconds and holds the interpreter lock all the time."""

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
            return _not_repeated(frame), b""
        # Copied before use, because the client can change a shared buffer at any time.
        chosen, result = next(sessions[token].shortcuts[number])(
            frame[_START:rest].tobytes() if first else b"", frame[rest:end].tobytes()
        )
        size = len(result) + len(chosen) + _ANSWER
        if size + 4 > MAX_FRAME:
            return _not_repeated(frame), b""
        return _pack_answer(size, VERSION, 0, 0, token, request, len(chosen)) + chosen, result
    except Exception:
        return _not_repeated(frame), b""


def answer_short(received: bytes, sessions: dict[int, Session]) -> bytes | None:
    """Return the answer to one whole REPEAT that takes microseconds, and ``None`` for any other bytes.

    Args:
        received: Bytes from a client.
        sessions: The sessions of the connection, by session token.
    """
    size = len(received)
    if not _START <= size <= SHORT:
        return None
    length, kind, token, request, number, first = _read(received)
    session = sessions.get(token)
    rest = _START + first
    if kind != _KIND or length + 4 != size or rest > size or session is None or number not in session.brief:
        return None
    try:
        chosen, result = next(session.shortcuts[number])(received[_START:rest] if first else b"", received[rest:])
        size = len(result) + len(chosen) + _ANSWER
        return b"".join((_pack_answer(size, VERSION, 0, 0, token, request, len(chosen)), chosen, result))
    except Exception:
        return _not_repeated(received)


def _not_repeated(frame: bytes | memoryview) -> bytes:
    """Return the error after which the client sends the whole request, whose answer tells the error.

    A failed operation changes nothing.
    """
    return encode_error(*correlation(frame), NotRepeated.code, "send the whole request")


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
