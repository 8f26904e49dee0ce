"""The functions about slot, token, mechanisms, sessions, login and random bytes."""

from __future__ import annotations

from bridge.cryptoki.application import MAX_SESSIONS, Application
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.mechanisms import MECHANISMS, ROWS, Use
from bridge.cryptoki.numbers import (
    RW_SESSION,
    SERIAL_SESSION,
    STATES,
    TOKEN_FLAGS,
    UNAVAILABLE,
    USER,
    Rv,
)
from hsmcore.api.crypto import MAX_RANDOM

Outputs = list[object]

TOKEN_LABEL = "hsm1"  # noqa: S105 (a name)
"""The token's label, that of AWS CloudHSM's Client SDK 5."""
MAX_RANDOM_BYTES = 1 << 20
"""Random bytes in one call."""


def token_info(app: Application) -> Outputs:
    """``C_GetTokenInfo``: label, manufacturer, model, serial number, flags, the ten numbers, and the versions."""
    info = app.hsm.info()
    version = [int(info.get(f"hardware-version-{part}", "0")) for part in ("major", "minor")]
    version += [int(info.get(f"firmware-version-{part}", "0")) for part in ("major", "minor")]
    counts = [MAX_SESSIONS, app.session_count, MAX_SESSIONS, app.session_count, 64, 3]
    memory = [UNAVAILABLE] * 4
    return [TOKEN_LABEL, info["vendor"], info["model"], info["serial-number"], TOKEN_FLAGS, counts + memory, version]


def mechanism_list(app: Application) -> Outputs:
    """``C_GetMechanismList``."""
    return [[row.number for row in ROWS if row.listed]]


def mechanism_info(app: Application, number: int) -> Outputs:
    """``C_GetMechanismInfo``: minimum and maximum of the key, flags.

    Raises:
        Refused: ``CKR_MECHANISM_INVALID``.
    """
    row = MECHANISMS.get(number)
    if row is None:
        raise Refused(Rv.MECHANISM_INVALID)
    return [*row.keys.sizes, int(row.uses | (Use.HARDWARE if row.key_type else Use(0)))]


def open_session(app: Application, flags: int) -> Outputs:
    """``C_OpenSession``. The original has read-write sessions only.

    Raises:
        Refused: ``CKR_SESSION_PARALLEL_NOT_SUPPORTED``, or ``CKR_FUNCTION_FAILED`` for a read-only session.
    """
    if not flags & SERIAL_SESSION:
        raise Refused(Rv.SESSION_PARALLEL_NOT_SUPPORTED)
    read_write = bool(flags & RW_SESSION)
    if not read_write and app.options.get("enable_read_only_sessions") is not True:
        raise Refused(Rv.FUNCTION_FAILED)
    return [app.open_session(read_write=read_write)]


def close_session(app: Application, handle: int) -> Outputs:
    """``C_CloseSession``."""
    app.close_session(handle)
    return []


def close_all_sessions(app: Application) -> Outputs:
    """``C_CloseAllSessions``."""
    app.close_all()
    return []


def session_info(app: Application, handle: int) -> Outputs:
    """``C_GetSessionInfo``: state and flags."""
    with app.session(handle) as session:
        flags = SERIAL_SESSION | (RW_SESSION if session.read_write else 0)
        return [STATES[session.read_write, app.login is not None], flags]


def login(app: Application, handle: int, user_type: int, pin: bytes | None) -> Outputs:
    """``C_Login`` with the PIN ``user:password``; the result is the session token.

    Raises:
        Refused: ``CKR_USER_TYPE_INVALID``, ``CKR_ARGUMENTS_BAD`` or ``CKR_PIN_INCORRECT``.
    """
    with app.session(handle):
        if user_type != USER:
            raise Refused(Rv.USER_TYPE_INVALID)
        if pin is None:
            raise Refused(Rv.ARGUMENTS_BAD)
        name, colon, password = pin.partition(b":")
        try:
            named = name.decode()
        except UnicodeDecodeError:
            raise Refused(Rv.PIN_INCORRECT) from None
        if not colon and app.login is None:
            raise Refused(Rv.PIN_INCORRECT)
        return [app.log_in(named, password).token]


def logout(app: Application, handle: int) -> Outputs:
    """``C_Logout``."""
    with app.session(handle):
        app.user()
        app.log_out()
        return []


def generate_random(app: Application, handle: int, length: int) -> Outputs:
    """``C_GenerateRandom``.

    Raises:
        Refused: ``CKR_ARGUMENTS_BAD``.
    """
    with app.session(handle):
        user = app.user()
        if not 0 <= length <= MAX_RANDOM_BYTES:
            raise Refused(Rv.ARGUMENTS_BAD)
        pieces = [MAX_RANDOM] * (length // MAX_RANDOM) + [length % MAX_RANDOM]
        return [b"".join(app.hsm.crypto.random(user, piece) for piece in pieces if piece)]
