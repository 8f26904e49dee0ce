"""Approvals: token files, the check of signatures, and changes of the quorum values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from threading import RLock

from hsmcore.audit.log import AuditLog
from hsmcore.errors import (
    ApproverInvalid,
    MalformedRequest,
    PermissionDenied,
    QuorumAdmins,
    QuorumTokenRefused,
    QuorumValueInvalid,
    TokenFileInvalid,
    TokenSignatureInvalid,
    UserNotFound,
)
from hsmcore.keys import policy
from hsmcore.keys.keyring import KeyRing
from hsmcore.keys.records import KeyEntry
from hsmcore.primitives.proofs import proves
from hsmcore.quorum.rules import NO_QUORUM, StoredRules
from hsmcore.quorum.shared import SharedTokens
from hsmcore.quorum.tokens import MAX_TIMEOUT, QuorumToken, QuorumTokens
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.rows import UserRow
from hsmcore.storage.sealing import Vault
from hsmcore.tables.quorum_services import MAX_APPROVALS, SERVICES
from hsmcore.tables.roles import ADMIN
from hsmcore.users import token_files
from hsmcore.users.accounts import Accounts
from hsmcore.users.mfa import RegisteredKeys
from hsmcore.users.token_files import Approval


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A quorum token as users see it. ``seconds`` is the time in which it can still be approved or used.

    ``key`` is the handle of the key that a token of a key service concerns.
    """

    username: str
    service: str
    key: int | None
    required: int
    approvals: int
    seconds: int


