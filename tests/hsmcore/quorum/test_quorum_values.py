"""Quorum values: the order of their changes, the registered admins that they need, and their seal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    ApprovalRequired,
    MalformedRequest,
    QuorumAdmins,
    QuorumTokenRefused,
    QuorumValueInvalid,
    StoreDamaged,
)
from hsmcore.sessions.session import Session

from .conftest import APPROVERS, NEW, PASSWORD, Site, register


def test_values_survive_reopening(site: Site, admin: Session) -> None:
    site.hsm.close()
    with Hsm.open(site.home) as hsm:
        assert hsm.quorum.values() == {"user": 2, "quorum": 2, "cluster": 1}
        with pytest.raises(ApprovalRequired, match="Quorum approval is required for this operation"):
            hsm.users.create(hsm.users.login("admin", PASSWORD, "admin"), "new", "admin", PASSWORD)


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
    register(site.hsm, site.login("ad3"), site.signers["ad3"])
    site.hsm.users.change_password(admin, "admin", "admin", NEW)


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
