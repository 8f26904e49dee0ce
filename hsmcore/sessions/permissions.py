"""The permission table: which roles may run which operation.

A row has the name of a service's method, ``service.method``. ``hsmcore.api.guard`` checks it on each call of a method
that takes a session. An operation with a key is checked when it is prepared (``hsmcore.crypto.operations``); the
session that began a multi-part operation may continue it. ``hsmcore.keys.policy`` decides about single keys.
"""

from __future__ import annotations

from hsmcore.errors import PermissionDenied, Unauthenticated
from hsmcore.sessions.session import NO_SESSION, Session
from hsmcore.tables.roles import ADMIN, CRYPTO_USER, UNACTIVATED_ADMIN

_ADMINS = frozenset({ADMIN})
_CRYPTO_USERS = frozenset({CRYPTO_USER})
_USERS = _ADMINS | _CRYPTO_USERS

PERMISSIONS: dict[str, frozenset[str]] = {
    "users.activate": frozenset({UNACTIVATED_ADMIN}),
    "users.create": _ADMINS,
    "users.delete": _ADMINS,
    "users.change_password": _USERS,
    "users.mfa_token": _USERS,
    "users.register_mfa": _USERS,
    "users.deregister_mfa": _USERS,
    "keys.set_quorum": _CRYPTO_USERS,
    "keys.generate": _CRYPTO_USERS,
    "keys.generate_pair": _CRYPTO_USERS,
    "keys.import_": _CRYPTO_USERS,
    "keys.find": _USERS,
    "keys.find_page": _USERS,
    "keys.find_pair": _CRYPTO_USERS,
    "keys.labels": _CRYPTO_USERS,
    "keys.describe": _USERS,
    "keys.share": _CRYPTO_USERS,
    "keys.unshare": _CRYPTO_USERS,
    "keys.get": _USERS,
    "keys.set_attributes": _USERS,
    "keys.destroy": _CRYPTO_USERS,
    "keys.clear_value": _CRYPTO_USERS,
    "keys.wrap": _CRYPTO_USERS,
    "keys.unwrap": _CRYPTO_USERS,
    "keys.derive": _CRYPTO_USERS,
    "keys.store_certificate": _CRYPTO_USERS,
    "keys.certificates": _CRYPTO_USERS,
    "keys.certificate": _CRYPTO_USERS,
    "crypto.random": _USERS,
    "crypto.require": _CRYPTO_USERS,
    "crypto.encrypt": _CRYPTO_USERS,
    "crypto.decrypt": _CRYPTO_USERS,
    "crypto.sign": _CRYPTO_USERS,
    "crypto.verify": _CRYPTO_USERS,
    "crypto.begin": _CRYPTO_USERS,
    "quorum.request": _USERS,
    "quorum.register": _USERS,
    "quorum.approve": _USERS,
    "quorum.tokens": _USERS,
    "quorum.delete_tokens": _ADMINS,
    "quorum.set_value": _ADMINS,
    "quorum.set_timeout": _ADMINS,
    "mtls.register": _ADMINS,
    "mtls.deregister": _ADMINS,
    "mtls.enforcement": _USERS,
    "mtls.set_enforcement": _ADMINS,
    "audit.entries": _ADMINS,
    "audit.verify": _ADMINS,
    "clones.extract_key": _USERS,
    "clones.insert_key": _USERS,
    "clones.extract_user": _ADMINS,
    "clones.insert_user": _ADMINS,
    "backups.create": _ADMINS,
    "backups.all": _ADMINS,
    "backups.verify": _ADMINS,
    "backups.delete": _ADMINS,
    "key_store": _CRYPTO_USERS,
}
"""Roles by operation. An operation without a row needs no session, or only ends one, as ``users.logout`` does."""


def require(session: Session, operation: str) -> None:
    """Check that a session's role may run an operation.

    Raises:
        Unauthenticated: The session has ended.
        PermissionDenied: The role may not.
        LookupError: The permission table has no row for the operation.
    """
    if not session.alive:
        raise Unauthenticated(NO_SESSION)
    roles = PERMISSIONS.get(operation)
    if roles is None:
        raise LookupError(no_row(operation))
    if session.role not in roles:
        allowed = " or ".join(sorted(roles))
        raise PermissionDenied(f"this takes the role {allowed}; {session.username!r} is logged in as {session.role}")


def no_row(operation: str) -> str:
    """Return the message about an operation that the permission table lacks."""
    return f"the table PERMISSIONS of hsmcore.sessions.permissions has no row {operation!r}; add one"
