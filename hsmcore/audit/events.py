"""Opcodes, log types and responses of CloudHSM's audit log, and the table of the methods that are commands.

A method that changes users, keys or sessions, or returns key material, has a row in ``EVENTS``. One that uses or reads
keys has none, as in CloudHSM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hsmcore.errors import AuthenticationFailed, HsmError, KeyNotFound, UserUnknown

OPCODES: Mapping[str, int | None] = {
    "CN_INIT_TOKEN": 0x1,
    "CN_CREATE_USER": 0x3,
    "CN_CREATE_CO": 0x4,
    "CN_CHANGE_PSWD": 0x9,
    "CN_LOGIN": 0xD,
    "CN_LOGOUT": 0xE,
    "CN_DESTROY_OBJECT": 0x11,
    "CN_SHARE_OBJECT": 0x12,
    "CN_GENERATE_KEY": 0x17,
    "CN_GENERATE_KEY_PAIR": 0x19,
    "CN_WRAP_KEY": 0x1A,
    "CN_UNWRAP_KEY": 0x1B,
    "CN_GEN_PSWD_ENC_KEY": 0x1D,
    "CN_NIST_AES_WRAP": 0x1E,
    "CN_INIT_DONE": 0x95,
    "CN_DELETE_USER": 0xA1,
    "CN_EXTRACT_MASKED_OBJECT_USER": 0xF0,
    "CN_INSERT_MASKED_OBJECT_USER": 0xF1,
    "CN_CREATE_APPLIANCE_USER": 0xFC,
    "CN_APP_FINALIZE": None,
    "CN_CLOSE_SESSION": None,
    "CN_SET_M_VALUE": None,
    "CN_APPROVE_TOKEN": None,
    "CN_DELETE_TOKEN": None,
    "CN_GET_TOKEN": None,
    "CN_CREATE_OBJECT": None,
    "CN_MODIFY_OBJECT": None,
    "CN_TOMBSTONE_OBJECT": None,
    "CN_DERIVE_KEY": None,
    "CN_BACKUP_BEGIN": None,
    "CN_BACKUP_END": None,
    "CN_RESTORE_BEGIN": None,
    "CN_RESTORE_END": None,
    "CN_CERT_AUTH_STORE_CERT": None,
    "CN_GEN_KEY_ENC_KEY": None,
    "CN_FIPS_RAND": None,
    "HSM_REGISTER_APPROVER": None,
    "HSM_REQUEST_CERTIFICATE": None,
    "HSM_REGISTER_TRUST_ANCHOR": None,
    "HSM_DEREGISTER_TRUST_ANCHOR": None,
    "HSM_SET_ENFORCEMENT": None,
    "HSM_LOG_BEGINS": None,
    "HSM_LOG_BROKEN": None,
    "HSM_ROWS_BOUND": None,
    "HSM_JOINED": None,
    "HSM_LEFT": None,
    "HSM_QUORUM_TOKEN_USED": None,
    "HSM_RESET": None,
    "HSM_BACKUP_DELETE": None,
    "HSM_MASTER_KEY_RESEALED": None,
    "HSM_MASTER_KEY_CHANGED": None,
}
"""Opcode to its number; ``None`` where the original's documentation never shows one. ``HSM_`` marks this HSM's own."""

_COMMAND_TYPES = {"CN_MGMT_CMD": 0x0, "CN_CERT_AUTH_CMD": 0x9}


class LogType(Enum):
    """The kind of details of an entry. A value is its name in the log."""

    MINIMAL = "MINIMAL_LOG_ENTRY"
    KEY = "MGMT_KEY_DETAILS_LOG"
    USER = "MGMT_USER_DETAILS_LOG"
    GENERIC = "GENERIC_LOG"
    SHARE = "UNKNOWN_LOG_TYPE"


LOG_TYPES: Mapping[str, int | None] = {
    LogType.MINIMAL.value: 0,
    LogType.KEY.value: 1,
    LogType.USER.value: 2,
    LogType.GENERIC.value: None,
    LogType.SHARE.value: 5,
}
"""Log type to its number; the original prints ``UNKNOWN_LOG_TYPE (5)`` for a share."""

USER_TYPES = {"crypto-user": 1, "admin": 2, "internal(APPLIANCE_USER)": 5, "unactivated-admin": 6}
"""Role to the number of the user type. An unknown role has the number 0."""
_USER_TYPE_NAMES = {
    1: "CN_CRYPTO_USER",
    2: "CN_CRYPTO_OFFICER",
    5: "CN_APPLIANCE_USER",
    6: "CN_CRYPTO_PRE_OFFICER",
}

_RESPONSES: Mapping[type[HsmError], tuple[int, str]] = {
    UserUnknown: (157, "user isn't initialized or user with this name doesn't exist"),
    AuthenticationFailed: (163, "RET_USER_LOGIN_FAILURE"),
    KeyNotFound: (168, "Invalid object handle is passed to this operation"),
}
"""Errors for which the original's documentation shows code and text; others have the code of ``hsmcore.errors``."""


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of command in the log.

    ``variants`` maps a role, or ``token`` for a token key, to an opcode of its own. ``key`` names the parameter that
    has the handle of the key in question.
    """

    opcode: str
    log_type: LogType
    variants: Mapping[str, str] = field(default_factory=dict)
    key: str = "handle"


_CREATED = {"admin": "CN_CREATE_CO", "unactivated-admin": "CN_CREATE_CO"}
_DESTROYED = {"token": "CN_TOMBSTONE_OBJECT"}

RESET = Event("HSM_RESET", LogType.GENERIC)
"""An entry that ends every row that it does not name."""

EVENTS: Mapping[str, Event] = {
    "users.login": Event("CN_LOGIN", LogType.USER),
    "users.logout": Event("CN_LOGOUT", LogType.USER),
    "users.abandon": Event("CN_APP_FINALIZE", LogType.USER),
    "users.close_session": Event("CN_CLOSE_SESSION", LogType.USER),
    "users.create": Event("CN_CREATE_USER", LogType.USER, _CREATED),
    "users.delete": Event("CN_DELETE_USER", LogType.USER),
    "users.change_password": Event("CN_CHANGE_PSWD", LogType.USER),
    "users.recover": Event("CN_CHANGE_PSWD", LogType.USER),
    "keys.generate": Event("CN_GENERATE_KEY", LogType.KEY),
    "keys.generate_pair": Event("CN_GENERATE_KEY_PAIR", LogType.KEY),
    "keys.import_": Event("CN_CREATE_OBJECT", LogType.KEY),
    "keys.set_attributes": Event("CN_MODIFY_OBJECT", LogType.KEY),
    "keys.destroy": Event("CN_DESTROY_OBJECT", LogType.KEY, _DESTROYED),
    "keys.clear_value": Event("CN_WRAP_KEY", LogType.KEY),
    "keys.wrap": Event("CN_WRAP_KEY", LogType.KEY, key="target"),
    "keys.unwrap": Event("CN_UNWRAP_KEY", LogType.KEY),
    "keys.store_certificate": Event("CN_CREATE_OBJECT", LogType.KEY),
    "keys.derive": Event("CN_DERIVE_KEY", LogType.KEY),
    "keys.share": Event("CN_SHARE_OBJECT", LogType.SHARE),
    "keys.unshare": Event("CN_SHARE_OBJECT", LogType.SHARE),
    "users.activate": Event("CN_CHANGE_PSWD", LogType.USER),
    "users.login_mfa": Event("CN_LOGIN", LogType.USER),
    "users.register_mfa": Event("CN_CHANGE_PSWD", LogType.USER),
    "users.deregister_mfa": Event("CN_CHANGE_PSWD", LogType.USER),
    "quorum.register": Event("HSM_REGISTER_APPROVER", LogType.USER),
    "quorum.request": Event("CN_GET_TOKEN", LogType.USER),
    "quorum.approve": Event("CN_APPROVE_TOKEN", LogType.USER),
    "quorum.delete_tokens": Event("CN_DELETE_TOKEN", LogType.USER),
    "quorum.set_value": Event("CN_SET_M_VALUE", LogType.USER),
    "quorum.set_timeout": Event("CN_SET_M_VALUE", LogType.USER),
    "keys.set_quorum": Event("CN_SET_M_VALUE", LogType.USER),
    "reset.run": RESET,
    "clones.extract_key": Event("CN_EXTRACT_MASKED_OBJECT_USER", LogType.KEY),
    "clones.insert_key": Event("CN_INSERT_MASKED_OBJECT_USER", LogType.KEY),
    "clones.extract_user": Event("CN_EXTRACT_MASKED_OBJECT_USER", LogType.USER),
    "clones.insert_user": Event("CN_INSERT_MASKED_OBJECT_USER", LogType.USER),
    "tls.request": Event("HSM_REQUEST_CERTIFICATE", LogType.GENERIC),
    "tls.initialize": Event("CN_CERT_AUTH_STORE_CERT", LogType.GENERIC),
    "mtls.register": Event("HSM_REGISTER_TRUST_ANCHOR", LogType.USER),
    "mtls.deregister": Event("HSM_DEREGISTER_TRUST_ANCHOR", LogType.USER),
    "mtls.set_enforcement": Event("HSM_SET_ENFORCEMENT", LogType.USER),
    "backups.create": Event("CN_BACKUP_END", LogType.GENERIC),
    "backups.delete": Event("HSM_BACKUP_DELETE", LogType.GENERIC),
}
"""A service's method, ``service.method``, to its event."""