class Approvals:
    """The approvals of an HSM's operations."""

    def __init__(
        self,
        rules: StoredRules,
        store: Store,
        vault: Vault,
        users: Accounts,
        ring: KeyRing,
        lock: RLock,
        turn: AbstractContextManager[object],
        clock: Callable[[], float],
        log: AuditLog,
    ) -> None:
        self._rules = rules
        self._vault = vault
        self._accounts = users
        self._ring = ring
        self._lock = lock
        self._turn = turn
        self._clock = clock
        self._audit = log
        in_cluster = store.cluster is not None
        self.quorum_tokens = QuorumTokens(lock, clock, shared=in_cluster)
        self._shared = SharedTokens(self.quorum_tokens, store, vault, log, turn, clock) if in_cluster else None
        self.refresh_tokens()

    def refresh_tokens(self) -> None:
        """Read the quorum tokens of a cluster, at the beginning and when another HSM has changed them.

        Raises:
            StoreDamaged: The row does not open, or is not the newest one.
        """
        if self._shared is not None:
            self._shared.refresh()

    def request(self, session: Session, service: str, key: int | None) -> bytes:
        """Return the token file of a new quorum token.

        Raises:
            MalformedRequest: The service is unknown, needs a key, or takes none.
            PermissionDenied: The service belongs to another role.
            KeyNotFound: The session sees no such key.
            QuorumTokenRefused: The service takes no approval here, or the user has an active token for it.
            QuorumTokenLimit: The HSM holds the maximum number of quorum tokens.
            StoreFull: The audit log cannot be written.
        """
        row = SERVICES.get(service)
        if row is None:
            raise MalformedRequest(f"there is no quorum service {service[:32]!r}; there are {', '.join(SERVICES)}")
        if session.role != row.role:
            raise PermissionDenied(f"the tokens of the service {service} are for the role {row.role}")
        if (key is None) == bool(row.attribute):
            raise MalformedRequest(f"a token of the service {service} is for {'a' if key is None else 'no'} key")
        if key is None:
            needed = self._rules.now.values[service] != NO_QUORUM
        else:
            needed = policy.approvals_needed(self._ring.entry(session, key), service) > 0
        if not needed:
            raise QuorumTokenRefused(f"the service {service} takes no approval here: its quorum value is not above 1")
        with self._turn:
            self.quorum_tokens.require_room(session, service, key)
            self._record_alone()
            token = self.quorum_tokens.add(session, service, key, self._rules.now.timeouts["generated"])
            self._record_shared()
        return token_files.encode_approval(row.label, key, token.data, token.digest)

    def approve(self, session: Session, file: bytes) -> tuple[int, int]:
        """Add the signatures of a token file to its quorum token, all or none. An approver counts once.

        Returns:
            The number of approvals required and the number of approvals given.

        Raises:
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The session has no such token.
            ApproverInvalid: A user who signed cannot approve this token.
            TokenSignatureInvalid: A signature is not of the approver's key.
            StoreFull: The audit log cannot be written.
        """
        read = token_files.read_approval(file)
        if hashlib.sha256(read.approval_data).digest() != read.token:
            raise TokenFileInvalid("'token' is not the SHA-256 hash of 'approval_data'; the file was changed")
        token = self.quorum_tokens.find(session, read.token)
        signed = [self._signed(token, approval) for approval in read.approvals]
        with self._turn:
            token = self.quorum_tokens.find(session, read.token)
            self._record_alone()
            token.approvals.update(signed)
            required, count = self._progress(token)
            if count >= required:
                self.quorum_tokens.approve(token, self._rules.now.timeouts["approved"])
            self._record_shared()
            return required, count

    def delete_tokens(self, user: tuple[str, str] | None) -> None:
        """Delete the quorum tokens of a user, given by name and role; ``None`` for those of every user.

        Raises:
            StoreFull: The audit log cannot be written.
        """
        with self._turn:
            self._record_alone()
            if user is None:
                self.quorum_tokens.end_all()
            else:
                self.quorum_tokens.end_of_user(*user)
            self._record_shared()

    @contextmanager
    def without_user(self, username: str, role: str) -> Iterator[None]:
        """Delete the quorum tokens of a user with the block's change, which deletes the user. They stay after an error.

        The tokens of an HSM alone have ended with the user's sessions.
        """
        if self._shared is None:
            yield
            return
        with self._shared.changing():
            self.quorum_tokens.end_of_user(username, role)
            yield

    def _record_alone(self) -> None:
        """Write the command's entry before its effect on the memory, in an HSM alone."""
        if self._shared is None:
            self._audit.record()

    def _record_shared(self) -> None:
        """Write the quorum tokens and the command's entry, in a cluster."""
        if self._shared is not None:
            self._shared.write()

    def _signed(self, token: QuorumToken, approval: Approval) -> tuple[str, bytes]:
        """Return the approver's name and the key that signed the token.

        Raises:
            ApproverInvalid: The user cannot approve the token.
            TokenSignatureInvalid: The signature is not of the user's key.
        """
        row = self._approver(token, approval)
        if row.quorum_key is None:
            raise ApproverInvalid(f"the {row.role} {row.username!r} has registered no key for quorum")
        self._vault.open_user(row)
        if not proves(row.quorum_key, token.digest, approval.signature):
            raise TokenSignatureInvalid(f"the signature of {row.username!r} over this token does not hold")
        return row.username, row.quorum_key

    def _approver(self, token: QuorumToken, approval: Approval) -> UserRow:
        role = SERVICES[token.service].role
        if approval.role not in ("", role):
            raise ApproverInvalid(f"the service {token.service} takes approvals of the role {role}")
        try:
            row = self._accounts.known(approval.username, role)
        except UserNotFound as error:
            raise ApproverInvalid(str(error)) from error
        entry = None if token.key is None else self._ring.present(token.key)
        if token.key is not None and (entry is None or row.username not in policy.associates(entry)):
            raise ApproverInvalid(f"{row.username!r} is not a user of key {token.key:#018x}")
        return row

    def _progress(self, token: QuorumToken) -> tuple[int, int]:
        """Return the number of approvals required now, and the number given by users who still have the key they used.

        A token for a destroyed key has no approvals and requires one.
        """
        names, role = set(token.approvals), SERVICES[token.service].role
        if token.key is None:
            required = self._rules.now.values[token.service]
        else:
            entry = self._ring.present(token.key)
            required = policy.approvals_needed(entry, token.service) if entry else 1
            names &= policy.associates(entry) if entry else set()
        return required, sum(self._accounts.quorum_key(name, role) == token.approvals[name] for name in names)

    def _enough(self, token: QuorumToken) -> bool:
        required, count = self._progress(token)
        return count >= required

    @contextmanager
    def granted(self, session: Session, service: str) -> Iterator[None]:
        """Run the block, with an approved quorum token where the admin service takes approvals.

        The token stays after an error.

        Raises:
            ApprovalRequired: The session has no approved quorum token.
        """
        if self._rules.now.values[service] == NO_QUORUM:
            yield
            return
        with self._using(session, service, None):
            yield

    @contextmanager
    def granted_key(self, session: Session, service: str, entry: KeyEntry) -> Iterator[None]:
        """Run the block, with an approved quorum token where the key takes approvals.

        The token stays after an error.

        Raises:
            KeyQuorumFailed: The session has no approved quorum token.
        """
        if policy.approvals_needed(entry, service) == 0:
            yield
            return
        with self._using(session, service, entry.handle):
            yield

    def _using(self, session: Session, service: str, key: int | None) -> AbstractContextManager[None]:
        tokens = self.quorum_tokens if self._shared is None else self._shared
        return tokens.using(session, service, key, self._enough)

    def infos(self) -> list[TokenInfo]:
        """Return the quorum tokens of all users."""
        with self._lock:
            now = self._clock()
            return [
                TokenInfo(
                    token.username, token.service, token.key, *self._progress(token),
                    max(0, int(token.remaining(now))),
                )
                for token in self.quorum_tokens.alive()
            ]  # fmt: skip

    def set_value(self, service: str, value: int) -> None:
        """Set the number of approvals that an admin service takes.

        Raises:
            MalformedRequest: The service is unknown, or a key service.
            QuorumValueInvalid: The value is out of range.
            StoreFull: The disk is full.
        """
        if service not in (known := self._rules.now.values):
            raise MalformedRequest(f"a quorum value is of one of {', '.join(known)}, not {service[:32]!r}")
        with self._turn:
            if not NO_QUORUM <= value <= MAX_APPROVALS:
                raise QuorumValueInvalid(f"a quorum value is {NO_QUORUM} to {MAX_APPROVALS}, not {value}")
            rules = self._rules.now
            self._rules.change(replace(rules, values={**rules.values, service: value}))

    def set_timeout(self, timeout: str, seconds: int) -> None:
        """Set a timeout of future quorum tokens.

        Raises:
            MalformedRequest: There is no such timeout.
            QuorumValueInvalid: The time is out of range.
            StoreFull: The disk is full.
        """
        if timeout not in self._rules.now.timeouts:
            raise MalformedRequest(f"a timeout is one of {', '.join(self._rules.now.timeouts)}, not {timeout[:32]!r}")
        if not 1 <= seconds <= MAX_TIMEOUT:
            raise QuorumValueInvalid(f"a timeout is 1 to {MAX_TIMEOUT} seconds, not {seconds}")
        with self._turn:
            rules = self._rules.now
            self._rules.change(replace(rules, timeouts={**rules.timeouts, timeout: seconds}))

    def put_keys(self, row: UserRow, keys: RegisteredKeys, verifier: str | None = None) -> None:
        """Replace the registered keys of a user whose row is ``changing``, and the password if there is a new one.

        Raises:
            QuorumAdmins: Too few admins could then approve.
            StoreFull: The disk is full.
        """
        self.require_enough_admins(row, keys)
        self._accounts.put(row, replace(row, mfa_key=keys.mfa, quorum_key=keys.quorum), verifier)

    def require_enough_admins(self, row: UserRow, keys: RegisteredKeys) -> None:
        """Check that enough admins can approve after a user has these registered keys.

        Raises:
            QuorumAdmins: A quorum value is more than the number of admins that remain.
        """
        if row.role != ADMIN or row.quorum_key is None or keys.quorum is not None:
            return
        needed, left = max(self._rules.now.values.values()), self._accounts.approvers(ADMIN) - 1
        if needed > max(left, NO_QUORUM):
            raise QuorumAdmins(
                f"{row.username!r} is one of {left + 1} registered admins, and a quorum value is {needed}; lower that "
                "first, or register another admin"
            )
