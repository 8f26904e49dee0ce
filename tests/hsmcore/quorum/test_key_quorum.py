"""Keys whose use and management take approval of their users."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm, Settings
from hsmcore.errors import (
    ApproverInvalid,
    AttributeInvalid,
    HsmError,
    KeyNotFound,
    KeyQuorumFailed,
    MalformedRequest,
    PermissionDenied,
    QuorumTokenRefused,
    QuorumValueInvalid,
    StoreDamaged,
    TokenSignatureInvalid,
    TokenUnknown,
    WrappedKeyInvalid,
)
from hsmcore.keys.records import KeyRecord, Sharing
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import PASSWORDS, make_site
from tests.hsmcore.databases import copied, database
from tests.postgresql import Server
from tests.signing import Signer

USAGE, MANAGEMENT = "key-usage", "key-management"
DIGEST = bytes(range(32))


@dataclass
class Site:
    """An open HSM, sessions of two crypto users and of the admin, and the key of ``cu1`` outside the HSM."""

    hsm: Hsm
    home: Path
    user: Session
    other: Session
    admin: Session
    signer: Signer

    def aes(self, manage: int = 1, use: int = 1) -> int:
        handle = self.hsm.keys.generate(self.user, "AES_KEY_GEN", {"TOKEN": True}).handle
        self.hsm.keys.set_quorum(self.user, handle, manage, use)
        return handle

    def pair(self) -> tuple[KeyRecord, KeyRecord]:
        public, private = self.hsm.keys.generate_pair(self.user, "EC_KEY_PAIR_GEN", {}, {"TOKEN": True})
        self.hsm.keys.set_quorum(self.user, private.handle, 0, 1)
        return public, private

    def approve(self, service: str, handle: int) -> tuple[int, int]:
        file = self.hsm.quorum.request(self.user, service, handle)
        return self.hsm.quorum.approve(self.user, self.signer.approved(file, "cu1", "crypto-user"))


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("keys"), "cu1")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    made = make_site(tmp_path_factory.mktemp("quorum") / "hsm", Settings(clear_key_extraction=True))
    with made.hsm as hsm:
        file = signer.signed(hsm.quorum.request(made.user, "registration"))
        hsm.quorum.register(made.user, signer.public, file)
    return made.home


@pytest.fixture
def site(template: Path, tmp_path: Path, signer: Signer, engine: Server | None) -> Iterator[Site]:
    home = copied(engine, template, tmp_path / "hsm")
    with Hsm.open(home) as hsm:
        sessions = [hsm.users.login(name, PASSWORDS[name]) for name in ("cu1", "cu2")]
        yield Site(hsm, home, *sessions, hsm.users.login("admin", b"admin-pass-001", "admin"), signer)


USES: dict[str, Callable[[Hsm, Session, int], object]] = {
    "encrypt": lambda hsm, session, key: hsm.crypto.encrypt(session, key, "AES_GCM", None, b"text"),
    "decrypt": lambda hsm, session, key: hsm.crypto.decrypt(session, key, "AES_ECB", None, bytes(16)),
    "begin": lambda hsm, session, key: hsm.crypto.begin(session, "encrypt", key, "AES_CBC_PAD", None),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_each_use_takes_a_token(site: Site, use: Callable[[Hsm, Session, int], object]) -> None:
    handle = site.aes()
    for _ in range(2):
        with pytest.raises(KeyQuorumFailed, match=r"^Quorum Failed"):
            use(site.hsm, site.user, handle)
        assert site.approve(USAGE, handle) == (1, 1)
        assert use(site.hsm, site.user, handle)


def test_signing_takes_a_token_and_the_public_key_none(site: Site) -> None:
    public, private = site.pair()
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.sign(site.user, private.handle, "ECDSA_SHA256", None, DIGEST)
    site.approve(USAGE, private.handle)
    signature = site.hsm.crypto.sign(site.user, private.handle, "ECDSA_SHA256", None, DIGEST)
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.sign(site.user, private.handle, "ECDSA_SHA256", None, DIGEST)
    for _ in range(2):
        assert site.hsm.crypto.verify(site.user, public.handle, "ECDSA_SHA256", None, DIGEST, signature)


def test_a_use_that_fails_leaves_the_token(site: Site) -> None:
    handle = site.aes()
    site.approve(USAGE, handle)
    with pytest.raises(HsmError):
        site.hsm.crypto.decrypt(site.user, handle, "AES_CBC", None, b"not a block")
    assert site.hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")


def test_what_was_prepared_before_is_not_used(site: Site) -> None:
    handle = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {}).handle
    operation, _ = site.hsm.crypto.begin(site.user, "encrypt", handle, "AES_CBC_PAD", None)
    site.hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")
    site.hsm.keys.set_quorum(site.user, handle, 0, 1)
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")
    with pytest.raises(HsmError):
        site.hsm.crypto.finish(site.user, operation, b"text")


def test_management_takes_a_token_of_its_own(site: Site) -> None:
    handle = site.aes()
    site.approve(USAGE, handle)
    with pytest.raises(KeyQuorumFailed, match=MANAGEMENT):
        site.hsm.keys.set_attributes(site.user, handle, {"LABEL": "other"})
    site.approve(MANAGEMENT, handle)
    with pytest.raises(AttributeInvalid):
        site.hsm.keys.set_attributes(site.user, handle, {"TOKEN": False})
    site.hsm.keys.set_attributes(site.user, handle, {"LABEL": "other"})
    with pytest.raises(KeyQuorumFailed):
        site.hsm.keys.set_attributes(site.user, handle, {"LABEL": "again"})
    site.hsm.keys.set_attributes(site.admin, handle, {"TRUSTED": True})
    site.hsm.keys.destroy(site.user, handle)


def test_wrapping_takes_approval_for_both_keys(site: Site) -> None:
    wrapping, target = site.aes(), site.aes()
    mechanism = "AES_KEY_WRAP_ZERO_PAD"
    for key in (wrapping, target):
        with pytest.raises(KeyQuorumFailed, match=f"{key:#018x}"):
            site.hsm.keys.wrap(site.user, wrapping, mechanism, None, target)
        site.approve(MANAGEMENT, key)
    wrapped, _ = site.hsm.keys.wrap(site.user, wrapping, mechanism, None, target)
    attributes = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}
    with pytest.raises(KeyQuorumFailed):
        site.hsm.keys.unwrap(site.user, wrapping, mechanism, None, wrapped, attributes)
    site.approve(MANAGEMENT, wrapping)
    with pytest.raises(WrappedKeyInvalid):
        site.hsm.keys.unwrap(site.user, wrapping, mechanism, None, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), attributes)
    assert site.hsm.keys.unwrap(site.user, wrapping, mechanism, None, wrapped, attributes)
    assert site.hsm.quorum.tokens(site.user) == []


def test_a_key_that_takes_approval_is_not_read_in_the_clear(site: Site) -> None:
    for manage, use in ((1, 0), (0, 1)):
        handle = site.aes(manage, use)
        assert site.hsm.keys.clear_value(site.user, handle) is None
    assert site.hsm.keys.clear_value(site.user, site.aes(0, 0)) is not None


def test_a_token_is_for_one_key_and_one_service(site: Site) -> None:
    first, second = site.aes(), site.aes()
    site.approve(USAGE, first)
    site.approve(MANAGEMENT, second)
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.encrypt(site.user, second, "AES_GCM", None, b"text")
    again = site.hsm.users.login("cu1", PASSWORDS["cu1"])
    with pytest.raises(KeyQuorumFailed):
        site.hsm.crypto.encrypt(again, first, "AES_GCM", None, b"text")
    site.hsm.crypto.encrypt(site.user, first, "AES_GCM", None, b"text")


def test_tokens_for_keys_are_not_limited_to_one(site: Site) -> None:
    handle = site.aes()
    for _ in range(3):
        site.approve(USAGE, handle)
    tokens = site.hsm.quorum.tokens(site.other)
    assert [(token.username, token.service, token.key) for token in tokens] == [("cu1", USAGE, handle)] * 3
    for _ in range(3):
        site.hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")
    assert site.hsm.quorum.tokens(site.user) == []
    site.approve(USAGE, handle)
    site.hsm.keys.destroy(site.user, handle)
    assert site.hsm.quorum.tokens(site.user) == []


def test_only_the_users_of_a_key_ask_and_approve(site: Site, tmp_path: Path) -> None:
    handle, plain = site.aes(), site.hsm.keys.generate(site.user, "AES_KEY_GEN", {}).handle
    with pytest.raises(KeyNotFound):
        site.hsm.quorum.request(site.other, USAGE, handle)
    with pytest.raises(PermissionDenied):
        site.hsm.quorum.request(site.admin, USAGE, handle)
    with pytest.raises(QuorumTokenRefused):
        site.hsm.quorum.request(site.user, USAGE, plain)
    for service, key in ((USAGE, None), ("registration", handle)):
        with pytest.raises(MalformedRequest):
            site.hsm.quorum.request(site.user, service, key)
    with pytest.raises(MalformedRequest):
        site.hsm.quorum.request(site.admin, "user", handle)
    signer = Signer(tmp_path, "cu2")
    site.hsm.quorum.register(
        site.other, signer.public, signer.signed(site.hsm.quorum.request(site.other, "registration"))
    )
    file = site.hsm.quorum.request(site.user, USAGE, handle)
    with pytest.raises(ApproverInvalid, match="cu2"):
        site.hsm.quorum.approve(site.user, signer.approved(file, "cu2", "crypto-user"))
    with pytest.raises(ApproverInvalid):
        site.hsm.quorum.approve(site.user, signer.approved(file, "admin", "admin"))
    with pytest.raises(TokenSignatureInvalid):
        site.hsm.quorum.approve(site.user, signer.approved(file, "cu1", "crypto-user"))
    with pytest.raises(TokenUnknown):
        site.hsm.quorum.approve(site.other, site.signer.approved(file, "cu1", "crypto-user"))


def test_who_no_longer_shares_a_key_no_longer_approves(site: Site, tmp_path: Path) -> None:
    hsm, signer = site.hsm, Signer(tmp_path, "cu2")
    hsm.quorum.register(site.other, signer.public, signer.signed(hsm.quorum.request(site.other, "registration")))
    hsm.users.create(site.admin, "cu3", "crypto-user", PASSWORDS["cu1"])
    handle = hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True}, Sharing(("cu2", "cu3"))).handle
    hsm.keys.set_quorum(site.user, handle, 0, 2)
    file = site.signer.approved(hsm.quorum.request(site.user, USAGE, handle), "cu1", "crypto-user")
    assert hsm.quorum.approve(site.user, signer.approved(file, "cu2", "crypto-user")) == (2, 2)
    hsm.keys.unshare(site.user, handle, "cu2")
    assert [(token.required, token.approvals) for token in hsm.quorum.tokens(site.user)] == [(2, 1)]
    with pytest.raises(KeyQuorumFailed):
        hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")
    hsm.keys.share(site.user, handle, "cu2")
    assert hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text"), "the signature counts again"
    with pytest.raises(KeyQuorumFailed):
        hsm.crypto.encrypt(site.user, handle, "AES_GCM", None, b"text")


def test_a_token_for_a_session_key_that_is_gone_is_not_approved(site: Site) -> None:
    """The key's owner has logged out; the token is of another session and stays."""
    owner = site.hsm.users.login("cu1", PASSWORDS["cu1"])
    handle = site.hsm.keys.generate(owner, "AES_KEY_GEN", {}, Sharing(("cu2",))).handle
    site.hsm.keys.set_quorum(owner, handle, 0, 1)
    file = site.signer.approved(site.hsm.quorum.request(site.other, USAGE, handle), "cu1", "crypto-user")
    site.hsm.quorum.approve(site.other, file)
    assert [(token.required, token.approvals) for token in site.hsm.quorum.tokens(site.user)] == [(1, 1)]
    site.hsm.users.logout(owner)
    assert [(token.required, token.approvals) for token in site.hsm.quorum.tokens(site.user)] == [(1, 0)]
    with pytest.raises(ApproverInvalid):
        site.hsm.quorum.approve(site.other, file)


