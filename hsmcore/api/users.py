"""The part of the door by which users log in, are made and are changed. ``hsmcore.Hsm`` is the whole door."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from threading import RLock

from hsmcore.audit.log import AuditLog, audited
from hsmcore.errors import MalformedRequest, PermissionDenied, TokenSignatureInvalid, UserBusy, UserOwnsKeys
from hsmcore.keys.keyring import KeyRing, stored_rows
from hsmcore.primitives.proofs import TOKEN_BYTES, proves, read_user_key
from hsmcore.quorum.approvals import Approvals, TokenInfo
from hsmcore.quorum.tokens import REGISTRATION, approval_data
from hsmcore.sessions.permissions import guarded
from hsmcore.sessions.session import Session, Sessions
from hsmcore.storage.database import Store
from hsmcore.storage.rows import UserRow
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import StateDirectory
from hsmcore.tables.roles import ADMIN, CRYPTO_USER
from hsmcore.users import mfa, token_files
from hsmcore.users.accounts import UserInfo, Users, new_verifier, normal_name
from hsmcore.users.mfa import NO_KEYS, Challenges, Event, Keys, Purpose


class Administration:
    """Users, their logins, and what they may do to one another. ``clock`` gives seconds, from whatever beginning."""

    def __init__(self, store: Store, vault: Vault, state: StateDirectory, clock: Callable[[], float]) -> None:
        self._lock = RLock()
        self._sessions = Sessions()
        self.log = AuditLog(store, vault, state, self._sessions)
        self._users = Users(store, vault, self._lock, self.log)
        self._ring = KeyRing(store, vault, self._sessions, self._lock, self.log)
        self._challenges = Challenges(clock)
        self._approvals = Approvals(store, vault, self._users, self._ring, self._lock, clock, self.log)

    def list_users(self) -> list[UserInfo]:
        """Return all users in order of creation, the appliance user among them. It takes no login."""
        return self._users.infos()

    @audited
    def login(self, username: str, password: bytes, role: str = CRYPTO_USER) -> Session:
        """Begin a session. Raises ``AuthenticationFailed``, ``AccountLocked``, ``MfaRequired``, ``StoreFull``."""
        return self._begin(self._users.authenticate(username, password, role))

    def login_token(self, username: str, role: str) -> bytes:
        """Return a token file, to be signed for ``login_mfa``; whether there is such a user is not told.

        Raises ``UserNameInvalid``.
        """
        return self._new_token(Purpose.LOGIN, _subject(username, role))

    @audited
    def login_mfa(self, username: str, password: bytes, role: str, token_file: bytes) -> Session:
        """Begin a session with password and signed token; a signature that does not hold counts as a wrong password.

        For a user without a second factor the password decides. Raises as ``login``, ``TokenFileInvalid``,
        ``TokenUnknown``.
        """
        signed = token_files.read_token(token_file)
        self._challenges.redeem(signed.token, Purpose.LOGIN, _subject(username, role))
        return self._begin(self._users.authenticate(username, password, role, signed))

    def _begin(self, row: UserRow) -> Session:
        self.log.record()
        with self._lock:
            self._users.require_unchanged(row)
            return self._sessions.begin(self.log.session_number, row.username, row.role)

    @guarded
    def activate(self, session: Session, password: bytes) -> None:
        """Make the first user an admin with this password. It ends the sessions of the unactivated admin.

        Raises ``PasswordInvalid``; for the second of two who do it at once ``UserNotFound``.
        """
        verifier = new_verifier(password)
        with self._users.changing(session.username, session.role) as row:
            self._users.put(row, replace(row, role=ADMIN), verifier)
            for other in self._sessions.of_user(row.username, row.role):
                self.log.record_end("close_session", other)
                self._sessions.end(other)

    @guarded
    def create_user(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Create a user; it takes approval.

        Raises ``UserExists``, ``UserNameInvalid``, ``PasswordInvalid``, ``UserLimit``, ``ApprovalRequired``.
        """
        with self._approvals.granted(session, "user"):
            self._users.add(username, role, password)

    @guarded
    def delete_user(self, session: Session, username: str, role: str) -> None:
        """Delete a user; it takes approval.

        Raises ``UserNotFound``, ``UserBusy``, ``UserOwnsKeys``, ``ApprovalRequired``, ``QuorumAdmins``, and
        ``PermissionDenied`` for the last admin.
        """
        with self._approvals.granted(session, "user"), self._users.changing(username, role) as row:
            self._users.require_not_last_admin(row)
            self._require_idle(row)
            self._approvals.require_enough_admins(row, NO_KEYS)
            if role == CRYPTO_USER and self._ring.owned_by(row.username):
                raise UserOwnsKeys(f"{row.username!r} owns keys; delete them first")
            unshared = self._ring.unshared_with(row.username) if role == CRYPTO_USER else []
            self._users.delete(row, stored_rows(unshared))
            self._ring.replace(unshared)

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
        """Set a password, the own one or as an admin anybody's who is not logged in, and unlock the account.

        Another user's takes approval. A user with MFA no longer approves then. Raises ``UserNotFound``,
        ``PasswordInvalid``, ``UserBusy``, ``ApprovalRequired``, ``QuorumAdmins``.
        """
        own = _require_own_or_admin(session, username, role)
        verifier = new_verifier(password)
        with self._changing(session, username, role, approval=not own) as row:
            keys = mfa.after(Event.CHANGE_PASSWORD, _keys(row))
            if deregister_quorum:
                keys = mfa.after(Event.DEREGISTER_QUORUM, keys)
            if deregister_mfa and keys.mfa:
                keys = mfa.after(Event.DEREGISTER_MFA, keys)
            self._put_keys(row, keys, verifier)

    @guarded
    def mfa_token(self, session: Session, username: str, role: str) -> bytes:
        """Return a token file, to be signed with the key that ``register_mfa`` is to register.

        Raises ``UserNotFound``, and ``PermissionDenied`` for another user's unless as an admin.
        """
        _require_own_or_admin(session, username, role)
        row = self._users.known(username, role)
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
        """Register a user's second factor (PEM), or another one; the user approves with it too. May set a password.

        From an admin it takes approval. Raises ``UserNotFound``, ``UserBusy``, ``PasswordInvalid``,
        ``PublicKeyInvalid``, ``TokenFileInvalid``, ``TokenUnknown``, ``TokenSignatureInvalid``, ``ApprovalRequired``,
        and ``MfaSharesKey`` where the user approves with another key and ``change_quorum`` is not given.
        """
        _require_own_or_admin(session, username, role)
        key = self._proven(Purpose.MFA, self._users.known(username, role), session, token_file, public_key)
        verifier = None if password is None else new_verifier(password)
        with self._changing(session, username, role, approval=session.role == ADMIN) as row:
            self._users.require_own_key(row, key)
            keys = mfa.after(Event.REGISTER_MFA, _keys(row), key, change_quorum=change_quorum)
            self._put_keys(row, keys, verifier)

    @guarded
    def deregister_mfa(
        self, session: Session, username: str, role: str, password: bytes | None = None, change_quorum: bool = False
    ) -> None:
        """Take a user's second factor away, and with it, asked for or not, the approvals. May set a password.

        From an admin it takes approval. Raises ``UserNotFound``, ``UserBusy``, ``PasswordInvalid``, ``MfaNotEnabled``,
        ``ApprovalRequired``, ``QuorumAdmins``.
        """
        _require_own_or_admin(session, username, role)
        verifier = None if password is None else new_verifier(password)
        with self._changing(session, username, role, approval=session.role == ADMIN) as row:
            self._put_keys(row, mfa.after(Event.DEREGISTER_MFA, _keys(row)), verifier)

    @guarded
    def quorum_token(self, session: Session, service: str, key: int | None = None) -> bytes:
        """Return the file of a quorum token, or for ``registration`` of one that ``register_quorum`` takes.

        ``key`` is the handle that a token of a key service is for. Raises ``PermissionDenied``, ``KeyNotFound``,
        ``QuorumTokenRefused``, ``QuorumTokenLimit``, and ``MalformedRequest`` for an unknown service, a key where there
        is none, or none where there is one.
        """
        if service != REGISTRATION or key is not None:
            return self._approvals.request(session, service, key)
        data = approval_data(session, service)
        token = hashlib.sha256(data).digest()
        self.log.record()
        self._challenges.issue(token, Purpose.QUORUM, (session.username, session.role), session.token)
        return token_files.encode_token(token, data)

    @guarded
    def register_quorum(self, session: Session, public_key: bytes, token_file: bytes) -> None:
        """Register the key (PEM) with which the user who is logged in approves, or another one.

        Raises ``PublicKeyInvalid``, ``TokenFileInvalid``, ``TokenUnknown``, ``TokenSignatureInvalid``, and
        ``MfaSharesKey`` for another key than that of MFA.
        """
        own = self._users.known(session.username, session.role)
        key = self._proven(Purpose.QUORUM, own, session, token_file, public_key)
        with self._users.changing(session.username, session.role) as row:
            self._users.require_own_key(row, key)
            self._put_keys(row, mfa.after(Event.REGISTER_QUORUM, _keys(row), key), None)

    @guarded
    def approve(self, session: Session, approval_file: bytes) -> tuple[int, int]:
        """Approve a token of this session with the signatures of a file; return approvals required, and there are.

        The session's next operation that takes an approval of the token's service uses it up if it succeeds. Raises
        ``TokenFileInvalid``, ``TokenUnknown``, ``ApproverInvalid``, ``TokenSignatureInvalid``.
        """
        return self._approvals.approve(session, approval_file)

    @guarded
    def quorum_tokens(self, session: Session) -> list[TokenInfo]:
        """Return the quorum tokens of all users."""
        return self._approvals.infos()

    @guarded
    def delete_quorum_tokens(self, session: Session, scope: str) -> None:
        """Delete the own quorum tokens (scope ``user``), or everybody's (``all``)."""
        if scope not in ("user", "all"):
            raise MalformedRequest(f"the scope is user or all, not {scope[:32]!r}")
        self.log.record()
        if scope == "all":
            self._approvals.tokens.end_all()
        else:
            self._approvals.tokens.end_of_user(session.username, session.role)

    def quorum_values(self) -> Mapping[str, int]:
        """Return how many approvals each admin service takes. It takes no login."""
        return self._approvals.rules.values

    @guarded
    def set_quorum_value(self, session: Session, service: str, value: int) -> None:
        """Set how many approvals an admin service takes; it takes approval by the service ``quorum``.

        Raises ``QuorumValueInvalid``, ``ApprovalRequired``, ``MalformedRequest``.
        """
        with self._approvals.granted(session, "quorum"):
            self._approvals.set_value(service, value)

    def quorum_timeouts(self) -> Mapping[str, int]:
        """Return the seconds in which a token may be approved, and then used. It takes no login."""
        return self._approvals.rules.timeouts

    @guarded
    def set_quorum_timeout(self, session: Session, timeout: str, seconds: int) -> None:
        """Set the timeout ``generated`` or ``approved``. Raises ``QuorumValueInvalid``, ``MalformedRequest``."""
        self._approvals.set_timeout(timeout, seconds)

    def _new_token(self, purpose: Purpose, subject: tuple[str, str], session: Session | None = None) -> bytes:
        token = secrets.token_bytes(TOKEN_BYTES)
        self._challenges.issue(token, purpose, subject, session.token if session else 0)
        return token_files.encode_token(token)

    def _proven(self, purpose: Purpose, row: UserRow, session: Session, token_file: bytes, public_key: bytes) -> bytes:
        """Return the key (SubjectPublicKeyInfo) with which the user has signed the token that was asked for."""
        key = read_user_key(public_key)
        signed = token_files.read_token(token_file)
        self._challenges.redeem(signed.token, purpose, (row.username, row.role), session.token)
        if not proves(key, signed.token, signed.signature):
            raise TokenSignatureInvalid("the token is not signed with this key (RSA PKCS #1 v1.5, token as the digest)")
        return key

    def _put_keys(self, row: UserRow, keys: Keys, verifier: str | None) -> None:
        self._approvals.require_enough_admins(row, keys)
        self._users.put(row, replace(row, mfa_key=keys.mfa, quorum_key=keys.quorum), verifier)

    @contextmanager
    def _changing(self, session: Session, username: str, role: str, *, approval: bool) -> Iterator[UserRow]:
        """Give the row of a user who is to be changed: the own one, or one who is not logged in."""
        with (
            self._approvals.granted(session, "user") if approval else nullcontext(),
            self._users.changing(username, role) as row,
        ):
            if (row.username, row.role) != (session.username, session.role):
                self._require_idle(row)
            yield row

    def _require_idle(self, row: UserRow) -> None:
        if self._sessions.of_user(row.username, row.role):
            raise UserBusy(f"{row.username!r} is logged in")


def _require_own_or_admin(session: Session, username: str, role: str) -> bool:
    """Return whether the user is the session's own. Raises ``PermissionDenied`` for another unless as an admin."""
    own = (username.lower(), role) == (session.username, session.role)
    if not own and session.role != ADMIN:
        raise PermissionDenied("only an admin changes another user")
    return own


def _subject(username: str, role: str) -> tuple[str, str]:
    """Return name and role of a user who need not exist, in a form that takes little memory."""
    return normal_name(username), role[:32]


def _keys(row: UserRow) -> Keys:
    return Keys(row.mfa_key, row.quorum_key)
