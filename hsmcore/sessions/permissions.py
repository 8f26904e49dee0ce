"""Which role may do what: the table by which the door authorises every operation.

A row is named for the method of ``hsmcore.Hsm`` that it guards. Each method that takes a session is ``guarded`` by its
row, and is a command of the audit log where ``hsmcore.audit.events`` has a row of the same name; the use of a key is
authorised when it is prepared (``hsmcore.crypto.operations``), by the row of its operation; the session that began a
multi-part operation may continue it (``hsmcore.crypto.streams``). ``hsmcore.keys.policy`` decides about single keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from hsmcore.audit.events import EVENTS
from hsmcore.audit.log import Door, audited
from hsmcore.errors import PermissionDenied
from hsmcore.sessions.session import Session, ended
from hsmcore.tables.roles import ADMIN, CRYPTO_USER, UNACTIVATED_ADMIN

_ADMINS = frozenset({ADMIN})
_CRYPTO_USERS = frozenset({CRYPTO_USER})
_USERS = _ADMINS | _CRYPTO_USERS

PERMISSIONS: dict[str, frozenset[str]] = {
    "activate": frozenset({UNACTIVATED_ADMIN}),
    "create_user": _ADMINS,
    "delete_user": _ADMINS,
    "change_password": _USERS,
    "mfa_token": _USERS,
    "register_mfa": _USERS,
    "deregister_mfa": _USERS,
    "quorum_token": _USERS,
    "register_quorum": _USERS,
    "approve": _USERS,
    "quorum_tokens": _USERS,
    "delete_quorum_tokens": _ADMINS,
    "set_quorum_value": _ADMINS,
    "set_quorum_timeout": _ADMINS,
    "set_key_quorum": _CRYPTO_USERS,
    "generate_key": _CRYPTO_USERS,
    "generate_key_pair": _CRYPTO_USERS,
    "import_key": _CRYPTO_USERS,
    "find_keys": _USERS,
    "find_pair": _CRYPTO_USERS,
    "labels": _CRYPTO_USERS,
    "list_keys": _USERS,
    "share_key": _CRYPTO_USERS,
    "unshare_key": _CRYPTO_USERS,
    "get_key": _USERS,
    "set_attributes": _USERS,
    "destroy_key": _CRYPTO_USERS,
    "clear_value": _CRYPTO_USERS,
    "wrap_key": _CRYPTO_USERS,
    "wrap": _CRYPTO_USERS,
    "unwrap_key": _CRYPTO_USERS,
    "unwrap": _CRYPTO_USERS,
    "derive_key": _CRYPTO_USERS,
    "derive": _CRYPTO_USERS,
    "random": _USERS,
    "encrypt": _CRYPTO_USERS,
    "decrypt": _CRYPTO_USERS,
    "sign": _CRYPTO_USERS,
    "verify": _CRYPTO_USERS,
    "begin": _CRYPTO_USERS,
    "key_store": _CRYPTO_USERS,
    "audit_entries": _ADMINS,
    "verify_audit": _ADMINS,
}
"""Roles by operation. What is not here anybody may do: it takes no session, or like ``logout`` only ends one."""

_Self = TypeVar("_Self", bound=Door)
_Fields = ParamSpec("_Fields")
_Result = TypeVar("_Result")


def require(session: Session, operation: str) -> None:
    """Raise ``Unauthenticated`` for an ended session, ``PermissionDenied`` where its role may not do this."""
    if not session.alive:
        raise ended()
    roles = PERMISSIONS[operation]
    if session.role not in roles:
        allowed = " or ".join(sorted(roles))
        raise PermissionDenied(f"this takes the role {allowed}; {session.username!r} is logged in as {session.role}")


def guarded(
    method: Callable[Concatenate[_Self, Session, _Fields], _Result],
) -> Callable[Concatenate[_Self, Session, _Fields], _Result]:
    """Let a method of the door begin with ``require`` of its own row; a method without a row is not defined.

    With a row in ``EVENTS`` it is a command of the audit log too, and one that is refused is in the log as well.
    """
    operation = method.__name__
    if operation not in PERMISSIONS:
        raise LookupError(f"the permission table has no row {operation}")

    @wraps(method)
    def call(door: _Self, session: Session, /, *fields: _Fields.args, **named: _Fields.kwargs) -> _Result:
        require(session, operation)
        return method(door, session, *fields, **named)

    return audited(call) if operation in EVENTS else call
