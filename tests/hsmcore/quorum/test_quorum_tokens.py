"""Quorum tokens: their session, their end, how many there are, and their states."""

from __future__ import annotations

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    ApprovalRequired,
    HsmError,
    MalformedRequest,
    PermissionDenied,
    QuorumTokenLimit,
    QuorumTokenRefused,
    QuorumValueInvalid,
    TokenUnknown,
    Unauthenticated,
)
from hsmcore.quorum import tokens
from hsmcore.quorum.tokens import MAX_TOKENS, TRANSITIONS, Event, State
from hsmcore.sessions.session import Session

from .conftest import GENERATED, PASSWORD, Site


@pytest.mark.sqlite
def test_a_token_belongs_to_its_session(site: Site, admin: Session) -> None:
    file = site.file(admin, "user", "admin", "ad2")
    again, other = site.login("admin"), site.login("ad2")
    for session in (again, other):
        with pytest.raises(TokenUnknown):
            site.hsm.quorum.approve(session, file)
    site.hsm.quorum.approve(admin, file)
    for session in (again, other):
        with pytest.raises(ApprovalRequired):
            site.hsm.users.create(session, "new", "admin", PASSWORD)
    site.hsm.users.logout(admin)
    assert site.hsm.quorum.tokens(other) == []
    with pytest.raises(Unauthenticated):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.approve(again, file)


@pytest.mark.sqlite
def test_tokens_end_with_the_process(site: Site, admin: Session) -> None:
    file = site.file(admin, "user", "admin", "ad2")
    site.hsm.close()
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("admin", PASSWORD, "admin")
        assert hsm.quorum.tokens(session) == []
        with pytest.raises(TokenUnknown):
            hsm.quorum.approve(session, file)


@pytest.mark.parametrize(("later", "good"), [(0, True), (GENERATED, True), (GENERATED + 1, False), (-1, False)])
@pytest.mark.parametrize("approved", [False, True])
def test_tokens_expire_and_a_clock_that_goes_back_ends_them(
    site: Site, admin: Session, approved: bool, later: float, good: bool
) -> None:
    file = site.file(admin, "user", "admin", "ad2")
    if approved:
        site.now[0] += GENERATED
        site.hsm.quorum.approve(admin, file)
    site.now[0] += later
    if not approved and good:
        site.hsm.quorum.approve(admin, file)
    if good:
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
        return
    assert site.hsm.quorum.tokens(admin) == []
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.approve(admin, file)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    site.present(admin, "user", "admin", "ad2")
    site.hsm.users.create(admin, "new", "admin", PASSWORD)


def test_approving_again_gives_no_more_time(site: Site, admin: Session) -> None:
    file = site.file(admin, "user", "admin", "ad2")
    site.hsm.quorum.approve(admin, file)
    site.now[0] += GENERATED - 1
    site.hsm.quorum.approve(admin, site.signed(file, "ad3"))
    site.now[0] += 2
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)


def test_timeouts_are_set_for_tokens_to_come(site: Site, admin: Session) -> None:
    before = site.hsm.quorum.request(admin, "user")
    site.hsm.quorum.set_timeout(admin, "generated", 10)
    site.hsm.quorum.set_timeout(admin, "approved", 20)
    assert site.hsm.quorum.timeouts() == {"generated": 10, "approved": 20}
    site.now[0] += 11
    site.hsm.quorum.approve(admin, site.signed(before, "admin", "ad2"))
    site.now[0] += 21
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    for timeout, seconds in (("generated", 0), ("approved", -1), ("approved", 86_401)):
        with pytest.raises(QuorumValueInvalid):
            site.hsm.quorum.set_timeout(admin, timeout, seconds)
    with pytest.raises(MalformedRequest):
        site.hsm.quorum.set_timeout(admin, "other", 10)
    assert site.hsm.quorum.timeouts() == {"generated": 10, "approved": 20}


