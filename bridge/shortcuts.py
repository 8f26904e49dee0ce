"""The short way for a request that differs from an earlier one in its data alone, which is what loops send.

The bytes from a request's version to its data name everything that the full way decides: version, operation, session,
key, mechanism and the shape of its parameters. After the full way has answered one, its function is kept in the session
under these bytes, and the next one costs a look-up. The HSM forgets it when the key changes or the session ends, and
lets one in 4096 go the full way, to time it.

A request fits when its operation is in ``KINDS``, its request id is 0, its key is a handle, its parameters are null or
a map of ``iv`` alone, and its last field is bytes. What does not fit, is not known or fails is left to the full way.

This is the hottest code of the project: a Python call costs as much here as hashing sixty bytes, so there are few.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from bridge.codec import IV_MAPS, LENGTH, MAX_FRAME, VERSION
from bridge.operations import NUMBERS

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions import Session

KINDS = {NUMBERS[name]: name for name in ("ENCRYPT", "DECRYPT", "SIGN")}
"""Operations with a short way, to the attribute that permits them."""
_ENCRYPT = NUMBERS["ENCRYPT"]

_read_frame = Struct(">I2xHQ18xI").unpack_from
"""Frame length without its field, operation, session token, and the length of the mechanism after a key's handle."""
_read_length = LENGTH.unpack_from
_pack_answer = Struct(">IBBHQQBI").pack
"""The header, and tag and length of a first result that is bytes."""
_join = b"".join

_NAME = 4
"""Where the name begins: after the length, which differs."""
_MECHANISM = 38
"""Where the mechanism's text begins: header (24), handle (9), tag and length of the text (5)."""
_NULL, _BYTES = 0, 4
_NULL_VALUE = bytes([_NULL])
_IV_PARAMETERS = 16
"""Bytes of a map of ``iv`` up to the value: tag, count, length and text of the key, tag and length of the value."""
_REQUEST_ID, _NO_REQUEST_ID = slice(16, 24), bytes(8)
_ANSWER = 25
"""Bytes of an answer besides its data: the header (without the length field), tag and length."""
_LONGEST = MAX_FRAME - 256
"""Longest data, in bytes: what is longer may have an answer that does not fit a frame."""


def answer(frame: bytes, sessions: dict[int, Session]) -> bytes | None:
    """Answer a frame, or return ``None`` where the full way must. Never raises an ``Exception``."""
    try:
        length, operation, token, text = _read_frame(frame)
        at = _MECHANISM + text
        if frame[at] == _NULL:
            run = next(sessions[token].shortcuts[frame[_NAME : at + 2]])
            data = at + 6
            parameters = None
        else:
            iv = at + _IV_PARAMETERS
            run = next(sessions[token].shortcuts[frame[_NAME:iv]])
            data = iv + _read_length(frame, iv - 4)[0] + 5
            parameters = {"iv": frame[iv : data - 5]}
            if frame[data - 5] != _BYTES:
                return None
        size = _read_length(frame, data - 4)[0]
        if data + size != length + 4 or size > _LONGEST:
            return None
        if operation != _ENCRYPT:
            result: bytes = run(parameters, frame[data:])
            size = len(result)
            return _pack_answer(size + _ANSWER, VERSION, 0, 0, token, 0, _BYTES, size) + result
        result, chosen = run(parameters, frame[data:])
        start, iv = (IV_MAPS[len(chosen["iv"])], chosen["iv"]) if chosen else (_NULL_VALUE, b"")
        size = len(result)
        rest = size + _ANSWER + len(start) + len(iv)
        return _join((_pack_answer(rest, VERSION, 0, 0, token, 0, _BYTES, size), result, start, iv))
    except Exception:
        # The full way does it again and says what is wrong. A use of a key that fails changes nothing.
        return None


def keep(hsm: Hsm, session: Session, frame: bytes, fields: list[Any]) -> None:
    """Remember a request of one of ``KINDS`` that the full way has answered, if it fits."""
    _, operation, _, text = _read_frame(frame)
    if frame[_REQUEST_ID] != _NO_REQUEST_ID or type(fields[0]) is not int:
        return
    key, mechanism, parameters = fields[:3]
    if parameters is None:
        end = _MECHANISM + text + 2
    elif parameters.keys() == {"iv"} and type(parameters["iv"]) is bytes:
        end = _MECHANISM + text + _IV_PARAMETERS
    else:
        return
    hsm.keep_shortcut(session, frame[_NAME:end], KINDS[operation], key, mechanism)
