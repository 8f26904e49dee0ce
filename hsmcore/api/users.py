"""Users, logins and sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from hsmcore.api.core import Core
from hsmcore.api.guard import audited, guarded
from hsmcore.backup.making import ACTIVATION
from hsmcore.errors import NotCaughtUp, PermissionDenied, UserBusy, UserOwnsKeys
from hsmcore.keys.keyring import stored_rows
from hsmcore.sessions import permissions
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import UserRow
from hsmcore.tables.roles import ADMIN, CRYPTO_USER
from hsmcore.users import mfa, token_files
from hsmcore.users.accounts import UserInfo, normal_name
from hsmcore.users.mfa import NO_KEYS, Event, Purpose, RegisteredKeys


class UserService:
    """Logs users in and out, creates, changes and deletes them."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._lock = core.lock
        self._turn = core.turn
        self._store = core.store
        self._sessions = core.sessions
        self._accounts = core.accounts
        self._challenges = core.challenges
        self._ring = core.ring
        self._streams = core.streams
        self._approvals = core.approvals
        self._backups = core.backups

    def all(self) -> list[UserInfo]:
        """Return all users in order of creation, the appliance user included. Needs no login."""
        infos = self._accounts.infos()
        self._log.require_current()
        return infos

    @audited
    def login(
        self, username: str, password: bytes, role: str = CRYPTO_USER, detail: str = "", *, guest: bool = False
    ) -> Session:  # fmt: skip
        """Begin a session.

        Args:
            username: The user.
            password: The password in UTF-8.
            role: The role.
            detail: The detail of the entry in the audit log, such as the operating-system user; empty for none.
            guest: Whether the client is another than the owner of the state directory.

        Raises:
            AuthenticationFailed: Name, role or password is wrong.
            AccountLocked: The password was wrong too often.
            MfaRequired: The user has a second factor; ``login_mfa`` takes it.
            OperationLimit: The user has the maximum number of sessions.
            StoreFull: The audit log cannot be written.
        """
        self._log.describe(detail)
        return self._begin(self._accounts.authenticate(username, password, role, guest=guest))

    def login_token(self, username: str, role: str) -> bytes:
        """Return a token file to sign for ``login_mfa``. An unknown user gets one too.

        Raises:
            UserNameInvalid: No user can have that name.
        """
        return self._new_token(Purpose.LOGIN, _subject(username, role))

    @audited
    def login_mfa(
        self, username: str, password: bytes, role: str, token_file: bytes, detail: str = "", *, guest: bool = False
    ) -> Session:  # fmt: skip
        """Begin a session with a password and a signed token file. A wrong signature counts as a wrong password.

        The password alone decides for a user without a second factor.

        Args:
            username: The user.
            password: The password in UTF-8.
            role: The role.
            token_file: The signed token file.
            detail: As in ``login``.
            guest: As in ``login``.

        Raises:
            AuthenticationFailed: Name, role, password or signature is wrong.
            AccountLocked: Password or signature was wrong too often.
            MfaRequired: The token file is not signed.
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The token was used, has expired, or was issued for another user or purpose.
            OperationLimit: The user has the maximum number of sessions.
            StoreFull: The audit log cannot be written.
        """
        self._log.describe(detail)
        signed = token_files.read_token(token_file)
        self._challenges.redeem(signed.token, Purpose.LOGIN, _subject(username, role))
        return self._begin(self._accounts.authenticate(username, password, role, signed, guest=guest))

    def _begin(self, row: UserRow) -> Session:
        with self._lock:
            self._sessions.require_room(row.username, row.role)
        self._log.record()
        with self._lock:
            self._accounts.require_unchanged(row)
            session = self._sessions.begin(self._log.session_number, row.username, row.role)
            try:
                self._log.require_current()
            except NotCaughtUp:
                self._sessions.end(session)
                raise
            return session

    def session(self, token: int) -> Session:
        """Return the session with that session token.

        Raises:
            Unauthenticated: The session does not exist or has ended.
        """
        return self._sessions.get(token)

    def authorise(self, session: Session, operation: str) -> None:
        """Check that a session's role may run an operation that its caller makes of several others.

        Args:
            session: A session.
            operation: The name of a row of ``hsmcore.sessions.permissions.PERMISSIONS``.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: The role is another one.
        """
        permissions.require(session, operation)

    def logout(self, session: Session) -> None:
        """End a session, its session keys, multi-part operations and tokens. Has no effect if it has ended already."""
        self._end(session, self.logout)

    def abandon(self, session: Session) -> None:
        """End the session of a client that is gone without a logout. The audit log tells it from a logout."""
        self._end(session, self.abandon)

    def close_session(self, session: Session) -> None:
        """End a session because the HSM closes it. The audit log tells it from a logout."""
        self._end(session, self.close_session)

    def _end(self, session: Session, how: Callable[[Session], None]) -> None:
        with self._lock:
            # Ended first: no entry after that of the session's end says that a command of the session succeeded.
            if self._sessions.end(session):
                self._log.record_end(f"users.{how.__name__}", session)
            self._ring.drop_session(session)
            self._streams.drop_session(session)
            self._approvals.quorum_tokens.drop_session(session)

    @guarded
    def activate(self, session: Session, password: bytes) -> None:
        """Set the password of the first user and make that user an admin. Ends all sessions of that user.

        The HSM then makes its first backup; it is activated even if that fails.

        Raises:
            PasswordInvalid: The password breaks the rules for passwords.
            UserNotFound: Another session has activated the HSM meanwhile.
            StoreFull: The disk is full.
        """
        verifier = self._accounts.new_verifier(password)
        with self._accounts.changing(session.username, session.role) as row:
            self._accounts.put(row, replace(row, role=ADMIN), verifier)
            for other in self._sessions.of_user(row.username, row.role):
                self._sessions.end(other)
                self._log.record_end("users.close_session", other)
        with self._log.separately():
            self._backups.make_at(ACTIVATION)

    @guarded
    def create(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Create a user. Takes a quorum approval of the service ``user``.

        Raises:
            UserExists: A user has that name and role.
            UserNameInvalid: The name breaks the rules for names, or the role does not exist.
            PasswordInvalid: The password breaks the rules for passwords.
            UserLimit: The HSM has as many users as it can have.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        with self._turn, self._approvals.granted(session, "user"):
            self._accounts.add(username, role, password)

    @guarded
    def delete(self, session: Session, username: str, role: str, with_keys: bool = False) -> int:
        """Delete a user and stop sharing keys with that user. Takes a quorum approval of the service ``user``.

        Args:
            session: An admin's session.
            username: The user's name.
            role: The user's role.
            with_keys: Destroy the user's keys too, also those whose DESTROYABLE is false or whose management takes
                approvals.

        Returns:
            The number of destroyed keys.

        Raises:
            UserNotFound: No user has that name and role.
            UserBusy: The user is logged in.
            UserOwnsKeys: The user owns keys, and ``with_keys`` is false.
            PermissionDenied: The user is the last admin.
            QuorumAdmins: Too few admins could then approve.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        with self._accounts.changing(username, role) as row, self._approvals.granted(session, "user"):
            self._accounts.require_not_last_admin(row)
            self._require_idle(row)
            self._approvals.require_enough_admins(row, NO_KEYS)
            self._store.hold_user(row.username, role)
            owned = self._ring.owned_by(row.username) if role == CRYPTO_USER else []
            if owned and not with_keys:
                raise UserOwnsKeys(f"{row.username!r} owns keys; delete them first")
            unshared = self._ring.unshared_with(row.username) if role == CRYPTO_USER else []
            with self._approvals.without_user(row.username, role):
                self._accounts.delete(row, stored_rows(unshared), owned)
            self._ring.replace(unshared)
            for handle in owned:
                self._ring.forget(handle)
                self._streams.drop_key(handle)
                self._approvals.quorum_tokens.drop_key(handle)
        return len(owned)

    @audited
    def recover(self, username: str, password: bytes) -> None:
        """Set an admin's password and unlock the account, without a login.

        For the owner of the state directory, where no admin can log in any more. No client of the HSM reaches this
        method. The admin's registered keys stay.

        Raises:
            UserNotFound: There is no such admin.
            PasswordInvalid: The password breaks the rules for passwords.
            StoreFull: The disk is full.
        """
        verifier = self._accounts.new_verifier(password)
        with self._accounts.changing(username, ADMIN) as row:
            self._accounts.put(row, row, verifier)

    @guarded
    def change_password(
        self,
        session: Session,
        username: str,
        role: str,
        password: bytes,
        deregister_mfa: bool = False,
        deregister_quorum: bool = False,
    ) -> None:
        """Set a user's password and unlock the account. A user with a second factor no longer approves then.

        A user changes the own password; an admin changes that of any user who is not logged in, which takes a quorum
        approval of the service ``user``. So does the own password of an admin who deregisters the second factor.

        Raises:
            PermissionDenied: The session is of another user who is not an admin.
            UserNotFound: No user has that name and role.
            PasswordInvalid: The password breaks the rules for passwords.
            UserBusy: The other user is logged in.
            QuorumAdmins: Too few admins could then approve.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        own = _require_own_or_admin(session, username, role)
        verifier = self._accounts.new_verifier(password)
        weaker = session.role == ADMIN and deregister_mfa
        with self._changing(session, username, role, approval=weaker or not own) as row:
            keys = mfa.keys_after(Event.CHANGE_PASSWORD, _keys(row))
            if deregister_quorum:
                keys = mfa.keys_after(Event.DEREGISTER_QUORUM, keys)
            if deregister_mfa and keys.mfa:
                keys = mfa.keys_after(Event.DEREGISTER_MFA, keys)
            self._approvals.put_keys(row, keys, verifier)

    @guarded
    def mfa_token(self, session: Session, username: str, role: str) -> bytes:
        """Return a token file to sign with the key that ``register_mfa`` registers.

        Raises:
            PermissionDenied: The session is of another user who is not an admin.
            UserNotFound: No user has that name and role.
        """
        _require_own_or_admin(session, username, role)
        row = self._accounts.known(username, role)
        return self._new_token(Purpose.MFA, (row.username, row.role), session)

    @guarded
    def register_mfa(
        self,
        session: Session,
        username: str,
        role: str,
        token_file: bytes,
        public_key: bytes,
        password: bytes | None = None,
        change_quorum: bool = False,
    ) -> None:
        """Register the key of a user's second factor, or replace it. The user approves with that key too.

        From an admin it takes a quorum approval of the service ``user``.

        Args:
            session: The user's session, or one of an admin.
            username: The user's name.
            role: The user's role.
            token_file: The file of ``mfa_token``, signed.
            public_key: The public key, in PEM.
            password: A new password; ``None`` keeps the old one.
            change_quorum: Also replace a different key that is registered for quorum.

        Raises:
            PermissionDenied: The session is of another user who is not an admin.
            UserNotFound: No user has that name and role.
            UserBusy: The other user is logged in.
            PasswordInvalid: The password breaks the rules for passwords.
            PublicKeyInvalid: The key is not an RSA-2048 key in PEM, or another user's.
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The token was used, has expired, or was issued for another user, session or purpose.
            TokenSignatureInvalid: The signature is not of this key.
            MfaSharesKey: The user approves with a different key, and ``change_quorum`` is false.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        _require_own_or_admin(session, username, role)
        subject = self._accounts.known(username, role)
        key = self._challenges.prove(Purpose.MFA, subject, session.token, token_file, public_key)
        verifier = None if password is None else self._accounts.new_verifier(password)
        with self._changing(session, username, role, approval=session.role == ADMIN) as row:
            self._accounts.require_own_key(row, key)
            keys = mfa.keys_after(Event.REGISTER_MFA, _keys(row), key, change_quorum=change_quorum)
            self._approvals.put_keys(row, keys, verifier)

    @guarded
    def deregister_mfa(
        self, session: Session, username: str, role: str, password: bytes | None = None, change_quorum: bool = False
    ) -> None:
        """Remove a user's second factor, and the key for quorum with it.

        From an admin it takes a quorum approval of the service ``user``.

        Args:
            session: The user's session, or one of an admin.
            username: The user's name.
            role: The user's role.
            password: A new password; ``None`` keeps the old one.
            change_quorum: Has no effect; the key for quorum is always removed.

        Raises:
            PermissionDenied: The session is of another user who is not an admin.
            UserNotFound: No user has that name and role.
            UserBusy: The other user is logged in.
            PasswordInvalid: The password breaks the rules for passwords.
            MfaNotEnabled: The user has no second factor.
            QuorumAdmins: Too few admins could then approve.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        _require_own_or_admin(session, username, role)
        verifier = None if password is None else self._accounts.new_verifier(password)
        with self._changing(session, username, role, approval=session.role == ADMIN) as row:
            self._approvals.put_keys(row, mfa.keys_after(Event.DEREGISTER_MFA, _keys(row)), verifier)

    def _new_token(self, purpose: Purpose, subject: tuple[str, str], session: Session | None = None) -> bytes:
        return token_files.encode_token(self._challenges.issue(purpose, subject, session.token if session else 0))

    @contextmanager
    def _changing(self, session: Session, username: str, role: str, *, approval: bool) -> Iterator[UserRow]:
        """Give the row of a user to change: the session's own user, or one who is not logged in."""
        with (
            self._accounts.changing(username, role) as row,
            self._approvals.granted(session, "user") if approval else nullcontext(),
        ):
            if (row.username, row.role) != (session.username, session.role):
                self._require_idle(row)
            yield row

    def _require_idle(self, row: UserRow) -> None:
        if self._sessions.of_user(row.username, row.role):
            raise UserBusy(f"{row.username!r} is logged in")


def _require_own_or_admin(session: Session, username: str, role: str) -> bool:
    """Return whether the user is the session's own.

    Raises:
        PermissionDenied: It is another user, and the session is not of an admin.
    """
    own = (username.lower(), role) == (session.username, session.role)
    if not own and session.role != ADMIN:
        raise PermissionDenied("only an admin changes another user")
    return own


def _subject(username: str, role: str) -> tuple[str, str]:
    """Return name and role of a user who need not exist, in a form that takes little memory."""
    return normal_name(username), role[:32]


def _keys(row: UserRow) -> RegisteredKeys:
    return RegisteredKeys(row.mfa_key, row.quorum_key)
