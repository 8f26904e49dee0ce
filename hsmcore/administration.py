"""The part of the door by which users are made and changed. ``hsmcore.Hsm`` is the whole door."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock

from hsmcore.errors import PermissionDenied, UserBusy, UserOwnsKeys
from hsmcore.keyring import KeyRing
from hsmcore.permissions import guarded
from hsmcore.sealing import UserRow, Vault
from hsmcore.sessions import ADMIN, CRYPTO_USER, Session, Sessions
from hsmcore.store import Store
from hsmcore.users import UserInfo, Users, new_verifier


class Administration:
    """Users, and what they may do to one another."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._lock = RLock()
        self._sessions = Sessions()
        self._users = Users(store, vault, self._lock)
        self._ring = KeyRing(store, vault, self._sessions, self._lock)

    def list_users(self) -> list[UserInfo]:
        """Return all users in order of creation, the appliance user among them. It takes no login."""
        return self._users.infos()

    @guarded
    def activate(self, session: Session, password: bytes) -> None:
        """Make the first user an admin with this password. It ends the sessions of the unactivated admin.

        Raises ``PasswordInvalid``; for the second of two who do it at once ``UserNotFound``.
        """
        verifier = new_verifier(password)
        with self._users.changing(session.username, session.role) as row:
            self._users.put(row, replace(row, role=ADMIN), verifier)
            for other in self._sessions.of_user(row.username, row.role):
                self._sessions.end(other)

    @guarded
    def create_user(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Create a user. Raises ``UserExists``, ``UserNameInvalid``, ``PasswordInvalid``, ``UserLimit``."""
        self._users.add(username, role, password)

    @guarded
    def delete_user(self, session: Session, username: str, role: str) -> None:
        """Delete a user.

        Raises ``UserNotFound``, ``UserBusy``, ``UserOwnsKeys``, and ``PermissionDenied`` for the last admin.
        """
        with self._users.changing(username, role) as row:
            self._users.require_not_last_admin(row)
            self._require_idle(row)
            if role == CRYPTO_USER and self._ring.owned_by(row.username):
                raise UserOwnsKeys(f"{row.username!r} owns keys; delete them first")
            self._users.delete(row)

    @guarded
    def change_password(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Set a password, the own one or as an admin anybody's who is not logged in, and unlock the account.

        Raises ``UserNotFound``, ``PasswordInvalid``, ``UserBusy``.
        """
        self._require_own_or_admin(session, username, role)
        verifier = new_verifier(password)
        with self._users.changing(username, role) as row:
            self._require_own_or_idle(session, row)
            self._users.put(row, row, verifier)

    def _require_own_or_admin(self, session: Session, username: str, role: str) -> None:
        if session.role != ADMIN and (username.lower(), role) != (session.username, session.role):
            raise PermissionDenied("only an admin changes another user")

    def _require_own_or_idle(self, session: Session, row: UserRow) -> None:
        if (row.username, row.role) != (session.username, session.role):
            self._require_idle(row)

    def _require_idle(self, row: UserRow) -> None:
        if self._sessions.of_user(row.username, row.role):
            raise UserBusy(f"{row.username!r} is logged in")