def test_one_active_token_a_user_and_service(site: Site, admin: Session) -> None:
    site.hsm.quorum.request(admin, "user")
    again, other = site.login("admin"), site.login("ad2")
    for session in (admin, again):
        with pytest.raises(QuorumTokenRefused, match="active"):
            site.hsm.quorum.request(session, "user")
    site.hsm.quorum.request(again, "quorum")
    site.hsm.quorum.request(other, "user")
    listed = [(token.username, token.service) for token in site.hsm.quorum.tokens(other)]
    assert listed == [("admin", "user"), ("admin", "quorum"), ("ad2", "user")]
    site.hsm.quorum.delete_tokens(admin, "user")
    assert [token.username for token in site.hsm.quorum.tokens(other)] == ["ad2"]
    site.hsm.quorum.request(admin, "user")
    site.hsm.quorum.delete_tokens(other, "all")
    assert site.hsm.quorum.tokens(other) == []
    with pytest.raises(MalformedRequest):
        site.hsm.quorum.delete_tokens(other, "mine")


def test_the_list_says_how_far_a_token_is(site: Site, admin: Session) -> None:
    file = site.file(admin, "user", "ad2")
    site.now[0] += 100
    (token,) = site.hsm.quorum.tokens(admin)
    assert (token.required, token.approvals, token.seconds) == (2, 0, 500)
    site.hsm.quorum.approve(admin, file)
    (token,) = site.hsm.quorum.tokens(admin)
    assert (token.required, token.approvals, token.seconds) == (2, 1, 500)
    site.hsm.quorum.approve(admin, site.signed(file, "ad3"))
    (token,) = site.hsm.quorum.tokens(admin)
    assert (token.required, token.approvals, token.seconds) == (2, 2, 600)


def test_a_token_that_nobody_needs_is_not_given(site: Site) -> None:
    session, user = site.login("admin"), site.login("cu1")
    for service in ("user", "quorum", "cluster"):
        with pytest.raises(QuorumTokenRefused):
            site.hsm.quorum.request(session, service)
        with pytest.raises(PermissionDenied):
            site.hsm.quorum.request(user, service)
    with pytest.raises(MalformedRequest):
        site.hsm.quorum.request(session, "nonsense")


def test_there_are_at_most_1024_tokens(
    site: Site, admin: Session, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    assert MAX_TOKENS == 1024
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    site.hsm.quorum.request(admin, "user")
    site.hsm.quorum.request(admin, "quorum")
    other = site.login("ad2")
    with pytest.raises(QuorumTokenLimit):
        site.hsm.quorum.request(other, "user")
    site.now[0] += GENERATED + 1
    site.hsm.quorum.request(other, "user")
    assert len(site.hsm.quorum.tokens(other)) == 1


def test_the_table_of_states_is_whole() -> None:
    allowed = {(event, before): after for event, rows in TRANSITIONS.items() for before, after in rows.items()}
    assert allowed == {
        (Event.APPROVE, State.GENERATED): State.APPROVED,
        (Event.APPROVE, State.APPROVED): State.APPROVED,
        (Event.USE, State.APPROVED): State.IN_USE,
        (Event.SUCCEED, State.IN_USE): State.GONE,
        (Event.SUCCEED, State.GONE): State.GONE,
        (Event.FAIL, State.IN_USE): State.APPROVED,
        (Event.FAIL, State.GONE): State.GONE,
        **{(Event.END, state): State.GONE for state in State},
    }


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_what_the_table_does_not_have_is_refused(event: Event, state: State) -> None:
    token = tokens.QuorumToken(
        b"data", "user", None, "admin", "admin", Session(1, 1, "admin", "admin"), 0.0, 1.0, state
    )
    after = TRANSITIONS[event].get(state)
    if after is None:
        with pytest.raises(HsmError):
            token.happens(event)
        assert token.state is state
    else:
        token.happens(event)
        assert token.state is after
