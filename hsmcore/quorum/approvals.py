"""Approvals: quorum values as stored, tokens as files, and whose signatures count."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from hsmcore.keys.records import Entry
from hsmcore.primitives.proofs import proves
from hsmcore.quorum.tokens import MAX_TIMEOUT, NO_QUORUM, QuorumRules, Token, Tokens
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
    """What may be known about a token; ``seconds`` are those in which it may still be approved or used.

    ``key`` is the handle that one of a key service is for.
    """

    username: str
    service: str
    key: int | None
    required: int
    approvals: int
    seconds: int


class Approvals:
    """The quorum of an HSM: its values, and the approvals that operations take."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        users: Accounts,
        ring: KeyRing,
        lock: RLock,
        clock: Callable[[], float],
        log: AuditLog,
    ) -> None:
        self._store = store
        self._vault = vault
        self._users = users
        self._ring = ring
        self._lock = lock
        self._clock = clock
        self._audit = log
        self.tokens = Tokens(lock, clock)
        self.rules = QuorumRules.decode(vault.open_quorum(store.quorum()))

    def request(self, session: Session, service: str, key: int | None) -> bytes:
        """Return the file of a new token.

        Raises ``PermissionDenied``, ``KeyNotFound``, ``QuorumTokenRefused``, ``QuorumTokenLimit``, and
        ``MalformedRequest`` for an unknown service, a key where there is none, or none where there is one.
        """
        row = SERVICES.get(service)
        if row is None:
            raise MalformedRequest(f"there is no quorum service {service[:32]!r}; there are {', '.join(SERVICES)}")
        if session.role != row.role:
            raise PermissionDenied(f"the tokens of the service {service} are for the role {row.role}")
        if (key is None) == bool(row.attribute):
            raise MalformedRequest(f"a token of the service {service} is for {'a' if key is None else 'no'} key")
        if key is None:
            needed = self.rules.values[service] != NO_QUORUM
        else:
            needed = policy.approvals_needed(self._ring.entry(session, key), service) > 0
        if not needed:
            raise QuorumTokenRefused(f"the service {service} takes no approval here: its quorum value is not above 1")
        with self._lock:
            self.tokens.require_room(session, service, key)
            self._audit.record()
            token = self.tokens.add(session, service, key, self.rules.timeouts["generated"])
        return token_files.encode_approval(row.label, key, token.data, token.digest)

    def approve(self, session: Session, file: bytes) -> tuple[int, int]:
        """Add the signatures of an approval file to its token, all or none; return approvals required, and there are.

        An approver counts once. Raises ``TokenFileInvalid``, ``TokenUnknown``, ``ApproverInvalid``,
        ``TokenSignatureInvalid``.
        """
        read = token_files.read_approval(file)
        if hashlib.sha256(read.approval_data).digest() != read.token:
            raise TokenFileInvalid("'token' is not the SHA-256 hash of 'approval_data'; the file was changed")
        token = self.tokens.find(session, read.token)
        signed = [self._signed(token, approval) for approval in read.approvals]
        with self._lock:
            token = self.tokens.find(session, read.token)
            self._audit.record()
            token.approvals.update(signed)
            required, count = self._progress(token)
            if count >= required:
                self.tokens.approve(token, self.rules.timeouts["approved"])
            return required, count

    def _signed(self, token: Token, approval: Approval) -> tuple[str, bytes]:
        """Return an approver's name and key, with which the token was signed."""
        row = self._approver(token, approval)
        if row.quorum_key is None:
            raise ApproverInvalid(f"the {row.role} {row.username!r} has registered no key for quorum")
        self._vault.open_user(row)
        if not proves(row.quorum_key, token.digest, approval.signature):
            raise TokenSignatureInvalid(f"the signature of {row.username!r} over this token does not hold")
        return row.username, row.quorum_key

    def _approver(self, token: Token, approval: Approval) -> UserRow:
        role = SERVICES[token.service].role
        if approval.role not in ("", role):
            raise ApproverInvalid(f"the service {token.service} is approved by the role {role}")
        try:
            row = self._users.known(approval.username, role)
        except UserNotFound as error:
            raise ApproverInvalid(str(error)) from error
        entry = None if token.key is None else self._ring.present(token.key)
        if token.key is not None and (entry is None or row.username not in policy.associates(entry)):
            raise ApproverInvalid(f"{row.username!r} is no user of key {token.key}")
        return row

    def _progress(self, token: Token) -> tuple[int, int]:
        """Return the approvals that are required, and those there are of users who have the key still they signed with.

        The values and users of the moment count; a key that is gone has none, and takes one more.
        """
        names, role = set(token.approvals), SERVICES[token.service].role
        if token.key is None:
            required = self.rules.values[token.service]
        else:
            entry = self._ring.present(token.key)
            required = policy.approvals_needed(entry, token.service) if entry else 1
            names &= policy.associates(entry) if entry else set()
        return required, sum(self._users.quorum_key(name, role) == token.approvals[name] for name in names)

    def _enough(self, token: Token) -> bool:
        required, count = self._progress(token)
        return count >= required

    @contextmanager
    def granted(self, session: Session, service: str) -> Iterator[None]:
        """Let what is done inside happen, with an approved token where the service takes approvals.

        What raises leaves the token for another attempt. Raises ``ApprovalRequired``.
        """
        if self.rules.values[service] == NO_QUORUM:
            yield
            return
        with self.tokens.using(session, service, None, self._enough):
            yield

    @contextmanager
    def granted_key(self, session: Session, service: str, entry: Entry) -> Iterator[None]:
        """Let what is done with a key inside happen, with an approved token where the key takes approvals.

        What raises leaves the token for another attempt. Raises ``KeyQuorumFailed``.
        """
        if policy.approvals_needed(entry, service) == 0:
            yield
            return
        with self.tokens.using(session, service, entry.handle, self._enough):
            yield

    def infos(self) -> list[TokenInfo]:
        """Return the tokens of all users."""
        with self._lock:
            now = self._clock()
            return [
                TokenInfo(
                    token.session.username, token.service, token.key, *self._progress(token),
                    max(0, int(token.remaining(now))),
                )
                for token in self.tokens.alive()
            ]  # fmt: skip

    def set_value(self, service: str, value: int) -> None:
        """Set how many approvals an admin service takes. Raises ``QuorumValueInvalid``, ``MalformedRequest``."""
        if service not in self.rules.values:
            raise MalformedRequest(f"a quorum value is of one of {', '.join(self.rules.values)}, not {service[:32]!r}")
        with self._lock:
            if not NO_QUORUM <= value <= MAX_APPROVALS:
                raise QuorumValueInvalid(f"a quorum value is {NO_QUORUM} to {MAX_APPROVALS}, not {value}")
            admins = self._users.approvers(ADMIN)
            if value > max(admins, NO_QUORUM):
                raise QuorumValueInvalid(f"a quorum of {value} takes {value} registered admins; there are {admins}")
            values = {**self.rules.values, service: value}
            if values["user"] > values["quorum"]:
                raise QuorumValueInvalid(
                    f"the value of user is at most that of quorum, which guards it; {values['user']} is more than "
                    f"{values['quorum']}"
                )
            self._change(replace(self.rules, values=values))

    def set_timeout(self, timeout: str, seconds: int) -> None:
        """Set a timeout of tokens to come. Raises ``QuorumValueInvalid``, ``MalformedRequest``."""
        if timeout not in self.rules.timeouts:
            raise MalformedRequest(f"a timeout is one of {', '.join(self.rules.timeouts)}, not {timeout[:32]!r}")
        if not 1 <= seconds <= MAX_TIMEOUT:
            raise QuorumValueInvalid(f"a timeout is 1 to {MAX_TIMEOUT} seconds, not {seconds}")
        with self._lock:
            self._change(replace(self.rules, timeouts={**self.rules.timeouts, timeout: seconds}))

    def _change(self, rules: QuorumRules) -> None:
        self._store.change_quorum(self._vault.seal_quorum(rules.encode()))
        self.rules = rules

    def put_keys(self, row: UserRow, keys: RegisteredKeys, verifier: str | None = None) -> None:
        """Replace the registered keys of a user whose row is ``changing``, and the password if there is a new one.

        Raises:
            QuorumAdmins: Too few admins could then approve.
            StoreFull: The disk is full.
        """
        self.require_enough_admins(row, keys)
        self._users.put(row, replace(row, mfa_key=keys.mfa, quorum_key=keys.quorum), verifier)

    def require_enough_admins(self, row: UserRow, keys: RegisteredKeys) -> None:
        """Raise ``QuorumAdmins`` where a user who loses the key leaves fewer approvers than a value asks for."""
        if row.role != ADMIN or row.quorum_key is None or keys.quorum is not None:
            return
        needed, left = max(self.rules.values.values()), self._users.approvers(ADMIN) - 1
        if needed > max(left, NO_QUORUM):
            raise QuorumAdmins(
                f"{row.username!r} is one of {left + 1} registered admins, and a quorum value is {needed}; lower that "
                "first, or register another admin"
            )
