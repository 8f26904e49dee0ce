"""The registration of the public key of an approver, and the files of tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    MfaSharesKey,
    PublicKeyInvalid,
    TokenSignatureInvalid,
    TokenUnknown,
)
from hsmcore.sessions.session import Session

from .conftest import APPROVERS, PASSWORD, Site, register


def test_registration(site: Site) -> None:
    session, signer = site.login("ad4"), site.signers["ad4"]
    file = site.hsm.quorum.request(session, "registration")
    with pytest.raises(TokenSignatureInvalid):
        site.hsm.quorum.register(session, signer.public, site.signers["ad3"].signed(file))
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    with pytest.raises(PublicKeyInvalid, match="ad3"):
        register(site.hsm, session, site.signers["ad3"])
    file = site.hsm.quorum.request(site.login("ad3"), "registration")
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    file = site.hsm.users.mfa_token(session, "ad4", "admin")
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.register(session, signer.public, signer.signed(file))
    register(site.hsm, session, signer)
    register(site.hsm, site.login("cu1"), site.signers["cu1"])
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
        register(site.hsm, session, site.signers["cu1"])
    site.hsm.users.change_password(session, "ad4", "admin", PASSWORD)
    assert not any(user.quorum for user in site.hsm.users.all() if user.username == "ad4")
    register(site.hsm, session, signer)
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
