"""A new HSM that is not activated, and how it becomes one that is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    AuthenticationFailed,
    HsmError,
    PasswordInvalid,
    PermissionDenied,
    StateError,
    Unauthenticated,
    UserNotFound,
)
from hsmcore.sessions.session import Session

from .conftest import ADMIN_PASSWORD

UNACTIVATED = "unactivated-admin"


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Hsm]:
    with Hsm.initialize(tmp_path / "hsm", admin_password=None) as hsm:
        yield hsm


def _users(hsm: Hsm) -> list[tuple[int, str, str]]:
    return [(user.number, user.username, user.role) for user in hsm.users.all()]


def _login(hsm: Hsm) -> Session:
    return hsm.users.login("admin", b"", UNACTIVATED)


def test_activation_makes_the_first_admin(new: Hsm) -> None:
    assert _users(new) == [(1, "admin", UNACTIVATED), (2, "app_user", "internal(APPLIANCE_USER)")]
    session = _login(new)
    new.users.activate(session, ADMIN_PASSWORD)
    assert _users(new)[0] == (1, "admin", "admin")
    assert not session.alive
    admin = new.users.login("admin", ADMIN_PASSWORD, "admin")
    new.users.create(admin, "cu1", "crypto-user", b"first-pass-001")
    assert _users(new)[2] == (3, "cu1", "crypto-user")


def test_before_activation_nothing_else_works(new: Hsm) -> None:
    for password in (b"", b"password", ADMIN_PASSWORD):
        with pytest.raises(AuthenticationFailed):
            new.users.login("admin", password, "admin")
    session = _login(new)
    with pytest.raises(PermissionDenied, match="admin"):
        new.users.create(session, "cu1", "crypto-user", b"first-pass-001")
    with pytest.raises(PermissionDenied):
        new.users.change_password(session, "admin", UNACTIVATED, ADMIN_PASSWORD)
    with pytest.raises(PermissionDenied):
        new.keys.find(session, {})
    assert len(_users(new)) == 2


@pytest.mark.parametrize("password", [b"", b"short", b"with:colon", b"x" * 33, b"\xff" * 9])
def test_a_bad_password_activates_nothing(new: Hsm, password: bytes) -> None:
    session = _login(new)
    with pytest.raises(PasswordInvalid):
        new.users.activate(session, password)
    assert _users(new)[0] == (1, "admin", UNACTIVATED)
    new.users.activate(session, ADMIN_PASSWORD)


def test_activation_happens_once(new: Hsm) -> None:
    first, second = _login(new), _login(new)
    new.users.activate(first, ADMIN_PASSWORD)
    for session in (first, second):
        with pytest.raises(Unauthenticated):
            new.users.activate(session, b"another-pass-1")
    with pytest.raises(AuthenticationFailed):
        _login(new)
    with pytest.raises(PermissionDenied):
        new.users.activate(new.users.login("admin", ADMIN_PASSWORD, "admin"), b"another-pass-1")


def test_of_two_who_activate_at_once_one_does(new: Hsm) -> None:
    passwords = [b"from-thread-%d" % number for number in range(4)]
    sessions = [_login(new) for _ in passwords]
    outcomes: list[HsmError | None] = []

    def activate(session: Session, password: bytes) -> None:
        try:
            new.users.activate(session, password)
        except HsmError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)

    threads = [threading.Thread(target=activate, args=pair) for pair in zip(sessions, passwords, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 1
    assert all(error is None or isinstance(error, (UserNotFound, Unauthenticated)) for error in outcomes)
    assert _users(new)[0] == (1, "admin", "admin")
    assert sum(_logs_in(new, password) for password in passwords) == 1


def _logs_in(hsm: Hsm, password: bytes) -> bool:
    try:
        hsm.users.logout(hsm.users.login("admin", password, "admin"))
    except AuthenticationFailed:
        return False
    return True


def test_activation_survives_reopening(tmp_path: Path) -> None:
    Hsm.initialize(tmp_path, admin_password=None).close()
    with Hsm.open(tmp_path) as hsm:
        hsm.users.activate(_login(hsm), ADMIN_PASSWORD)
    with Hsm.open(tmp_path) as hsm:
        assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive
        with pytest.raises(AuthenticationFailed):
            _login(hsm)
    with pytest.raises(StateError):
        Hsm.initialize(tmp_path, admin_password=None)