INITIALIZATION = (
    Event("CN_INIT_TOKEN", LogType.MINIMAL),
    Event("CN_GEN_PSWD_ENC_KEY", LogType.MINIMAL),
    Event("CN_CREATE_APPLIANCE_USER", LogType.USER),
    Event("CN_INIT_DONE", LogType.MINIMAL),
    Event("CN_GEN_KEY_ENC_KEY", LogType.MINIMAL),
)
"""The first entries of every log, written at initialisation."""
ACTIVATION = Event("CN_CHANGE_PSWD", LogType.USER)
"""The entry after them, of an HSM that is activated at initialisation."""
LOG_BEGINS = Event("HSM_LOG_BEGINS", LogType.GENERIC)
"""The first entry of an HSM that is older than its log (see ``hsmcore.audit.upgrade``)."""
ROWS_BOUND = Event("HSM_ROWS_BOUND", LogType.GENERIC)
"""An entry that names rows when they get their first versions: those of an older schema (see
``hsmcore.audit.upgrade``) and those of a backup."""
JOINED = Event("HSM_JOINED", LogType.GENERIC)
"""The first entry of an HSM that joined a cluster."""
LEFT = Event("HSM_LEFT", LogType.GENERIC)
"""The last entry of an HSM that left its cluster."""
MASTER_KEY_RESEALED = Event("HSM_MASTER_KEY_RESEALED", LogType.GENERIC)
"""The entry before the master key gets another passphrase, or a key file."""
MASTER_KEY_CHANGED = Event("HSM_MASTER_KEY_CHANGED", LogType.GENERIC)
"""The entry before everything is sealed under a new master key."""
BACKUP_BEGIN = Event("CN_BACKUP_BEGIN", LogType.GENERIC)
"""The entry before the first byte of a backup is written."""
RESTORE_BEGIN = Event("CN_RESTORE_BEGIN", LogType.GENERIC)
"""The first entry of an HSM that was restored from a backup."""
RESTORE_END = Event("CN_RESTORE_END", LogType.GENERIC)
"""The entry after the last restored row."""
QUORUM_TOKEN_USED = Event("HSM_QUORUM_TOKEN_USED", LogType.USER)
"""The entry before an operation that takes an approval in a cluster, and that is no command or has no turn."""
LOG_BROKEN = Event("HSM_LOG_BROKEN", LogType.GENERIC)
"""An entry about a log that was changed while the HSM was closed. ``verify`` reports it from then on."""


