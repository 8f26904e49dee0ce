"""Quorum (M of N): values, tokens and approvals."""

from __future__ import annotations

from collections.abc import Mapping

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.errors import MalformedRequest
from hsmcore.primitives.proofs import read_user_key
from hsmcore.quorum.approvals import TokenInfo
from hsmcore.quorum.registration import REGISTRATION
from hsmcore.sessions.session import Session
from hsmcore.users import mfa
from hsmcore.users.mfa import Event, RegisteredKeys
from hsmcore.users.token_files import read_token


class QuorumService:
    """Issues quorum tokens, registers approvers, collects approvals and sets the quorum values."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._turn = core.turn
        self._accounts = core.accounts
        self._registrations = core.registrations
        self._approvals = core.approvals
        self._rules = core.rules

    @guarded
    def request(self, session: Session, service: str, key: int | None = None) -> bytes:
        """Return the token file of a new quorum token.

        Args:
            session: The session that will use the token.
            service: A quorum service, or ``registration`` for a token that ``register`` takes.
            key: The handle of the key that a token of a key service concerns.

        Raises:
            MalformedRequest: The service is unknown, needs a key, or takes none.
            PermissionDenied: The service belongs to another role.
            KeyNotFound: The session sees no such key.
            QuorumTokenRefused: The service takes no approval here, or the user has an active token for it.
            QuorumTokenLimit: The HSM holds as many quorum tokens as it can hold.
            StoreFull: The audit log cannot be written.
        """
        if service != REGISTRATION or key is not None:
            return self._approvals.request(session, service, key)
        self._log.record()
        return self._registrations.issue(session.username, session.role)

    def registration_token(self) -> bytes:
        """Return a token file to sign for ``register``, for the user who then presents it. Needs no login."""
        return self._registrations.issue()

    @guarded
    def register(self, session: Session, public_key: bytes, token_file: bytes) -> None:
        """Register the key with which the session's user approves, or replace it.

        Args:
            session: The approver's session.
            public_key: The public key, in PEM.
            token_file: The file of ``registration_token``, or of ``request`` for ``registration``, signed.

        Raises:
            PublicKeyInvalid: The key is not an RSA-2048 key in PEM, or another user's.
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The token was used, has expired, or was issued for another user or purpose.
            TokenSignatureInvalid: The signature is not of this key.
            MfaSharesKey: The user has a second factor with a different key.
            StoreFull: The disk is full.
        """
        key, signed = read_user_key(public_key), read_token(token_file)
        self._registrations.redeem(signed, session.username, session.role)
        mfa.require_signed(signed, key)
        with self._accounts.changing(session.username, session.role) as row:
            self._accounts.require_own_key(row, key)
            keys = mfa.keys_after(Event.REGISTER_QUORUM, RegisteredKeys(row.mfa_key, row.quorum_key), key)
            self._approvals.put_keys(row, keys)

    @guarded
    def approve(self, session: Session, approval_file: bytes) -> tuple[int, int]:
        """Add the signatures of a token file to the quorum token, all or none.

        The session's next operation that takes an approval of the token's service uses the token up if it succeeds.

        Returns:
            The number of approvals required and the number of approvals given.

        Raises:
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The session has no such token.
            ApproverInvalid: A user who signed cannot approve this token.
            TokenSignatureInvalid: A signature is not of the approver's key.
            StoreFull: The audit log cannot be written.
        """
        return self._approvals.approve(session, approval_file)

    @guarded
    def tokens(self, session: Session) -> list[TokenInfo]:
        """Return the quorum tokens of all users."""
        return self._approvals.infos()

    @guarded
    def delete_tokens(self, session: Session, scope: str) -> None:
        """Delete quorum tokens.

        Args:
            session: A session of an admin.
            scope: ``user`` for those of the session's user, ``all`` for those of every user.

        Raises:
            MalformedRequest: The scope is neither.
            StoreFull: The audit log cannot be written.
        """
        if scope not in ("user", "all"):
            raise MalformedRequest(f"the scope is user or all, not {scope[:32]!r}")
        self._approvals.delete_tokens(None if scope == "all" else (session.username, session.role))

    def values(self) -> Mapping[str, int]:
        """Return the number of approvals that each admin service takes. Needs no login."""
        values = self._rules.now.values
        self._log.require_current()
        return values

    @guarded
    def set_value(self, session: Session, service: str, value: int) -> None:
        """Set the number of approvals that an admin service takes. Takes an approval of the service ``quorum``.

        The value may exceed the number of registered admins, as in CloudHSM; nobody can then approve.

        Raises:
            MalformedRequest: The service is unknown, or a key service.
            QuorumValueInvalid: The value is out of range.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        with self._turn, self._approvals.granted(session, "quorum"):
            self._approvals.set_value(service, value)

    def timeouts(self) -> Mapping[str, int]:
        """Return the seconds in which a quorum token may be approved, and then used. Needs no login."""
        timeouts = self._rules.now.timeouts
        self._log.require_current()
        return timeouts

    @guarded
    def set_timeout(self, session: Session, timeout: str, seconds: int) -> None:
        """Set a timeout of future quorum tokens.

        Args:
            session: A session of an admin.
            timeout: ``generated``, the time to approve a token, or ``approved``, the time to use it then.
            seconds: The time in seconds.

        Raises:
            MalformedRequest: There is no such timeout.
            QuorumValueInvalid: The time is out of range.
            StoreFull: The disk is full.
        """
        self._approvals.set_timeout(timeout, seconds)
