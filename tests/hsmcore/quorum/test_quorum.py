"""Quorum (M of N): values, tokens, approvals signed by the openssl command, expiry, replay, and who may approve."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    ApprovalRequired,
    ApproverInvalid,
    HsmError,
    MalformedRequest,
    MfaSharesKey,
    PermissionDenied,
    PublicKeyInvalid,
    QuorumAdmins,
    QuorumTokenLimit,
    QuorumTokenRefused,
    QuorumValueInvalid,
    StoreDamaged,
    TokenFileInvalid,
    TokenSignatureInvalid,
    TokenUnknown,
    Unauthenticated,
    UserBusy,
    UserExists,
)
from hsmcore.quorum import tokens
from hsmcore.quorum.tokens import MAX_TOKENS, TRANSITIONS, Event, State
from hsmcore.sessions.session import Session
from tests.hsmcore.databases import copied, database
from tests.postgresql import Server
from tests.signing import Signer

PASSWORD = b"quorum-pass-1"
NEW = b"quorum-pass-2"
APPROVERS = ("admin", "ad2", "ad3")
"""Admins who have registered a key; ``ad4`` has not."""
GENERATED = 600


@dataclass
class Site:
    """An open HSM, the time that it sees, and the keys of its approvers."""

    hsm: Hsm
    home: Path
    now: list[float]
    signers: dict[str, Signer]

    def login(self, name: str, password: bytes = PASSWORD) -> Session:
        return self.hsm.users.login(name, password, "crypto-user" if name == "cu1" else "admin")

    def names(self) -> set[str]:
        return {user.username for user in self.hsm.users.all()}

    def raised(self, session: Session, value: int = 2) -> None:
        """Raise the values of quorum and user, in that order."""
        self.hsm.quorum.set_value(session, "quorum", value)
        self.present(session, "quorum", *APPROVERS[:value])
        self.hsm.quorum.set_value(session, "user", value)

    def file(self, session: Session, service: str, *approvers: str) -> bytes:
        """Return the file of a new token, signed by these approvers."""
        return self.signed(self.hsm.quorum.request(session, service), *approvers)

    def signed(self, file: bytes, *approvers: str) -> bytes:
        for name in approvers:
            file = self.signers[name].approved(file, name)
        return file

    def present(self, session: Session, service: str, *approvers: str) -> tuple[int, int]:
        return self.hsm.quorum.approve(session, self.file(session, service, *approvers))


def _register(hsm: Hsm, session: Session, signer: Signer) -> None:
    hsm.quorum.register(session, signer.public, signer.signed(hsm.quorum.request(session, "registration")))


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Signer(folder, name) for name in (*APPROVERS, "ad4", "cu1")}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, signers: dict[str, Signer]) -> Path:
    """A closed HSM whose values are all 1."""
    home = tmp_path_factory.mktemp("quorum") / "hsm"
    with Hsm.initialize(home, admin_password=PASSWORD) as hsm:
        admin = hsm.users.login("admin", PASSWORD, "admin")
        for name in ("ad2", "ad3", "ad4"):
            hsm.users.create(admin, name, "admin", PASSWORD)
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORD)
        for name in APPROVERS:
            _register(hsm, hsm.users.login(name, PASSWORD, "admin"), signers[name])
    return home


@pytest.fixture
def site(template: Path, tmp_path: Path, signers: dict[str, Signer], engine: Server | None) -> Iterator[Site]:
    home, now = copied(engine, template, tmp_path / "hsm"), [1000.0]
    with Hsm.open(home, clock=lambda: now[0]) as hsm:
        yield Site(hsm, home, now, signers)


@pytest.fixture
def admin(site: Site) -> Session:
    """A session of ``admin`` in an HSM whose quorum and user values are 2."""
    session = site.login("admin")
    site.raised(session)
    return session


def test_the_first_set_up(site: Site) -> None:
    assert site.hsm.quorum.values() == {"user": 1, "quorum": 1, "cluster": 1}
    assert site.hsm.quorum.timeouts() == {"generated": 600, "approved": 600}
    session = site.login("admin")
    site.hsm.quorum.set_value(session, "quorum", 2)
    with pytest.raises(ApprovalRequired):
        site.hsm.quorum.set_value(session, "user", 2)
    assert site.present(session, "quorum", "admin", "ad2") == (2, 2)
    site.hsm.quorum.set_value(session, "user", 2)
    assert site.hsm.quorum.values() == {"user": 2, "quorum": 2, "cluster": 1}
    registered = {user.username for user in site.hsm.users.all() if user.quorum}
    assert registered == set(APPROVERS)


def test_values_survive_reopening(site: Site, admin: Session) -> None:
    site.hsm.close()
    with Hsm.open(site.home) as hsm:
        assert hsm.quorum.values() == {"user": 2, "quorum": 2, "cluster": 1}
        with pytest.raises(ApprovalRequired, match="Quorum approval is required for this operation"):
            hsm.users.create(hsm.users.login("admin", PASSWORD, "admin"), "new", "admin", PASSWORD)


def test_a_token_approves_one_operation_once(site: Site, admin: Session) -> None:
    file = site.file(admin, "user", "admin", "ad3")
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    assert site.hsm.quorum.approve(admin, file) == (2, 2)
    site.hsm.users.create(admin, "new", "admin", PASSWORD)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "more", "admin", PASSWORD)
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.approve(admin, file)
    assert site.hsm.quorum.tokens(admin) == []
    assert "new" in site.names()
    assert "more" not in site.names()


PROTECTED: dict[str, tuple[str, Callable[[Hsm, Session], None]]] = {
    "create": ("user", lambda hsm, session: hsm.users.create(session, "new", "crypto-user", PASSWORD)),
    "delete": ("user", lambda hsm, session: hsm.users.delete(session, "cu1", "crypto-user")),
    "password": ("user", lambda hsm, session: hsm.users.change_password(session, "cu1", "crypto-user", NEW)),
    "value": ("quorum", lambda hsm, session: hsm.quorum.set_value(session, "cluster", 2)),
}


@pytest.mark.parametrize(("service", "call"), PROTECTED.values(), ids=PROTECTED)
def test_what_takes_approval(
    site: Site, admin: Session, service: str, call: Callable[[Hsm, Session], None]
) -> None:  # fmt: skip
    other = {"user": "quorum", "quorum": "user"}[service]
    site.present(admin, other, "admin", "ad2")
    before = site.hsm.users.all(), site.hsm.quorum.values()
    with pytest.raises(ApprovalRequired, match=service):
        call(site.hsm, admin)
    assert (site.hsm.users.all(), site.hsm.quorum.values()) == before
    site.present(admin, service, "ad3", "ad2")
    call(site.hsm, admin)
    assert [token.service for token in site.hsm.quorum.tokens(admin)] == [other]


def test_mfa_by_an_admin_takes_approval(site: Site, admin: Session) -> None:
    for name, role in (("cu1", "crypto-user"), ("admin", "admin")):
        signer = site.signers[name]
        file = signer.signed(site.hsm.users.mfa_token(admin, name, role))
        with pytest.raises(ApprovalRequired):
            site.hsm.users.register_mfa(admin, name, role, file, signer.public)
        with pytest.raises(ApprovalRequired):
            site.hsm.users.deregister_mfa(admin, name, role)
        site.present(admin, "user", "ad2", "ad3")
        file = signer.signed(site.hsm.users.mfa_token(admin, name, role))
        site.hsm.users.register_mfa(admin, name, role, file, signer.public)
    site.present(admin, "user", "ad2", "ad3")
    site.hsm.users.deregister_mfa(admin, "cu1", "crypto-user")
    assert site.hsm.quorum.tokens(admin) == []


def test_what_takes_none(site: Site, admin: Session) -> None:
    site.hsm.users.change_password(admin, "admin", "admin", NEW)
    user = site.login("cu1")
    site.hsm.users.change_password(user, "cu1", "crypto-user", NEW)
    signer = site.signers["cu1"]
    file = signer.signed(site.hsm.users.mfa_token(user, "cu1", "crypto-user"))
    site.hsm.users.register_mfa(user, "cu1", "crypto-user", file, signer.public)
    site.hsm.users.deregister_mfa(user, "cu1", "crypto-user")
    site.hsm.quorum.set_timeout(admin, "generated", 30)


def test_an_operation_that_fails_leaves_the_token(site: Site, admin: Session) -> None:
    site.present(admin, "user", "admin", "ad2")
    with pytest.raises(UserExists):
        site.hsm.users.create(admin, "ad2", "admin", PASSWORD)
    user = site.login("cu1")
    with pytest.raises(UserBusy):
        site.hsm.users.delete(admin, "cu1", "crypto-user")
    site.hsm.users.logout(user)
    site.hsm.users.delete(admin, "cu1", "crypto-user")
    assert site.hsm.quorum.tokens(admin) == []


def test_of_two_operations_at_once_one_has_the_token(site: Site, admin: Session) -> None:
    site.present(admin, "user", "admin", "ad2")
    outcomes: list[str] = []

    def create(name: str) -> None:
        try:
            site.hsm.users.create(admin, name, "crypto-user", PASSWORD)
        except ApprovalRequired:
            outcomes.append("refused")
        else:
            outcomes.append("created")

    threads = [threading.Thread(target=create, args=(f"user{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["created", "refused", "refused", "refused"]
    assert len({name for name in site.names() if name.startswith("user")}) == 1


def test_approvals_add_up_and_each_approver_counts_once(site: Site, admin: Session) -> None:
    file = site.hsm.quorum.request(admin, "user")
    assert site.hsm.quorum.approve(admin, file) == (2, 0)
    for _ in range(2):
        assert site.hsm.quorum.approve(admin, site.signed(file, "admin", "admin")) == (2, 1)
    upper = site.signers["admin"].approved(file, "ADMIN")
    assert site.hsm.quorum.approve(admin, upper) == (2, 1)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    assert site.hsm.quorum.approve(admin, site.signers["ad2"].approved(file, "ad2", role=None)) == (2, 2)
    site.hsm.users.create(admin, "new", "admin", PASSWORD)


def test_who_cannot_approve(site: Site, admin: Session) -> None:
    user = site.login("cu1")
    _register(site.hsm, user, site.signers["cu1"])
    file = site.hsm.quorum.request(admin, "user")
    for name, role in (("ad4", "admin"), ("cu1", "crypto-user"), ("cu1", None), ("nobody", "admin"), ("ad2", "root")):
        signer = site.signers.get(name, site.signers["ad4"])
        with pytest.raises(ApproverInvalid):
            site.hsm.quorum.approve(admin, signer.approved(site.signed(file, "ad3"), name, role))
    with pytest.raises(TokenSignatureInvalid, match="ad2"):
        site.hsm.quorum.approve(admin, site.signers["ad3"].approved(file, "ad2"))
    # A file is taken as a whole or not at all.
    assert site.hsm.quorum.approve(admin, file) == (2, 0)


def test_an_approval_is_for_one_token(site: Site, admin: Session) -> None:
    first = site.file(admin, "user", "admin", "ad2")
    site.hsm.quorum.delete_tokens(admin, "user")
    second = json.loads(site.hsm.quorum.request(admin, "user"))
    second["signatures"] = json.loads(first)["signatures"]
    with pytest.raises(TokenSignatureInvalid):
        site.hsm.quorum.approve(admin, json.dumps(second).encode())
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.approve(admin, first)
    for change in ({"token": json.loads(first)["token"]}, {"approval_data": json.loads(first)["approval_data"]}):
        with pytest.raises(TokenFileInvalid):
            site.hsm.quorum.approve(admin, json.dumps(second | change).encode())


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


def test_values_that_are_refused(site: Site) -> None:
    session = site.login("ad4")
    for service, value in (("quorum", 0), ("quorum", -1), ("quorum", 9), ("user", 9), ("cluster", 0)):
        with pytest.raises(QuorumValueInvalid):
            site.hsm.quorum.set_value(session, service, value)
    for service in ("registration", "key-usage", "", "User"):
        with pytest.raises(MalformedRequest):
            site.hsm.quorum.set_value(session, service, 2)
    assert site.hsm.quorum.values() == {"user": 1, "quorum": 1, "cluster": 1}


def test_the_values_change_in_any_order(site: Site) -> None:
    session = site.login("ad4")
    site.hsm.quorum.set_value(session, "user", 2)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(session, "new", "admin", PASSWORD)
    site.hsm.quorum.set_value(session, "user", 4)
    assert site.present(session, "user", *APPROVERS) == (4, 3)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(session, "new", "admin", PASSWORD)
    site.hsm.quorum.set_value(session, "quorum", 3)
    site.present(session, "quorum", *APPROVERS)
    site.hsm.quorum.set_value(session, "quorum", 1)
    site.hsm.quorum.set_value(session, "user", 1)
    site.hsm.users.create(session, "new", "admin", PASSWORD)
    with pytest.raises(QuorumTokenRefused):
        site.hsm.quorum.request(session, "quorum")


def test_a_value_that_was_raised_meanwhile_counts(site: Site, admin: Session) -> None:
    other = site.login("ad2")
    site.present(admin, "user", "admin", "ad2")
    for service in ("quorum", "user"):
        site.present(other, "quorum", *APPROVERS)
        site.hsm.quorum.set_value(other, service, 3)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)


def test_an_approver_with_another_key_or_none_no_longer_counts(site: Site, admin: Session) -> None:
    site.present(admin, "user", "admin", "ad2")
    other = site.login("ad2")
    _register(site.hsm, other, site.signers["ad4"])
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    (token,) = site.hsm.quorum.tokens(admin)
    assert (token.required, token.approvals) == (2, 1)
    site.hsm.users.change_password(other, "ad2", "admin", PASSWORD, False, True)
    assert [token.approvals for token in site.hsm.quorum.tokens(admin)] == [1]


def test_as_many_registered_admins_stay_as_the_values_ask_for(site: Site, admin: Session) -> None:
    other = site.login("ad3")
    site.hsm.users.change_password(other, "ad3", "admin", PASSWORD, False, True)
    site.hsm.users.logout(other)
    with pytest.raises(QuorumAdmins):
        site.hsm.users.change_password(admin, "admin", "admin", PASSWORD, False, True)
    site.present(admin, "user", "admin", "ad2")
    with pytest.raises(QuorumAdmins):
        site.hsm.users.delete(admin, "ad2", "admin")
    signer = site.signers["admin"]
    file = signer.signed(site.hsm.users.mfa_token(admin, "admin", "admin"))
    site.hsm.users.register_mfa(admin, "admin", "admin", file, signer.public)
    site.present(admin, "user", "admin", "ad2")
    with pytest.raises(QuorumAdmins):
        site.hsm.users.deregister_mfa(admin, "admin", "admin")
    with pytest.raises(QuorumAdmins, match="2"):
        site.hsm.users.change_password(admin, "admin", "admin", NEW)
    _register(site.hsm, site.login("ad3"), site.signers["ad3"])
    site.hsm.users.change_password(admin, "admin", "admin", NEW)


def test_registration(site: Site) -> None:
    session, signer = site.login("ad4"), site.signers["ad4"]
    file = site.hsm.quorum.request(session, "registration")
    with pytest.raises(TokenSignatureInvalid):
        site.hsm.quorum.register(session, signer.public, site.signers["ad3"].signed(file))
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    with pytest.raises(PublicKeyInvalid, match="ad3"):
        _register(site.hsm, session, site.signers["ad3"])
    file = site.hsm.quorum.request(site.login("ad3"), "registration")
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    file = site.hsm.users.mfa_token(session, "ad4", "admin")
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    _register(site.hsm, session, signer)
    _register(site.hsm, site.login("cu1"), site.signers["cu1"])
    assert {user.username for user in site.hsm.users.all() if user.quorum} == {*APPROVERS, "ad4", "cu1"}


def test_a_registration_token_is_of_a_user_and_not_of_a_session(site: Site) -> None:
    signer, first = site.signers["ad4"], site.login("ad4")
    own, open_to_all = site.hsm.quorum.request(first, "registration"), site.hsm.quorum.registration_token()
    site.hsm.users.logout(first)
    site.hsm.close()
    with Hsm.open(site.home, clock=lambda: site.now[0]) as hsm:
        session, other = (hsm.users.login(name, PASSWORD, "admin") for name in ("ad4", "ad3"))
        with pytest.raises(TokenUnknown):
            hsm.quorum.register(other, signer.public, signer.signed(own))
        for file in (own, open_to_all):
            hsm.quorum.register(session, signer.public, signer.signed(file))
            with pytest.raises(TokenUnknown):
                hsm.quorum.register(session, signer.public, signer.signed(file))
        file = hsm.quorum.registration_token()
        site.now[0] += 600
        hsm.quorum.register(session, signer.public, signer.signed(file))
        file = hsm.quorum.registration_token()
        for step in (601, -602):
            site.now[0] += step
            with pytest.raises(TokenUnknown):
                hsm.quorum.register(session, signer.public, signer.signed(file))
        assert [user.username for user in hsm.users.all() if user.quorum] == [*APPROVERS, "ad4"]


def test_a_registration_token_of_another_making_is_refused(site: Site, tmp_path: Path) -> None:
    session, signer = site.login("ad4"), site.signers["ad4"]
    file = json.loads(site.hsm.quorum.registration_token())
    data = base64.b64decode(file["tokens"][0]["approval_data"])
    with Hsm.initialize(tmp_path / "other", admin_password=PASSWORD, clock=lambda: site.now[0]) as other:
        foreign = json.loads(other.quorum.registration_token())["tokens"][0]
    forged = [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(len(data))]
    for content in (*forged, data[:-1], data + b"x", b"", data[:80], base64.b64decode(foreign["approval_data"])):
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        entry = {"approval_data": base64.b64encode(content).decode(), "unsigned": digest, "signed": ""}
        signed = json.dumps(file | {"tokens": [entry | {"signed": signer.sign(base64.b64decode(digest))}]})
        with pytest.raises(TokenUnknown):
            site.hsm.quorum.register(session, signer.public, signed.encode())
    assert {user.username for user in site.hsm.users.all() if user.quorum} == set(APPROVERS)


def test_the_quorum_key_of_a_user_with_mfa_is_that_of_mfa(site: Site) -> None:
    session, signer = site.login("ad4"), site.signers["ad4"]
    file = signer.signed(site.hsm.users.mfa_token(session, "ad4", "admin"))
    site.hsm.users.register_mfa(session, "ad4", "admin", file, signer.public)
    with pytest.raises(MfaSharesKey):
        _register(site.hsm, session, site.signers["cu1"])
    site.hsm.users.change_password(session, "ad4", "admin", PASSWORD)
    assert not any(user.quorum for user in site.hsm.users.all() if user.username == "ad4")
    _register(site.hsm, session, signer)
    other, key = site.login("ad3"), site.signers["cu1"]
    file = key.signed(site.hsm.users.mfa_token(other, "ad3", "admin"))
    with pytest.raises(MfaSharesKey):
        site.hsm.users.register_mfa(other, "ad3", "admin", file, key.public)
    file = key.signed(site.hsm.users.mfa_token(other, "ad3", "admin"))
    site.hsm.users.register_mfa(other, "ad3", "admin", file, key.public, change_quorum=True)


def test_the_files_are_as_cloudhsm_writes_them(site: Site, admin: Session) -> None:
    file = json.loads(site.hsm.quorum.request(admin, "user"))
    assert file.keys() == {"version", "service", "approval_data", "token", "signatures"}
    assert (file["version"], file["service"], file["signatures"]) == ("2.0", "user-management", [])
    data = base64.b64decode(file["approval_data"], validate=True)
    assert hashlib.sha256(data).digest() == base64.b64decode(file["token"], validate=True)
    kind, service, _, key, _, name, created, _ = struct.unpack(">HHIQ16s36sI8s", data)
    assert (kind, service, key, name.rstrip(b"\0")) == (1, 3, 0, b"admin")
    assert created > 1_700_000_000
    registration = json.loads(site.hsm.quorum.request(admin, "registration"))
    (token,) = registration["tokens"]
    assert token.keys() == {"approval_data", "unsigned", "signed"}
    data = base64.b64decode(token["approval_data"], validate=True)
    assert len(data) <= 245
    assert hashlib.sha256(data).digest() == base64.b64decode(token["unsigned"], validate=True)


def test_approval_files_that_are_refused(site: Site, admin: Session) -> None:
    good = json.loads(site.file(admin, "user", "ad2"))
    (signature,) = good["signatures"]
    changes: list[dict[str, object]] = [
        {"version": "1.0"}, {"signatures": {}}, {"signatures": None}, {"signatures": [5]}, {"signatures": [{}]},
        {"token": ""}, {"token": 5}, {"approval_data": "%"}, {"approval_data": None},
        *({"signatures": [signature | {name: value}]} for name in signature for value in (5, None)),
        {"signatures": [signature | {"signature": "no base64!"}]},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(TokenFileInvalid):
            site.hsm.quorum.approve(admin, json.dumps(good | change).encode())
    for file in (b"", b"\xff", b"[]", b"[" * 50_000, b" " * 300_000):
        with pytest.raises(TokenFileInvalid):
            site.hsm.quorum.approve(admin, file)
    assert site.hsm.quorum.approve(admin, json.dumps(good).encode()) == (2, 1)


@pytest.mark.sqlite
def test_values_are_sealed(site: Site, admin: Session, template: Path) -> None:
    site.hsm.close()
    database = site.home / "hsm.db"
    with closing(sqlite3.connect(database)) as connection:
        for edit in ("x''", "substr(quorum, 1, 20)", "settings", "'text'", "NULL"):
            connection.execute("BEGIN")
            try:
                connection.execute(f"UPDATE hsm SET quorum = {edit}")
            except sqlite3.IntegrityError:
                connection.rollback()
                continue
            connection.commit()
            with pytest.raises(StoreDamaged):
                Hsm.open(site.home)


@pytest.mark.parametrize(
    "edit", ["quorum_key = NULL", "quorum_key = (SELECT quorum_key FROM users WHERE username='ad3')"]
)
def test_an_edited_key_approves_nothing(site: Site, admin: Session, edit: str) -> None:
    site.hsm.close()
    with database(site.home) as connection:
        connection.execute(f"UPDATE users SET {edit} WHERE username = 'ad2'")
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("admin", PASSWORD, "admin")
        file = hsm.quorum.request(session, "user")
        for name in ("ad2", "ad3"):
            with pytest.raises((StoreDamaged, ApproverInvalid)):
                hsm.quorum.approve(session, site.signers[name].approved(file, "ad2"))


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
