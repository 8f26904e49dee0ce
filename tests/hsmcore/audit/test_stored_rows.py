"""A stored row that somebody put back, edited or removed is refused at its use and found by ``audit verify``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import HsmError, KeyNotFound, StoreDamaged
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.databases import edit, put_back, row
from tests.hsmcore.older import make_first

NEW = b"another-password-1"


def _findings(home: Path) -> list[str]:
    with Hsm.open(home) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        return [finding.text for finding in hsm.audit.verify(admin).findings]


@dataclass(frozen=True)
class At:
    """An open HSM, sessions of its admin and of ``cu1``, and a token key of ``cu1``."""

    hsm: Hsm
    admin: Session
    user: Session
    key: int

    @classmethod
    def of(cls, hsm: Hsm, key: int) -> At:
        """Log both users in."""
        return cls(hsm, hsm.users.login("admin", ADMIN_PASSWORD, "admin"), _user(hsm), key)


@dataclass(frozen=True)
class Case:
    """A row, the change that is undone, and the use that must fail."""

    table: str
    where: str
    change: Callable[[At], object]
    use: Callable[[At], object]
    found: str


def _user(hsm: Hsm) -> Session:
    return hsm.users.login("cu1", PASSWORDS["cu1"])


def _guess(at: At) -> None:
    for _ in range(3):
        with pytest.raises(HsmError):
            at.hsm.users.login("cu2", b"wrong-password")


KEY = "handle = {key}"
KEYS = {"keys": "handle", "users": "username role"}
"""Primary keys by table."""
CASES = {
    "a destroyed key": Case(
        "keys", KEY,
        lambda at: at.hsm.keys.destroy(at.user, at.key),
        lambda at: at.hsm.crypto.encrypt(at.user, at.key, "AES_GCM", None, b"text"),
        "was put back after it had been deleted",
    ),
    "a key's attributes": Case(
        "keys", KEY,
        lambda at: at.hsm.keys.set_attributes(at.user, at.key, {"ENCRYPT": False}),
        lambda at: at.hsm.crypto.encrypt(at.user, at.key, "AES_GCM", None, b"text"),
        "its version is 2, the newest one is 3",
    ),
    "a key that an admin no longer trusts": Case(
        "keys", KEY,
        lambda at: at.hsm.keys.set_attributes(at.admin, at.key, {"TRUSTED": False}),
        lambda at: at.hsm.keys.get(at.user, at.key),
        "its version is 2, the newest one is 3",
    ),
    "a key that is no longer shared": Case(
        "keys", KEY,
        lambda at: at.hsm.keys.unshare(at.user, at.key, "cu2"),
        lambda at: at.hsm.keys.get(at.hsm.users.login("cu2", PASSWORDS["cu2"]), at.key),
        "its version is 2, the newest one is 3",
    ),
    "a password": Case(
        "users", "username = 'cu2'",
        lambda at: at.hsm.users.change_password(at.admin, "cu2", "crypto-user", NEW),
        lambda at: at.hsm.users.login("cu2", PASSWORDS["cu2"]),
        "its version is 1, the newest one is 2",
    ),
    "a user without wrong passwords": Case(
        "users", "username = 'cu2'", _guess,
        lambda at: at.hsm.users.login("cu2", PASSWORDS["cu2"]),
        "its version is 1, the newest one is 4",
    ),
    "a deleted user": Case(
        "users", "username = 'cu2'",
        lambda at: at.hsm.users.delete(at.admin, "cu2", "crypto-user"),
        lambda at: at.hsm.users.login("cu2", PASSWORDS["cu2"]),
        "was put back after it had been deleted",
    ),
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> tuple[Path, int]:
    """A closed HSM, and a token key of ``cu1`` that is shared with ``cu2``."""
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        key = hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
        hsm.keys.share(made.user, key, "cu2")
    return made.home, key


def _change(home: Path, case: Case, key: int) -> None:
    with Hsm.open(home) as hsm:
        case.change(At.of(hsm, key))


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_was_put_back(site: tuple[Path, int], name: str) -> None:
    (home, key), case = site, CASES[name]
    old = row(home, case.table, case.where.format(key=key))
    _change(home, case, key)
    assert _findings(home) == []
    put_back(home, case.table, old, KEYS[case.table])
    with Hsm.open(home) as hsm, pytest.raises((StoreDamaged, KeyNotFound)):
        case.use(At.of(hsm, key))
    (found,) = _findings(home)
    assert case.found in found


@pytest.mark.parametrize("name", CASES)
def test_the_index_of_versions_put_back_with_the_row(site: tuple[Path, int], name: str) -> None:
    (home, key), case = site, CASES[name]
    subject = f"key/{key}" if case.table == "keys" else "user/crypto-user/cu2"
    old = row(home, case.table, case.where.format(key=key)), row(home, "versions", f"subject = '{subject}'")
    _change(home, case, key)
    put_back(home, case.table, old[0], KEYS[case.table])
    put_back(home, "versions", old[1], "subject")
    (found,) = _findings(home)
    assert case.found in found


def test_a_row_that_was_removed(site: tuple[Path, int]) -> None:
    home, key = site
    edit(home, "DELETE FROM keys WHERE handle = ?", key)
    with Hsm.open(home) as hsm, pytest.raises(StoreDamaged):
        hsm.keys.get(_user(hsm), key)
    edit(home, "DELETE FROM users WHERE username = 'cu2'")
    assert _findings(home) == [
        f"the stored row of key {key} was removed", "the stored row of user 'cu2' (crypto-user) was removed",
    ]  # fmt: skip


@pytest.mark.parametrize("failures", [-1000, 0, 5, 2**30])
def test_the_count_of_wrong_passwords_is_sealed(site: tuple[Path, int], failures: int) -> None:
    home, _ = site
    _change(home, CASES["a user without wrong passwords"], 0)
    edit(home, "UPDATE users SET failures = ? WHERE username = 'cu2'", failures)
    with Hsm.open(home) as hsm, pytest.raises(StoreDamaged):
        hsm.users.login("cu2", PASSWORDS["cu2"])
    assert _findings(home) == ["the stored row of user 'cu2' (crypto-user) was changed"]


def test_an_admin_repairs_a_user_whose_row_was_put_back(site: tuple[Path, int]) -> None:
    home, _ = site
    case = CASES["a password"]
    old = row(home, "users", case.where)
    _change(home, case, 0)
    put_back(home, "users", old, KEYS["users"])
    with Hsm.open(home) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.change_password(admin, "cu2", "crypto-user", NEW)
    with Hsm.open(home) as hsm:
        assert hsm.users.login("cu2", NEW).alive
    assert _findings(home) == []


def test_quorum_values_that_were_put_back(site: tuple[Path, int]) -> None:
    home, _ = site
    old = row(home, "hsm", "id = 1")
    with Hsm.open(home) as hsm:
        hsm.quorum.set_timeout(hsm.users.login("admin", ADMIN_PASSWORD, "admin"), "approved", 60)
    edit(home, "UPDATE hsm SET quorum = ?, quorum_version = ?", old["quorum"], old["quorum_version"])
    with pytest.raises(StoreDamaged, match="quorum values"):
        Hsm.open(home)


def test_a_user_of_a_deleted_users_name_is_another_one(site: tuple[Path, int]) -> None:
    home, _ = site
    old = row(home, "users", "username = 'cu2'")
    with Hsm.open(home) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        hsm.users.delete(admin, "cu2", "crypto-user")
        hsm.users.create(admin, "cu2", "crypto-user", NEW)
    assert _findings(home) == []
    put_back(home, "users", old, KEYS["users"])
    with Hsm.open(home) as hsm, pytest.raises(StoreDamaged):
        hsm.users.login("cu2", PASSWORDS["cu2"])


@pytest.mark.sqlite
def test_rows_of_an_older_schema_get_versions_once(site: tuple[Path, int]) -> None:
    home, key = site
    with Hsm.open(home) as hsm:
        hsm.keys.unshare(_user(hsm), key, "cu2")
    make_first(home)
    older = row(home, "keys", f"handle = {key}")
    assert _findings(home) == []
    with Hsm.open(home) as hsm:
        hsm.keys.set_attributes(_user(hsm), key, {"ENCRYPT": False})
    for column in ("attributes", "material"):
        edit(home, f"UPDATE keys SET {column} = ?, version = 0 WHERE handle = ?", older[column], key)
    with Hsm.open(home) as hsm, pytest.raises(StoreDamaged):
        hsm.keys.get(_user(hsm), key)


def test_changes_during_a_verification_are_no_faults(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        stopped = threading.Event()

        def change() -> None:
            while not stopped.is_set():
                key = hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
                hsm.keys.set_attributes(made.user, key, {"LABEL": "new"})
                hsm.keys.destroy(made.user, key)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(20):
                assert hsm.audit.verify(made.admin).findings == []
        finally:
            stopped.set()
            thread.join()
