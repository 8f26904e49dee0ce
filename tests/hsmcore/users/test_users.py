"""Users: names, passwords, roles, lock-out, deletion."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    AccountLocked,
    AuthenticationFailed,
    HsmError,
    PasswordInvalid,
    PermissionDenied,
    Unauthenticated,
    UserBusy,
    UserExists,
    UserLimit,
    UserNameInvalid,
    UserNotFound,
    UserOwnsKeys,
)
from hsmcore.primitives.secrecy import hash_password, password_matches, unknown_password_hash
from hsmcore.sessions.session import Session
from hsmcore.users import accounts
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.databases import database

ATTEMPTS = 5
"""Wrong passwords that an account survives."""
PASSWORD = b"another-pass-1"


def _names(hsm: Hsm, site: Site) -> set[tuple[str, str]]:
    return {(user.username, user.role) for user in hsm.users.all()}


@pytest.fixture
def guest(site: Site) -> Iterator[str]:
    """A crypto user who has never logged in."""
    site.hsm.users.create(site.admin, "guest", "crypto-user", PASSWORD)
    yield "guest"
    site.hsm.users.delete(site.admin, "guest", "crypto-user")


def _lock(hsm: Hsm, name: str) -> None:
    for _ in range(ATTEMPTS + 1):
        with pytest.raises(AuthenticationFailed):
            hsm.users.login(name, b"not the password")


@pytest.mark.parametrize("name", ["a", "Z9_", "x" * 31, "_", "0"])
def test_names_that_are_taken(site: Site, name: str) -> None:
    site.hsm.users.create(site.admin, name, "crypto-user", PASSWORD)
    assert (name.lower(), "crypto-user") in _names(site.hsm, site)
    site.hsm.users.delete(site.admin, name, "crypto-user")
    assert (name.lower(), "crypto-user") not in _names(site.hsm, site)


@pytest.mark.parametrize("name", ["", "x" * 32, "a b", "a-b", "a:b", "a\n", "ä", "a\0", "\u212aim", "../x"])
def test_names_that_are_refused(site: Site, name: str) -> None:
    before = _names(site.hsm, site)
    with pytest.raises(UserNameInvalid):
        site.hsm.users.create(site.admin, name, "crypto-user", PASSWORD)
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login(name, PASSWORD)
    assert _names(site.hsm, site) == before


@pytest.mark.parametrize(
    "password", [b"", b"1234567", b"x" * 33, b"with:colon", b"\xff" * 10, "ä".encode() * 7, "ä".encode() * 33]
)
def test_passwords_that_are_refused(site: Site, guest: str, password: bytes) -> None:
    before = _names(site.hsm, site)
    with pytest.raises(PasswordInvalid) as caught:
        site.hsm.users.create(site.admin, "nobody", "crypto-user", password)
    assert caught.value.__cause__ is None
    with pytest.raises(PasswordInvalid):
        site.hsm.users.change_password(site.admin, guest, "crypto-user", password)
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login(guest, password)
    site.hsm.users.logout(site.hsm.users.login(guest, PASSWORD))
    assert _names(site.hsm, site) == before


@pytest.mark.parametrize("password", [b"12345678", b"x" * 32, "ä".encode() * 8, "\U0001f511".encode() * 32, b"\0" * 8])
def test_passwords_that_are_taken(site: Site, guest: str, password: bytes) -> None:
    site.hsm.users.change_password(site.admin, guest, "crypto-user", password)
    site.hsm.users.logout(site.hsm.users.login(guest, password))
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login(guest, PASSWORD)


@pytest.mark.parametrize("password", [PASSWORD.upper(), PASSWORD[:-1], PASSWORD + b" ", PASSWORD + b"\0", b""])
def test_a_password_is_right_to_the_byte(site: Site, guest: str, password: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login(guest, password)


def test_the_case_of_a_name_does_not_count(site: Site, guest: str) -> None:
    session = site.hsm.users.login("GuEsT", PASSWORD)
    assert session.username == guest
    with pytest.raises(UserExists):
        site.hsm.users.create(site.admin, "GUEST", "crypto-user", PASSWORD)
    with pytest.raises(UserBusy):
        site.hsm.users.delete(site.admin, "GUEST", "crypto-user")
    site.hsm.users.change_password(session, "gUEST", "crypto-user", b"changed-pass-1")
    site.hsm.users.logout(session)
    site.hsm.users.logout(site.hsm.users.login("GUEST", b"changed-pass-1"))


def test_a_name_may_have_both_roles(site: Site, guest: str) -> None:
    site.hsm.users.create(site.admin, guest, "admin", b"as-an-admin-01")
    for wrong, role in ((PASSWORD, "admin"), (b"as-an-admin-01", "crypto-user")):
        with pytest.raises(AuthenticationFailed):
            site.hsm.users.login(guest, wrong, role)
    session = site.hsm.users.login(guest, b"as-an-admin-01", "admin")
    assert session.role == "admin"
    site.hsm.users.logout(session)
    site.hsm.users.delete(site.admin, guest, "admin")
    assert (guest, "crypto-user") in _names(site.hsm, site)


@pytest.mark.parametrize("role", ["", "root", "Admin", "crypto_user"])
def test_unknown_roles(site: Site, role: str) -> None:
    with pytest.raises(HsmError):
        site.hsm.users.create(site.admin, "someone", role, PASSWORD)
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login("cu1", PASSWORDS["cu1"], role)
    with pytest.raises(UserNotFound):
        site.hsm.users.delete(site.admin, "cu1", role)


def test_what_is_wrong_with_a_login_is_not_said(site: Site) -> None:
    messages = set()
    for name, password, role in (
        ("cu1", PASSWORD, "crypto-user"),
        ("nobody", PASSWORD, "crypto-user"),
        ("no name", PASSWORD, "crypto-user"),
        ("cu1", PASSWORDS["cu1"], "admin"),
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            site.hsm.users.login(name, password, role)
        messages.add(str(caught.value))
    assert len(messages) == 1
    site.hsm.users.logout(site.hsm.users.login("cu1", PASSWORDS["cu1"]))


def test_only_admins_administer(site: Site) -> None:
    before = _names(site.hsm, site)
    with pytest.raises(PermissionDenied):
        site.hsm.users.create(site.user, "mine", "crypto-user", PASSWORD)
    with pytest.raises(PermissionDenied):
        site.hsm.users.delete(site.user, "cu2", "crypto-user")
    for name, role in (("cu2", "crypto-user"), ("admin", "admin"), ("cu1", "admin")):
        with pytest.raises(PermissionDenied):
            site.hsm.users.change_password(site.user, name, role, PASSWORD)
    assert _names(site.hsm, site) == before
    site.hsm.users.logout(site.hsm.users.login("cu2", PASSWORDS["cu2"]))


def test_an_admin_has_no_keys(site: Site) -> None:
    for call in (
        lambda: site.hsm.keys.generate(site.admin, "AES_KEY_GEN", {}),
        lambda: site.hsm.keys.generate_pair(site.admin, "EC_KEY_PAIR_GEN", {}, {}),
        lambda: site.hsm.keys.import_(site.admin, {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}, bytes(16)),
    ):
        with pytest.raises(PermissionDenied):
            call()


def test_users_change_their_own_password(site: Site, guest: str) -> None:
    session = site.hsm.users.login(guest, PASSWORD)
    site.hsm.users.change_password(session, guest, "crypto-user", b"mine-now-0001")
    assert session.alive
    site.hsm.users.logout(session)
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login(guest, PASSWORD)
    site.hsm.users.logout(site.hsm.users.login(guest, b"mine-now-0001"))
    with pytest.raises(Unauthenticated):
        site.hsm.users.change_password(session, guest, "crypto-user", PASSWORD)


def test_five_wrong_passwords_are_survived(site: Site, guest: str) -> None:
    for _ in range(2):
        for _ in range(ATTEMPTS):
            with pytest.raises(AuthenticationFailed):
                site.hsm.users.login(guest, b"not the password")
        site.hsm.users.logout(site.hsm.users.login(guest, PASSWORD))


def test_the_sixth_locks_until_an_admin_sets_a_password(site: Site, guest: str) -> None:
    open_before = site.hsm.users.login(guest, PASSWORD)
    _lock(site.hsm, guest)
    for password in (PASSWORD, b"not the password"):
        with pytest.raises(AccountLocked, match="admin"):
            site.hsm.users.login(guest, password)
    assert {user.username for user in site.hsm.users.all() if user.locked} == {guest}
    assert open_before.alive
    site.hsm.users.logout(open_before)
    site.hsm.users.change_password(site.admin, guest, "crypto-user", b"unlocked-0001")
    site.hsm.users.logout(site.hsm.users.login(guest, b"unlocked-0001"))
    assert not any(user.locked for user in site.hsm.users.all())


def test_the_count_and_the_lock_survive_reopening(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path, admin_password=ADMIN_PASSWORD) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORD)
        for _ in range(3):
            with pytest.raises(AuthenticationFailed):
                hsm.users.login("cu1", b"not the password")
    with Hsm.open(tmp_path) as hsm:
        for _ in range(3):
            with pytest.raises(AuthenticationFailed):
                hsm.users.login("cu1", b"not the password")
    with Hsm.open(tmp_path) as hsm:
        with pytest.raises(AccountLocked):
            hsm.users.login("cu1", PASSWORD)
        hsm.users.change_password(hsm.users.login("admin", ADMIN_PASSWORD, "admin"), "cu1", "crypto-user", PASSWORD)
    with Hsm.open(tmp_path) as hsm:
        assert hsm.users.login("cu1", PASSWORD).alive


def test_who_cannot_be_deleted(site: Site, guest: str) -> None:
    session = site.hsm.users.login(guest, PASSWORD)
    key = site.hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
    with pytest.raises(UserBusy):
        site.hsm.users.delete(site.admin, guest, "crypto-user")
    site.hsm.users.logout(session)
    with pytest.raises(UserOwnsKeys):
        site.hsm.users.delete(site.admin, guest, "crypto-user")
    session = site.hsm.users.login(guest, PASSWORD)
    site.hsm.keys.destroy(session, key)
    site.hsm.users.logout(session)


def test_another_user_who_is_logged_in_keeps_the_password(site: Site, guest: str) -> None:
    session = site.hsm.users.login(guest, PASSWORD)
    with pytest.raises(UserBusy):
        site.hsm.users.change_password(site.admin, guest, "crypto-user", b"behind-my-back")
    site.hsm.users.logout(site.hsm.users.login(guest, PASSWORD))
    site.hsm.users.logout(session)
    site.hsm.users.change_password(site.admin, guest, "crypto-user", b"while-away-01")
    site.hsm.users.logout(site.hsm.users.login(guest, b"while-away-01"))
    site.hsm.users.change_password(site.admin, "admin", "admin", ADMIN_PASSWORD)


def test_a_name_that_comes_back_is_another_user(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login whose password was right a moment ago does not become a session of the user's successor."""
    site.hsm.users.create(site.admin, "phoenix", "crypto-user", PASSWORD)
    authenticate = accounts.Accounts.authenticate

    def and_then_the_user_is_replaced(store: accounts.Accounts, *credentials: Any, **named: Any) -> object:
        row = authenticate(store, *credentials, **named)
        monkeypatch.undo()
        site.hsm.users.delete(site.admin, "phoenix", "crypto-user")
        site.hsm.users.create(site.admin, "phoenix", "crypto-user", PASSWORD)
        return row

    monkeypatch.setattr(accounts.Accounts, "authenticate", and_then_the_user_is_replaced)
    with pytest.raises(AuthenticationFailed):
        site.hsm.users.login("phoenix", PASSWORD)
    site.hsm.users.delete(site.admin, "phoenix", "crypto-user")


