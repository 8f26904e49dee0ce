"""Commands about users, second factors, quorum and keys made from keys: each is in the log, before it takes effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.audit.chain import text_form
from hsmcore.errors import (
    ApprovalRequired,
    ApproverInvalid,
    AuthenticationFailed,
    HsmError,
    MalformedRequest,
    MfaRequired,
    QuorumTokenRefused,
    StoreFull,
)
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.disk import full_disk
from tests.hsmcore.making import take_secret
from tests.hsmcore.secrets_found import AES_KEY
from tests.signing import Signer

NEW = b"second-pass-001"


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Signer(folder, name) for name in ("admin", "ad2")}


Line = tuple[str, str, int, int]


class Tail:
    """New entries of the log: opcode, user name, user type, response."""

    def __init__(self, hsm: Hsm) -> None:
        self._hsm = hsm
        self._seen = hsm.statistics().audit_entries

    def take(self, admin: Session) -> list[Line]:
        entries = self._hsm.audit.entries(admin, self._seen)
        self._seen += len(entries)
        return [(entry.opcode, entry.user_name, entry.user_type, entry.response) for entry in entries]


def _admin(hsm: Hsm, name: str = "admin") -> Session:
    return hsm.users.login(name, ADMIN_PASSWORD, "admin")


def _registered(hsm: Hsm, session: Session, signer: Signer) -> None:
    hsm.quorum.register(session, signer.public, signer.signed(hsm.quorum.request(session, "registration")))


def test_activation(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path / "hsm", admin_password=None) as hsm:
        tail = Tail(hsm)
        initial = hsm.statistics().audit_entries
        session, other = (hsm.users.login("admin", b"", "unactivated-admin") for _ in range(2))
        with pytest.raises(HsmError):
            hsm.users.activate(session, b"short")
        hsm.users.activate(session, ADMIN_PASSWORD)
        assert not other.alive
        admin = _admin(hsm)
        first = hsm.audit.entries(admin, 0, initial)
        assert [entry.opcode for entry in first if entry.user_name] == ["CN_CREATE_APPLIANCE_USER"]
        lines = tail.take(admin)
        assert [line[:3] for line in lines] == [
            ("CN_LOGIN", "admin", 6), ("CN_LOGIN", "admin", 6), ("CN_CHANGE_PSWD", "admin", 6),
            ("CN_CHANGE_PSWD", "admin", 6), ("CN_CLOSE_SESSION", "admin", 6), ("CN_CLOSE_SESSION", "admin", 6),
            ("CN_BACKUP_BEGIN", "", 0), ("CN_BACKUP_END", "", 0), ("CN_LOGIN", "admin", 2),
        ]  # fmt: skip
        assert [number for number, line in enumerate(lines) if line[3]] == [2]


def test_a_second_factor(tmp_path: Path, signers: dict[str, Signer]) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        tail, signer = Tail(hsm), signers["admin"]
        file = signer.signed(hsm.users.mfa_token(made.user, "cu1", "crypto-user"))
        hsm.users.register_mfa(made.user, "cu1", "crypto-user", file, signer.public)
        with pytest.raises(MfaRequired):
            hsm.users.login("cu1", PASSWORDS["cu1"])
        unsigned = hsm.users.login_token("cu1", "crypto-user")
        session = hsm.users.login_mfa("cu1", PASSWORDS["cu1"], "crypto-user", signer.signed(unsigned))
        token = hsm.users.login_token("cu1", "crypto-user")
        with pytest.raises(AuthenticationFailed):
            hsm.users.login_mfa("cu1", b"wrong-guess-01", "crypto-user", signer.signed(token))
        hsm.users.deregister_mfa(session, "cu1", "crypto-user")
        user = ("cu1", 1)
        assert tail.take(made.admin) == [
            ("CN_CHANGE_PSWD", *user, 0), ("CN_LOGIN", *user, MfaRequired.code), ("CN_LOGIN", *user, 0),
            ("CN_LOGIN", *user, 163), ("CN_CHANGE_PSWD", *user, 0),
        ]  # fmt: skip


def test_quorum(tmp_path: Path, signers: dict[str, Signer]) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        hsm.users.create(made.admin, "ad2", "admin", ADMIN_PASSWORD)
        second = _admin(hsm, "ad2")
        tail = Tail(hsm)
        _registered(hsm, made.admin, signers["admin"])
        _registered(hsm, second, signers["ad2"])
        hsm.quorum.set_timeout(made.admin, "approved", 60)
        hsm.quorum.set_value(made.admin, "quorum", 2)
        own = ("admin", 2)
        token, value = ("CN_GET_TOKEN", *own, 0), ("CN_SET_M_VALUE", *own, 0)
        assert tail.take(made.admin) == [
            token, ("HSM_REGISTER_APPROVER", *own, 0),
            ("CN_GET_TOKEN", "ad2", 2, 0), ("HSM_REGISTER_APPROVER", "ad2", 2, 0), value, value,
        ]  # fmt: skip
        with pytest.raises(ApprovalRequired):
            hsm.quorum.set_value(made.admin, "quorum", 1)
        file = hsm.quorum.request(made.admin, "quorum")
        with pytest.raises(QuorumTokenRefused):
            hsm.quorum.request(made.admin, "quorum")
        with pytest.raises(ApproverInvalid):
            hsm.quorum.approve(made.admin, signers["admin"].approved(file, "nobody"))
        for name in ("admin", "ad2"):
            file = signers[name].approved(file, name)
        hsm.quorum.approve(made.admin, file)
        with pytest.raises(MalformedRequest):
            hsm.quorum.delete_tokens(made.admin, "some")
        hsm.quorum.set_value(made.admin, "quorum", 1)
        hsm.quorum.delete_tokens(made.admin, "all")
        assert tail.take(made.admin) == [
            ("CN_SET_M_VALUE", *own, ApprovalRequired.code), token,
            ("CN_GET_TOKEN", *own, QuorumTokenRefused.code), ("CN_APPROVE_TOKEN", *own, ApproverInvalid.code),
            ("CN_APPROVE_TOKEN", *own, 0), value, ("CN_DELETE_TOKEN", *own, 0),
        ]  # fmt: skip


def test_keys_from_keys(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        base = take_secret(hsm, made.user, "AES", AES_KEY, DERIVE=True, WRAP=True, UNWRAP=True, TOKEN=True).handle
        before = hsm.statistics().audit_entries
        derived = hsm.keys.derive(
            made.user, base, "AES_CMAC_KDF", {"counter_bits": 32}, {"KEY_TYPE": "AES", "SIZE": 256}
        ).handle
        wrapped, _ = hsm.keys.wrap(made.user, base, "AES_KEY_WRAP_ZERO_PAD", None, derived)
        attributes = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}
        unwrapped = hsm.keys.unwrap(made.user, base, "AES_KEY_WRAP_ZERO_PAD", None, wrapped, attributes).handle
        hsm.keys.set_quorum(made.user, base, 1, 0)
        hsm.crypto.random(made.user, 32)
        entries = hsm.audit.entries(made.admin, before)
        assert [(entry.opcode, entry.secret_handle) for entry in entries] == [
            ("CN_DERIVE_KEY", derived), ("CN_WRAP_KEY", derived), ("CN_UNWRAP_KEY", unwrapped),
            ("CN_SET_M_VALUE", base),
        ]  # fmt: skip
        assert "User Name : cu1\nUser Type : CN_CRYPTO_USER (1)\n" in text_form(entries[-1])


@pytest.mark.sqlite
def test_what_is_in_memory_alone_is_in_the_log_first(tmp_path: Path, signers: dict[str, Signer]) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        hsm.users.create(made.admin, "ad2", "admin", ADMIN_PASSWORD)
        for session, name in ((made.admin, "admin"), (_admin(hsm, "ad2"), "ad2")):
            _registered(hsm, session, signers[name])
        for service in ("cluster", "quorum"):
            hsm.quorum.set_value(made.admin, service, 2)
        file = hsm.quorum.request(made.admin, "quorum")
        for name in ("admin", "ad2"):
            file = signers[name].approved(file, name)
        before = [(token.service, token.approvals) for token in hsm.quorum.tokens(made.admin)]
        with full_disk():
            for call in (
                lambda: hsm.quorum.request(made.admin, "cluster"),
                lambda: hsm.quorum.request(made.admin, "registration"),
                lambda: hsm.quorum.approve(made.admin, file),
                lambda: hsm.quorum.delete_tokens(made.admin, "all"),
            ):
                with pytest.raises(StoreFull):
                    call()
        assert [(token.service, token.approvals) for token in hsm.quorum.tokens(made.admin)] == before
        assert hsm.quorum.approve(made.admin, file) == (2, 2)