def test_values_that_are_refused(site: Site) -> None:
    public, private = site.pair()
    secret = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {}).handle
    values = ((secret, -1, 0), (secret, 0, 9), (secret, 2, 0), (secret, 0, 2), (public.handle, 0, 1))
    for handle, manage, use in (*values, (private.handle, 0, 0), (private.handle, 1, 1)):
        with pytest.raises(QuorumValueInvalid, match=r"^Invalid quorum value provided\."):
            site.hsm.keys.set_quorum(site.user, handle, manage, use)
    with pytest.raises(KeyNotFound):
        site.hsm.keys.set_quorum(site.other, secret, 1, 1)
    with pytest.raises(PermissionDenied):
        site.hsm.keys.set_quorum(site.admin, private.handle, 1, 1)
    assert site.hsm.crypto.encrypt(site.user, secret, "AES_GCM", None, b"text")


def test_values_are_shown_and_survive_reopening(site: Site) -> None:
    handle = site.aes(0, 1)
    attributes = site.hsm.keys.get(site.user, handle).attributes
    assert (attributes["MANAGE_QUORUM"], attributes["USE_QUORUM"]) == (0, 1)
    site.hsm.keys.set_attributes(site.user, handle, {"LABEL": "renamed"})
    site.hsm.close()
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with pytest.raises(KeyQuorumFailed):
            hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"text")
        with pytest.raises(AttributeInvalid):
            hsm.keys.set_attributes(session, handle, {"USE_QUORUM": 0})


def test_an_edited_value_does_not_open(site: Site) -> None:
    handle = site.aes()
    site.hsm.close()
    with database(site.home) as connection:
        done = connection.execute(
            """UPDATE keys SET attributes = replace(attributes, '"USE_QUORUM":1', '"USE_QUORUM":0') WHERE handle = ?
               AND attributes LIKE '%"USE_QUORUM":1%'""",
            (handle,),
        )
        assert done.rowcount == 1
    with Hsm.open(site.home) as hsm, pytest.raises(StoreDamaged):
        hsm.crypto.encrypt(hsm.users.login("cu1", PASSWORDS["cu1"]), handle, "AES_GCM", None, b"text")


def test_the_file_names_the_key(site: Site) -> None:
    handle = site.aes()
    file = json.loads(site.hsm.quorum.request(site.user, USAGE, handle))
    assert (file["service"], file["key_reference"]) == ("key-usage", f"0x{handle:016x}")
    kind, service, _, key = struct.unpack(">HHIQ", base64.b64decode(file["approval_data"])[:16])
    assert (kind, service, key) == (2, 5, handle)
