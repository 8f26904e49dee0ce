"""Quorum tokens that all HSMs of a cluster know, in one sealed row of the database.

A token belongs to its user, not to a session. It is used up in the turn: in the transaction of the change that it
approves, or in one of its own before an operation that changes no row. So it is used once, whichever HSMs try.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from hsmcore.audit.events import QUORUM_TOKEN_USED
from hsmcore.audit.log import AuditLog
from hsmcore.errors import HsmError, StoreDamaged
from hsmcore.quorum.tokens import QuorumToken, QuorumTokens, State
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault

Enough = Callable[[QuorumToken], bool]
"""Tells whether a token has enough approvals."""


class SharedTokens:
    """Keeps the quorum tokens of a cluster's HSM as the database has them."""

    def __init__(
        self,
        tokens: QuorumTokens,
        store: Store,
        vault: Vault,
        log: AuditLog,
        turn: AbstractContextManager[object],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._tokens = tokens
        self._store = store
        self._vault = vault
        self._log = log
        self._turn = turn
        self._clock = clock
        self._version = 0

    def refresh(self) -> None:
        """Read the tokens, at the beginning and when another HSM has changed them.

        Raises:
            StoreDamaged: The row does not open, or is not the newest one.
        """
        sealed, version, newest = self._store.quorum_tokens()
        if version != newest:
            raise StoreDamaged("the stored quorum tokens are not the newest ones; restore the database")
        self._tokens.replace(self._decoded(self._vault.open_quorum_tokens(sealed, version)) if version else [])
        self._version = version

    def write(self) -> None:
        """Write the tokens that are in memory, in a transaction of its own. The caller has the turn.

        Raises:
            StoreFull: The disk is full.
        """
        with self.changing():
            pass

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Write the tokens that are in memory with the block's change. The caller has the turn.

        After an error the tokens in memory are those of the database, if that answers.
        """
        try:
            with self._store.transactions.with_quorum_tokens(self._sealed):
                yield
        except BaseException:
            with suppress(HsmError):
                self.refresh()
            raise

    @contextmanager
    def using(self, session: Session, service: str, key: int | None, enough: Enough) -> Iterator[None]:
        """Run the block with an approved token, which a success uses up.

        Raises:
            ApprovalRequired: The user has no approved token for the admin service.
            KeyQuorumFailed: The user has no approved token for the key.
        """
        if self._store.transactions.has_turn:
            token = self._tokens.take(session, service, key, enough)
            try:
                with self.changing():
                    yield
            except BaseException:
                self._tokens.put_back(token)
                raise
        else:
            with self._used(session), self._turn:
                token = self._tokens.take(session, service, key, enough)
                self.write()
            try:
                yield
            except BaseException:
                self._return(session, token)
                raise
        self._tokens.finish(token)

    def _return(self, session: Session, token: QuorumToken) -> None:
        """Make a token usable again after the failure of its operation, unless the database does not answer."""
        with suppress(HsmError), self._used(session), self._turn:
            self._tokens.put_back(token)
            self.write()

    @contextmanager
    def _used(self, session: Session) -> Iterator[None]:
        with self._log.separately(), self._log.command(QUORUM_TOKEN_USED, {"session": session}):
            yield

    def _sealed(self) -> tuple[bytes, int]:
        """Return the sealed tokens that can be approved or used, and their next version."""
        version = self._version + 1
        now = self._clock()
        tokens = [
            {
                "data": token.data.hex(), "service": token.service, "key": token.key, "username": token.username,
                "role": token.role, "approved": token.state is State.APPROVED, "seconds": token.remaining(now),
                "approvals": {name: key.hex() for name, key in token.approvals.items()},
            }
            for token in self._tokens.alive() if token.state is not State.IN_USE
        ]  # fmt: skip
        content = json.dumps({"written": time.time(), "tokens": tokens}, separators=(",", ":")).encode()
        self._version = version
        return self._vault.seal_quorum_tokens(content, version), version

    def _decoded(self, content: bytes) -> list[QuorumToken]:
        """Return the tokens. Their time goes on from now; a difference between two clocks never extends it."""
        read = json.loads(content)
        passed, now = max(0.0, time.time() - read["written"]), self._clock()
        return [_decoded(one, now, one["seconds"] - passed) for one in read["tokens"]]


def _decoded(one: dict[str, Any], now: float, seconds: float) -> QuorumToken:
    return QuorumToken(
        data=bytes.fromhex(one["data"]),
        service=one["service"],
        key=one["key"],
        username=one["username"],
        role=one["role"],
        session=None,
        since=now,
        timeout=seconds,
        state=State.APPROVED if one["approved"] else State.GENERATED,
        approvals={name: bytes.fromhex(key) for name, key in one["approvals"].items()},
    )
