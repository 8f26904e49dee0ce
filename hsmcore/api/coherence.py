"""Applies the changes of other HSMs of a cluster to what this HSM has in memory."""

from __future__ import annotations

from collections.abc import Sequence

from hsmcore.api.core import Core
from hsmcore.storage.rows import QUORUM, QUORUM_TOKENS, Change, read_changes


def apply(core: Core, subjects: Sequence[str] | None, lapsed: bool) -> None:
    """Apply changes; the caller holds the HSM's lock.

    Args:
        core: The HSM.
        subjects: The changes, each as in an entry of the audit log; ``None`` where any row may have changed.
        lapsed: Whether the lease had ended, so that prepared operations withhold their results.

    Raises:
        StateError: A row cannot be read. The HSM then does not renew its lease.
    """
    if lapsed:
        for session in core.sessions.all():
            session.forget()
    if subjects is None:
        _forget_all(core)
        return
    newest = {change.subject: change for text in subjects for change in read_changes(text)}
    for change in newest.values():
        _apply(core, change)


def _apply(core: Core, change: Change) -> None:
    kind, _, name = change.subject.partition("/")
    if kind == "key":
        _apply_key(core, int(name), live=change.live)
    elif kind == "user":
        role, _, username = name.partition("/")
        core.accounts.refresh(username, role)
        if not core.accounts.exists(username, role):
            _end_sessions(core, username, role)
            core.ring.forget_user(username)
    elif change.subject == QUORUM:
        core.rules.refresh()
    elif change.subject == QUORUM_TOKENS:
        core.approvals.refresh_tokens()


def _apply_key(core: Core, handle: int, *, live: bool) -> None:
    """Forget a key. Multi-part operations go on where the key's users and approvals are as before."""
    if not core.ring.refresh(handle, live=live):
        core.streams.drop_key(handle)
    if not live:
        core.approvals.quorum_tokens.drop_key(handle)


def _end_sessions(core: Core, username: str, role: str) -> None:
    for session in core.sessions.of_user(username, role):
        core.sessions.end(session)
        core.log.record_end_later("users.close_session", session)
        core.ring.drop_session(session)
        core.streams.drop_session(session)
        core.approvals.quorum_tokens.drop_session(session)


def _forget_all(core: Core) -> None:
    """Read users and quorum values again, and forget keys, prepared operations and multi-part operations."""
    core.ring.forget_all()
    core.accounts.refresh_all()
    core.rules.refresh()
    core.approvals.refresh_tokens()
    for session in core.sessions.all():
        session.forget()
        core.streams.drop_session(session)
        if not core.accounts.exists(session.username, session.role):
            _end_sessions(core, session.username, session.role)
