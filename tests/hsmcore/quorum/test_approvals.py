"""Approvals of admins, which the openssl command signs: for which operations, by whom, and once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    ApprovalRequired,
    ApproverInvalid,
    StoreDamaged,
    TokenFileInvalid,
    TokenSignatureInvalid,
    TokenUnknown,
    UserBusy,
    UserExists,
)
from hsmcore.sessions.session import Session
from tests.hsmcore.databases import database

from .conftest import APPROVERS, NEW, PASSWORD, Site, register


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
    register(site.hsm, user, site.signers["cu1"])
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
    register(site.hsm, other, site.signers["ad4"])
    with pytest.raises(ApprovalRequired):
        site.hsm.users.create(admin, "new", "admin", PASSWORD)
    (token,) = site.hsm.quorum.tokens(admin)
    assert (token.required, token.approvals) == (2, 1)
    site.hsm.users.change_password(other, "ad2", "admin", PASSWORD, False, True)
    assert [token.approvals for token in site.hsm.quorum.tokens(admin)] == [1]


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
