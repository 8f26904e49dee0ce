"""Approvals: quorum values as stored, tokens as files, and whose signatures count."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock

from hsmcore import tokenfiles
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
from hsmcore.mfa import Keys
from hsmcore.primitives.proofs import proves
from hsmcore.quorum import MAX_TIMEOUT, MAX_VALUE, NO_QUORUM, SERVICES, QuorumRules, Token, Tokens
from hsmcore.sealing import UserRow, Vault
from hsmcore.sessions import ADMIN, Session
from hsmcore.store import Store
from hsmcore.tokenfiles import Approval
from hsmcore.users import Users


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What may be known about a token; ``seconds`` are those in which it may still be approved or used."""

    username: str
    service: str
    required: int
    approvals: int
    seconds: int


class Approvals:
    """The quorum of an HSM: its values, and the approvals that operations take."""

    def __init__(self, store: Store, vault: Vault, users: Users, lock: RLock, clock: Callable[[], float]) -> None:
        self._store = store
        self._vault = vault
        self._users = users
        self._lock = lock
        self._clock = clock
        self.tokens = Tokens(lock, clock)
        self.rules = QuorumRules.decode(vault.open_quorum(store.hsm().quorum))

    def request(self, session: Session, service: str) -> bytes:
        """Return the file of a new token.

        Raises ``PermissionDenied``, ``QuorumTokenRefused``, ``QuorumTokenLimit``, and ``MalformedRequest`` for an
        unknown service.
        """
        row = SERVICES.get(service)
        if row is None:
            raise MalformedRequest(f"there is no quorum service {service[:32]!r}; there are {', '.join(SERVICES)}")
        if session.role != row.role:
            raise PermissionDenied(f"the tokens of the service {service} are for the role {row.role}")
        if self.rules.values[service] == NO_QUORUM:
            raise QuorumTokenRefused(f"the service {service} takes no approval: its quorum value is {NO_QUORUM}")
        token = self.tokens.add(session, service, self.rules.timeouts["generated"])
        return tokenfiles.encode_approval(row.label, token.data, token.digest)

    def approve(self, session: Session, file: bytes) -> tuple[int, int]:
        """Add the signatures of an approval file to its token, all or none; return approvals required, and there are.

        An approver counts once. Raises ``TokenFileInvalid``, ``TokenUnknown``, ``ApproverInvalid``,
        ``TokenSignatureInvalid``.
        """
        read = tokenfiles.read_approval(file)
        if hashlib.sha256(read.approval_data).digest() != read.token:
            raise TokenFileInvalid("'token' is not the SHA-256 hash of 'approval_data'; the file was changed")
        token = self.tokens.find(session, read.token)
        signed = [self._signed(token, approval) for approval in read.approvals]
        with self._lock:
            token = self.tokens.find(session, read.token)
            token.approvals.update(signed)
            required = self._required(token)
            if self._enough(token):
                self.tokens.approve(token, self.rules.timeouts["approved"])
            return required, self._count(token)

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
        try:
            if approval.role not in ("", role):
                raise ApproverInvalid(f"the service {token.service} is approved by the role {role}")
            return self._users.known(approval.username, role)
        except UserNotFound as error:
            raise ApproverInvalid(str(error)) from error

    def _required(self, token: Token) -> int:
        return self.rules.values[token.service]

    def _count(self, token: Token) -> int:
        """Count the approvals of users who have the key still that they signed with."""
        role = SERVICES[token.service].role
        return sum(self._users.quorum_key(name, role) == key for name, key in token.approvals.items())

    def _enough(self, token: Token) -> bool:
        return self._count(token) >= self._required(token)

    @contextmanager
    def granted(self, session: Session, service: str) -> Iterator[None]:
        """Let what is done inside happen, with an approved token where the service takes approvals.

        What raises leaves the token for another attempt. Raises ``ApprovalRequired``.
        """
        if self.rules.values[service] == NO_QUORUM:
            yield
            return
        with self.tokens.using(session, service, self._enough):
            yield

    def infos(self) -> list[TokenInfo]:
        """Return the tokens of all users."""
        with self._lock:
            now = self._clock()
            return [
                TokenInfo(
                    token.session.username, token.service, self._required(token), self._count(token),
                    max(0, int(token.remaining(now))),
                )
                for token in self.tokens.alive()
            ]  # fmt: skip

    def set_value(self, service: str, value: int) -> None:
        """Set how many approvals an admin service takes. Raises ``QuorumValueInvalid``, ``MalformedRequest``."""
        if service not in self.rules.values:
            raise MalformedRequest(f"a quorum value is of one of {', '.join(self.rules.values)}, not {service[:32]!r}")
        with self._lock:
            if not NO_QUORUM <= value <= MAX_VALUE:
                raise QuorumValueInvalid(f"a quorum value is {NO_QUORUM} to {MAX_VALUE}, not {value}")
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

    def require_enough_admins(self, row: UserRow, keys: Keys) -> None:
        """Raise ``QuorumAdmins`` where a user who loses the key leaves fewer approvers than a value asks for."""
        if row.role != ADMIN or row.quorum_key is None or keys.quorum is not None:
            return
        needed, left = max(self.rules.values.values()), self._users.approvers(ADMIN) - 1
        if needed > max(left, NO_QUORUM):
            raise QuorumAdmins(
                f"{row.username!r} is one of {left + 1} registered admins, and a quorum value is {needed}; lower that "
                "first, or register another admin"
            )