def response_of(error: HsmError) -> int:
    """Return the response code of an error."""
    known = next((_RESPONSES[kind] for kind in type(error).__mro__ if kind in _RESPONSES), None)
    return known[0] if known else error.code


def response_text(code: int) -> str:
    """Return ``HSM Return: SUCCESS``, or ``HSM Error:`` with the original's text or the error's name."""
    if code == 0:
        return "HSM Return: SUCCESS"
    return f"HSM Error: {_ERROR_TEXTS.get(code, 'unknown')}"


def _texts(kind: type[HsmError]) -> dict[int, str]:
    texts = {kind.code: kind.__name__}
    for child in kind.__subclasses__():
        texts = _texts(child) | texts if "code" not in vars(child) else texts | _texts(child)
    return texts


_ERROR_TEXTS = _texts(HsmError) | dict(_RESPONSES.values())


def command_type(opcode: str) -> str:
    """Return the command type of an opcode, as the log prints it."""
    name = "CN_CERT_AUTH_CMD" if opcode.startswith("CN_CERT_AUTH_") else "CN_MGMT_CMD"
    return f"{name} ({_COMMAND_TYPES[name]:#x})"


def numbered(name: str, numbers: Mapping[str, int | None], form: str = "d") -> str:
    """Return a name with its number in parentheses, the name alone where it has none."""
    number = numbers.get(name)
    return name if number is None else f"{name} ({number:{form}})"


def user_type(number: int) -> str:
    """Return a user type, as the log prints it."""
    return f"{_USER_TYPE_NAMES.get(number, 'CN_UNKNOWN_USER')} ({number})"
