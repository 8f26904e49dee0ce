"""The second factor: registration, login, rotation, deregistration, with keys and signatures of the openssl command."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    AccountLocked,
    ApprovalRequired,
    AuthenticationFailed,
    HsmError,
    MfaNotEnabled,
    MfaRequired,
    MfaSharesKey,
    PasswordInvalid,
    PermissionDenied,
    PublicKeyInvalid,
    StoreDamaged,
    TokenFileInvalid,
    TokenSignatureInvalid,
    TokenUnknown,
    UserBusy,
    UserNameInvalid,
    UserNotFound,
)
from hsmcore.sessions.session import Session
from hsmcore.users.mfa import TOKEN_LIFETIME, TRANSITIONS, Event, Purposes, RegisteredKeys, keys_after
from hsmcore.users.token_files import encode_token, read_token
from tests.hsmcore.conftest import ADMIN_PASSWORD
from tests.hsmcore.databases import database
from tests.hsmcore.judge import openssl
from tests.signing import Signer

PASSWORD = b"mfa-password-1"
ROLES = {"admin": "admin", "cu1": "crypto-user"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("keys"), "first")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("keys"), "other")


@dataclass
class Site:
    """An open HSM, the time that it sees, and its admins and a crypto user by name."""

    hsm: Hsm
    home: Path
    now: list[float]
    admin: Session

    def login(self, name: str, password: bytes = PASSWORD) -> Session:
        return self.hsm.users.login(name, password, self.role(name))

    def role(self, name: str) -> str:
        return "crypto-user" if name == "cu1" else "admin"

    def uses(self, name: str) -> tuple[bool, bool]:
        (user,) = (user for user in self.hsm.users.all() if user.username == name)
        return user.mfa, user.quorum

    def register(self, session: Session, name: str, signer: Signer, **options: Any) -> None:
        file = signer.signed(self.hsm.users.mfa_token(session, name, self.role(name)))
        self.hsm.users.register_mfa(session, name, self.role(name), file, signer.public, **options)

    def login_mfa(self, name: str, signer: Signer, password: bytes = PASSWORD) -> Session:
        file = signer.signed(self.hsm.users.login_token(name, self.role(name)))
        return self.hsm.users.login_mfa(name, password, self.role(name), file)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    now = [1000.0]
    with Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, clock=lambda: now[0]) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORD)
        hsm.users.create(admin, "ad2", "admin", PASSWORD)
        yield Site(hsm, tmp_path / "hsm", now, admin)


@pytest.mark.parametrize("name", ["cu1", "ad2"])
def test_both_roles_register_and_log_in(site: Site, signer: Signer, name: str) -> None:
    session = site.login(name)
    site.register(session, name, signer)
    assert session.alive
    assert site.uses(name) == (True, True)
    site.hsm.users.logout(session)
    with pytest.raises(MfaRequired, match=name):
        site.login(name)
    session = site.login_mfa(name, signer)
    assert (session.username, session.role) == (name, site.role(name))
    site.hsm.users.logout(session)


def test_the_token_file_is_as_cloudhsm_writes_it(site: Site) -> None:
    file = json.loads(site.hsm.users.login_token("cu1", "crypto-user"))
    assert file.keys() == {"version", "tokens"}
    assert file["version"] == "2.0"
    (token,) = file["tokens"]
    assert token.keys() == {"unsigned", "signed"}
    assert token["signed"] == ""
    assert len(base64.b64decode(token["unsigned"], validate=True)) == 32


def test_the_factor_survives_reopening(site: Site, signer: Signer) -> None:
    site.register(site.admin, "cu1", signer)
    site.hsm.close()
    with Hsm.open(site.home) as hsm:
        with pytest.raises(MfaRequired):
            hsm.users.login("cu1", PASSWORD)
        file = signer.signed(hsm.users.login_token("cu1", "crypto-user"))
        assert hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file).alive


def test_both_factors_must_be_right(site: Site, signer: Signer, other: Signer) -> None:
    site.register(site.admin, "cu1", signer)
    for password, key in ((b"wrong-password", signer), (PASSWORD, other), (b"wrong-password", other)):
        with pytest.raises(AuthenticationFailed) as caught:
            site.login_mfa("cu1", key, password)
        assert str(caught.value) == "wrong user name, role or password"
    site.hsm.users.logout(site.login_mfa("cu1", signer))


def test_wrong_signatures_lock_and_a_missing_one_does_not(site: Site, signer: Signer, other: Signer) -> None:
    site.register(site.admin, "cu1", signer)
    for _ in range(10):
        with pytest.raises(MfaRequired):
            site.hsm.users.login("cu1", b"wrong-password")
        with pytest.raises(MfaRequired):
            site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", site.hsm.users.login_token("cu1", "crypto-user"))
    for _ in range(6):
        with pytest.raises(AuthenticationFailed):
            site.login_mfa("cu1", other)
    with pytest.raises(AccountLocked):
        site.login_mfa("cu1", signer)
    site.hsm.users.change_password(site.admin, "cu1", "crypto-user", PASSWORD)
    site.hsm.users.logout(site.login_mfa("cu1", signer))


def test_without_a_factor_the_password_decides(site: Site, signer: Signer) -> None:
    file = site.hsm.users.login_token("cu1", "crypto-user")
    site.hsm.users.logout(site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file))
    with pytest.raises(AuthenticationFailed):
        site.login_mfa("cu1", signer, b"wrong-password")
    with pytest.raises(AuthenticationFailed):
        site.login_mfa("nobody", signer)
    with pytest.raises(UserNameInvalid):
        site.hsm.users.login_token("no name" * 1000, "admin")


def test_a_token_is_good_once(site: Site, signer: Signer) -> None:
    site.register(site.admin, "cu1", signer)
    file = signer.signed(site.hsm.users.login_token("cu1", "crypto-user"))
    site.hsm.users.logout(site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file))
    with pytest.raises(TokenUnknown):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)
    file = signer.signed(site.hsm.users.login_token("cu1", "crypto-user"))
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login_mfa("cu1", b"wrong-password", "crypto-user", file)
    with pytest.raises(TokenUnknown):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)


def test_a_token_is_for_one_user_and_one_purpose(site: Site, signer: Signer) -> None:
    site.register(site.admin, "cu1", signer)
    for name, role in (("ad2", "admin"), ("cu1", "admin")):
        file = signer.signed(site.hsm.users.login_token(name, role))
        with pytest.raises(TokenUnknown):
            site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)
    file = signer.signed(site.hsm.users.mfa_token(site.admin, "cu1", "crypto-user"))
    with pytest.raises(TokenUnknown):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)
    file = signer.signed(site.hsm.users.login_token("cu1", "crypto-user"))
    with pytest.raises(TokenUnknown):
        site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)


@pytest.mark.parametrize(
    ("later", "good"), [(0, True), (TOKEN_LIFETIME, True), (TOKEN_LIFETIME + 1, False), (-1, False)]
)
def test_a_token_expires_and_a_clock_that_goes_back_ends_it(
    site: Site, signer: Signer, later: float, good: bool
) -> None:  # fmt: skip
    site.register(site.admin, "cu1", signer)
    login, registration = (
        site.hsm.users.login_token("cu1", "crypto-user"),
        site.hsm.users.mfa_token(site.admin, "ad2", "admin"),
    )
    site.now[0] += later
    attempts = (
        lambda: site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", signer.signed(login)),
        lambda: site.hsm.users.register_mfa(site.admin, "ad2", "admin", signer.signed(registration), signer.public),
    )
    for attempt in attempts:
        if good:
            attempt()
        else:
            with pytest.raises(TokenUnknown):
                attempt()


def test_a_registration_belongs_to_its_session(site: Site, signer: Signer) -> None:
    session = site.login("cu1")
    file = signer.signed(site.hsm.users.mfa_token(session, "cu1", "crypto-user"))
    second = site.login("cu1")
    with pytest.raises(TokenUnknown):
        site.hsm.users.register_mfa(second, "cu1", "crypto-user", file, signer.public)
    file = signer.signed(site.hsm.users.mfa_token(session, "cu1", "crypto-user"))
    site.hsm.users.logout(session)
    with pytest.raises(TokenUnknown):
        site.hsm.users.register_mfa(second, "cu1", "crypto-user", file, signer.public)
    assert site.uses("cu1") == (False, False)


def test_tokens_of_others_end_no_token(site: Site, signer: Signer) -> None:
    file = site.hsm.users.login_token("cu1", "crypto-user")
    for number in range(5000):
        site.hsm.users.login_token(("cu1", "cu2", f"nobody_{number}")[number % 3], "crypto-user")
    assert site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file).alive
    with pytest.raises(TokenUnknown):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)


def test_a_token_that_was_made_up_or_changed_is_unknown(site: Site, signer: Signer) -> None:
    token = read_token(site.hsm.users.login_token("cu1", "crypto-user")).token
    for forged in (bytes(32), token[:-1], token + b"0", *(_flipped(token, place) for place in range(len(token)))):
        with pytest.raises((TokenUnknown, TokenFileInvalid)):
            site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", encode_token(forged))
    assert site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", encode_token(token)).alive


def _flipped(token: bytes, place: int) -> bytes:
    return token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]


def test_a_key_is_exchanged_for_another(site: Site, signer: Signer, other: Signer) -> None:
    session = site.login("cu1")
    site.register(session, "cu1", signer)
    site.register(session, "cu1", other)
    site.hsm.users.logout(session)
    assert site.uses("cu1") == (True, True)
    with pytest.raises(AuthenticationFailed):
        site.login_mfa("cu1", signer)
    site.hsm.users.logout(site.login_mfa("cu1", other))


def test_deregistration(site: Site, signer: Signer) -> None:
    site.register(site.admin, "cu1", signer, password=b"with-factor-1")
    session = site.login_mfa("cu1", signer, b"with-factor-1")
    site.hsm.users.deregister_mfa(session, "cu1", "crypto-user")
    assert site.uses("cu1") == (False, False)
    with pytest.raises(MfaNotEnabled):
        site.hsm.users.deregister_mfa(session, "cu1", "crypto-user")
    site.hsm.users.logout(session)
    site.hsm.users.logout(site.login("cu1", b"with-factor-1"))
    site.register(site.admin, "cu1", signer)
    site.hsm.users.deregister_mfa(site.admin, "cu1", "crypto-user", b"reset-by-admin")
    site.hsm.users.logout(site.login("cu1", b"reset-by-admin"))


@pytest.mark.parametrize("flags", list(product((False, True), repeat=2)))
def test_a_new_password_takes_the_approvals_of_a_user_with_mfa(
    site: Site, signer: Signer, flags: tuple[bool, bool]
) -> None:
    site.register(site.admin, "ad2", signer)
    assert site.uses("ad2") == (True, True)
    site.hsm.users.change_password(site.admin, "ad2", "admin", b"new-password-1", *flags)
    mfa, quorum = site.uses("ad2")
    assert (mfa, quorum) == (not flags[0], False)
    if mfa:
        site.hsm.users.logout(site.login_mfa("ad2", signer, b"new-password-1"))
    else:
        site.hsm.users.logout(site.login("ad2", b"new-password-1"))


def test_users_change_their_own_factor_and_admins_anybodys(site: Site, signer: Signer) -> None:
    session = site.login("cu1")
    for name in ("ad2", "admin"):
        with pytest.raises(PermissionDenied):
            site.hsm.users.mfa_token(session, name, "admin")
        with pytest.raises(PermissionDenied):
            site.hsm.users.register_mfa(session, name, "admin", b"", b"")
        with pytest.raises(PermissionDenied):
            site.hsm.users.deregister_mfa(session, name, "admin")
    with pytest.raises(UserBusy):
        site.register(site.admin, "cu1", signer)
    site.register(session, "cu1", signer)
    with pytest.raises(UserBusy):
        site.hsm.users.deregister_mfa(site.admin, "cu1", "crypto-user")
    with pytest.raises(UserNotFound):
        site.hsm.users.mfa_token(site.admin, "nobody", "admin")
    site.hsm.users.logout(session)
    site.hsm.users.deregister_mfa(site.admin, "cu1", "crypto-user")


def test_a_key_is_one_users_in_a_role(site: Site, signer: Signer) -> None:
    site.register(site.admin, "ad2", signer)
    with pytest.raises(PublicKeyInvalid, match="ad2"):
        site.register(site.admin, "admin", signer)
    site.register(site.admin, "cu1", signer)
    assert site.uses("admin") == (False, False)


_BAD_KEYS = {
    "rsa-1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "rsa-3072": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
    "exponent 3": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"),
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ed25519": ("-algorithm", "ED25519"),
}


@pytest.mark.parametrize("options", _BAD_KEYS.values(), ids=_BAD_KEYS)
def test_keys_that_are_refused(site: Site, signer: Signer, tmp_path: Path, options: tuple[str, ...]) -> None:
    bad = Signer(tmp_path, "bad", *options)
    file = signer.signed(site.hsm.users.mfa_token(site.admin, "cu1", "crypto-user"))
    for public in (bad.public, b"", b"\xff", bad.public[:-40], signer.private.read_bytes(), b"-" * 100_000):
        with pytest.raises(PublicKeyInvalid):
            site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, public)
    assert site.uses("cu1") == (False, False)
    # A key that was refused has not used the token up.
    site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)


def test_signatures_that_do_not_hold(site: Site, signer: Signer, other: Signer) -> None:
    def twice_hashed(token: bytes) -> str:
        signature = openssl("dgst", "-sha256", "-sign", signer.private, data=token)
        return base64.b64encode(signature).decode()

    forgeries = (lambda _: "", twice_hashed, other.sign, lambda _: signer.sign(bytes(32)), lambda _: "AAAA")
    for forge in forgeries:
        document = json.loads(site.hsm.users.mfa_token(site.admin, "cu1", "crypto-user"))
        (entry,) = document["tokens"]
        entry["signed"] = forge(base64.b64decode(entry["unsigned"]))
        file = json.dumps(document).encode()
        with pytest.raises(TokenSignatureInvalid):
            site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)
        with pytest.raises(TokenUnknown):
            site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)
    assert site.uses("cu1") == (False, False)


_TOKEN = base64.b64encode(bytes(32)).decode()
_BAD_FILES = [
    b"", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 100_000, b'{"version": "2.0"}', b" " * 300_000,
    b'{"version": "2.0", "version": "2.0", "tokens": []}',
    *(json.dumps(document).encode() for document in (
        {"version": 2.0, "tokens": [{"unsigned": _TOKEN, "signed": ""}]},
        {"version": "1.0", "tokens": [{"unsigned": _TOKEN, "signed": ""}]},
        {"version": "2.0", "tokens": {}},
        {"version": "2.0", "tokens": []},
        {"version": "2.0", "tokens": [{"unsigned": _TOKEN, "signed": ""}] * 2},
        {"version": "2.0", "tokens": [[]]},
        {"version": "2.0", "tokens": [{"unsigned": _TOKEN}]},
        {"version": "2.0", "tokens": [{"unsigned": 5, "signed": ""}]},
        {"version": "2.0", "tokens": [{"unsigned": _TOKEN[:-4], "signed": ""}]},
        {"version": "2.0", "tokens": [{"unsigned": _TOKEN, "signed": "no base64!"}]},
        {"version": "2.0", "tokens": [{"unsigned": _TOKEN, "signed": "\xe4"}]},
    )),
]  # fmt: skip


@pytest.mark.parametrize("file", _BAD_FILES, ids=range(len(_BAD_FILES)))
def test_files_that_are_refused(site: Site, signer: Signer, file: bytes) -> None:
    with pytest.raises(TokenFileInvalid):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)
    with pytest.raises(TokenFileInvalid):
        site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)


def test_a_token_that_nobody_gave_is_unknown(site: Site, signer: Signer) -> None:
    file = json.dumps({"version": "2.0", "tokens": [{"unsigned": _TOKEN, "signed": signer.sign(bytes(32))}]}).encode()
    with pytest.raises(TokenUnknown):
        site.hsm.users.login_mfa("cu1", PASSWORD, "crypto-user", file)
    with pytest.raises(TokenUnknown):
        site.hsm.users.register_mfa(site.admin, "cu1", "crypto-user", file, signer.public)


def test_a_bad_password_registers_nothing(site: Site, signer: Signer) -> None:
    with pytest.raises(PasswordInvalid):
        site.register(site.admin, "cu1", signer, password=b"short")
    assert site.uses("cu1") == (False, False)
    site.hsm.users.logout(site.login("cu1"))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("mfa_key = NULL", id="no factor"),
        pytest.param("mfa_key = NULL, quorum_key = NULL", id="no key"),
        pytest.param("mfa_key = x''", id="empty"),
        pytest.param("mfa_key = (SELECT mfa_key FROM users WHERE username = 'ad2')", id="another's"),
        pytest.param("quorum_key = NULL", id="no approvals"),
        pytest.param("mfa_key = 'text'", id="text"),
    ],
)
def test_an_edited_key_does_not_open(site: Site, signer: Signer, other: Signer, edit: str) -> None:
    site.register(site.admin, "cu1", signer)
    site.register(site.admin, "ad2", other)
    site.hsm.close()
    with database(site.home) as connection:
        connection.execute(f"UPDATE users SET {edit} WHERE username = 'cu1'")
    with Hsm.open(site.home) as hsm:
        with pytest.raises(StoreDamaged):
            hsm.users.login("cu1", PASSWORD)
        for key in (signer, other):
            with pytest.raises(StoreDamaged):
                hsm.users.login_mfa(
                    "cu1", PASSWORD, "crypto-user", key.signed(hsm.users.login_token("cu1", "crypto-user"))
                )


def test_a_key_that_was_moved_to_the_other_use_does_not_open(site: Site, signer: Signer) -> None:
    """A second factor that became a key for approvals would be asked for no more."""
    site.register(site.admin, "cu1", signer)
    site.hsm.users.change_password(site.admin, "cu1", "crypto-user", PASSWORD, False, True)
    assert site.uses("cu1") == (True, False)
    site.hsm.close()
    with database(site.home) as connection:
        connection.execute("UPDATE users SET quorum_key = mfa_key, mfa_key = NULL WHERE username = 'cu1'")
    with Hsm.open(site.home) as hsm, pytest.raises(StoreDamaged):
        hsm.users.login("cu1", PASSWORD)


def test_the_table_of_what_a_key_is_for_is_whole() -> None:
    assert TRANSITIONS.keys() == set(Event)
    refused = [(event, uses) for event, rows in TRANSITIONS.items() for uses in Purposes if uses not in rows]
    assert refused == [(Event.DEREGISTER_MFA, Purposes.NOTHING), (Event.DEREGISTER_MFA, Purposes.QUORUM)]


@pytest.mark.parametrize("uses", Purposes)
@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("key", [b"old", b"new"])
@pytest.mark.parametrize("change_quorum", [False, True])
def test_a_user_has_one_key(uses: Purposes, event: Event, key: bytes, change_quorum: bool) -> None:
    mfa, quorum = uses.value
    before = RegisteredKeys(b"old" if mfa else None, b"old" if quorum else None)
    registers = event in (Event.REGISTER_MFA, Event.REGISTER_QUORUM)
    another = (uses, event) in {
        (Purposes.QUORUM, Event.REGISTER_MFA),
        (Purposes.MFA, Event.REGISTER_QUORUM),
        (Purposes.BOTH, Event.REGISTER_QUORUM),
    }
    refusal: type[HsmError] | None = None
    if event is Event.DEREGISTER_MFA and not mfa:
        refusal = MfaNotEnabled
    elif another and key == b"new" and not change_quorum:
        refusal = MfaSharesKey
    given = key if registers else None
    if refusal is not None:
        with pytest.raises(refusal):
            keys_after(event, before, given, change_quorum=change_quorum)
        return
    keys = keys_after(event, before, given, change_quorum=change_quorum)
    assert len({*keys} - {None}) <= 1
    assert given is None or given in keys


def test_an_admins_second_factor_takes_an_approval_to_drop(site: Site, signer: Signer, other: Signer) -> None:
    """Also with a new password, which alone takes none."""
    site.register(site.admin, "admin", signer)
    site.register(site.admin, "ad2", other)
    site.hsm.quorum.set_value(site.admin, "user", 2)
    with pytest.raises(ApprovalRequired):
        site.hsm.users.change_password(site.admin, "admin", "admin", PASSWORD, True)
    assert site.uses("admin") == (True, True)