@pytest.mark.parametrize("action", ["create", "delete"])
def test_of_two_admins_who_do_the_same_at_once_one_does(site: Site, action: str) -> None:
    site.hsm.users.create(site.admin, "second", "admin", PASSWORD)
    admins = [site.admin, site.hsm.users.login("second", PASSWORD, "admin")]
    outcomes: list[type[HsmError] | None] = []
    if action == "delete":
        site.hsm.users.create(site.admin, "wanted", "crypto-user", PASSWORD)

    def act(session: Session) -> None:
        try:
            if action == "create":
                site.hsm.users.create(session, "wanted", "crypto-user", PASSWORD)
            else:
                site.hsm.users.delete(session, "wanted", "crypto-user")
        except HsmError as error:
            outcomes.append(type(error))
        else:
            outcomes.append(None)

    threads = [threading.Thread(target=act, args=(session,)) for session in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {None, UserExists if action == "create" else UserNotFound}
    assert (("wanted", "crypto-user") in _names(site.hsm, site)) == (action == "create")
    if action == "create":
        site.hsm.users.delete(site.admin, "wanted", "crypto-user")
    site.hsm.users.logout(admins[1])
    site.hsm.users.delete(site.admin, "second", "admin")


def test_there_are_at_most_1024_users(tmp_path: Path) -> None:
    made = make_site(tmp_path)
    made.hsm.close()
    with database(tmp_path) as connection:
        rows = [(f"user{number}", number) for number in range(4, 1024)]
        insert = "INSERT INTO users (username, role, number, verifier, failures) VALUES (?, 'crypto-user', ?, x'', 0)"
        connection.executemany(insert, rows)
    with Hsm.open(tmp_path) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.create(admin, "the_last", "admin", PASSWORD)
        with pytest.raises(UserLimit, match="1024"):
            hsm.users.create(admin, "one_more", "admin", PASSWORD)
        assert len(hsm.users.all()) == 1024 + 1
        hsm.users.delete(admin, "the_last", "admin")
        hsm.users.create(admin, "one_more", "admin", PASSWORD)


def test_the_last_admin_stays(site: Site) -> None:
    with pytest.raises(PermissionDenied, match="last admin"):
        site.hsm.users.delete(site.admin, "admin", "admin")
    site.hsm.users.create(site.admin, "second", "admin", PASSWORD)
    with pytest.raises(UserBusy):
        site.hsm.users.delete(site.admin, "admin", "admin")
    site.hsm.users.delete(site.admin, "second", "admin")
    with pytest.raises(UserNotFound):
        site.hsm.users.delete(site.admin, "second", "admin")


def test_users_survive_reopening(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path, admin_password=ADMIN_PASSWORD) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.create(admin, "Keeps", "crypto-user", PASSWORD)
        hsm.users.create(admin, "goes", "crypto-user", PASSWORD)
        hsm.users.delete(admin, "goes", "crypto-user")
        before = hsm.users.all()
    with Hsm.open(tmp_path) as hsm:
        assert hsm.users.all() == before
        assert [(user.number, user.username) for user in before] == [(1, "admin"), (2, "app_user"), (3, "keeps")]
        with pytest.raises(AuthenticationFailed):
            hsm.users.login("goes", PASSWORD)


def test_an_ended_session_does_nothing(site: Site) -> None:
    session = site.hsm.users.login("cu1", PASSWORDS["cu1"])
    assert site.hsm.users.session(session.token) is session
    site.hsm.users.logout(session)
    site.hsm.users.logout(session)
    for call in (
        lambda: site.hsm.users.session(session.token),
        lambda: site.hsm.keys.find(session, {}),
        lambda: site.hsm.keys.generate(session, "AES_KEY_GEN", {}),
    ):
        with pytest.raises(Unauthenticated):
            call()


@pytest.mark.parametrize("stored", [True, False])
def test_the_hash_in_place_of_an_unknown_users_takes_the_same_work(stored: bool) -> None:
    real, unknown = hash_password(b"a-good-password", stored=stored), unknown_password_hash(stored=stored)
    assert unknown.split("$")[:4] == real.split("$")[:4]
    assert [len(part) for part in unknown.split("$")] == [len(part) for part in real.split("$")]
    assert password_matches(b"a-good-password", real)
    assert not password_matches(b"a-good-password", unknown)
