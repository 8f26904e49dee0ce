"""Two HSMs that do the same at the same time: exactly one wins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hsmcore.errors import (
    AccountLocked,
    AuthenticationFailed,
    HsmError,
    KeyNotFound,
    PermissionDenied,
    SharingInvalid,
    UserExists,
)
from hsmcore.storage import postgresql
from hsmcore.storage.members import APPLIED
from hsmcore.users.accounts import MAX_FAILURES
from tests.conftest import Tally, repeated
from tests.hsmcore.conftest import PASSWORDS
from tests.hsmcore.databases import database

from .conftest import Pair

ENGINES = ("postgresql",)
ROUNDS = repeated(4, 60, "HSMBRIDGE_RACES")
PASSWORD = b"racing-password-1"
_LIMIT = 10.0
"""Seconds of the wait for a notification."""

Race = Callable[[Pair, int, int], Any]


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run calls at the same time; return their results or errors."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except HsmError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def _new_user(pair: Pair, at: int, number: int) -> object:
    return pair.hsms[at]("users.create", pair.admins[at], f"racer{number}", "crypto-user", PASSWORD)


def _delete_user(pair: Pair, at: int, number: int) -> object:
    return pair.hsms[at]("users.delete", pair.admins[at], f"racer{number}", "crypto-user")


def test_one_user_name(pair: Pair, tally: Tally) -> None:
    """Both create a user of one name, then both delete it."""
    counts = tally("races between two HSMs")
    for number in range(ROUNDS):
        made = at_once([lambda at=at, number=number: _new_user(pair, at, number) for at in (0, 1)])  # type: ignore[misc]
        assert sorted(type(one).__name__ for one in made) == ["NoneType", UserExists.__name__]
        gone = at_once([lambda at=at, number=number: _delete_user(pair, at, number) for at in (0, 1)])  # type: ignore[misc]
        assert sorted(type(one).__name__ for one in gone) == ["UserNotFound", "int"]
        counts["user names"] += 2
    assert pair.hsms[0]("audit.verify", pair.admins[0]).findings == []


def test_each_hsm_tells_at_once_what_it_has_applied(pair: Pair) -> None:
    """Also what its own command applied that waited for its turn. Else the winner waits for the next renewal."""
    with database(pair.homes[0]) as rows:
        (serial,) = rows.execute("SELECT serial FROM hsm").fetchone() or ("",)
    with postgresql.listening(pair.url, f"hsm_{serial}") as listener:
        for number in range(10):
            made = at_once([lambda at=at, number=number: _new_user(pair, at, number) for at in (0, 1)])  # type: ignore[misc]
            winner = made.index(None)
            told = f"{APPLIED} {2 - winner}"
            assert any(note.payload == told for note in listener.notifies(timeout=_LIMIT)), number


@pytest.mark.long
def test_one_key(pair: Pair, tally: Tally) -> None:
    """One shares a key that the other destroys; both stop sharing; both destroy."""
    one, two = pair.hsms
    for _ in range(ROUNDS):
        key = one("keys.generate", pair.users[0], "AES_KEY_GEN", {"TOKEN": True}).handle
        one("keys.share", pair.users[0], key, "cu2")
        for method, errors in (("keys.unshare", SharingInvalid), ("keys.destroy", KeyNotFound)):
            more = ("cu2",) if method == "keys.unshare" else ()
            done = at_once([
                lambda: one(method, pair.users[0], key, *more), lambda: two(method, pair.users[1], key, *more)  # noqa: B023
            ])  # fmt: skip
            assert sorted(type(outcome).__name__ for outcome in done) == sorted(["NoneType", errors.__name__])
        tally("races between two HSMs")["keys"] += 2
    for hsm, user in zip(pair.hsms, pair.users, strict=True):
        assert hsm("keys.find", user, {}) == []


def test_the_last_admin(pair: Pair, tally: Tally) -> None:
    """Each of the two last admins deletes the other, at an HSM of its own: one of them stays."""
    sessions = []
    for hsm, admin, name in zip(pair.hsms, pair.admins, ("left", "right"), strict=True):
        hsm("users.create", admin, name, "admin", PASSWORD)
        sessions.append(hsm.login(name, PASSWORD, "admin"))
    for hsm, admin in zip(pair.hsms, pair.admins, strict=True):
        hsm("users.logout", admin)
    pair.hsms[0]("users.delete", sessions[0], "admin", "admin")
    for number in range(ROUNDS):
        done = at_once(
            [
                lambda: pair.hsms[0]("users.delete", sessions[0], "right", "admin"),
                lambda: pair.hsms[1]("users.delete", sessions[1], "left", "admin"),
            ]
        )
        assert sum(not isinstance(outcome, HsmError) for outcome in done) == 1, (number, done)
        winner = 1 if isinstance(done[0], HsmError) else 0
        names = [user.username for user in pair.hsms[1 - winner]("users.all") if user.role == "admin"]
        assert names == [("left", "right")[winner]]
        loser = ("right", "left")[winner]
        pair.hsms[winner]("users.create", sessions[winner], loser, "admin", PASSWORD)
        sessions[1 - winner] = pair.hsms[1 - winner].login(loser, PASSWORD, "admin")
        tally("races between two HSMs")["last admins"] += 1


@pytest.mark.long
def test_a_lock_out(pair: Pair, tally: Tally) -> None:
    """Both guess a password: the HSMs together take as many guesses as one, and a right password no more then."""
    for number in range(ROUNDS // 3 + 1):
        name = f"victim{number}"
        pair.hsms[0]("users.create", pair.admins[0], name, "crypto-user", PASSWORD)
        guesses = [
            lambda at=at, name=name: pair.hsms[at].login(name, b"wrong-password")  # type: ignore[misc]
            for at in (0, 1) * (MAX_FAILURES + 1)
        ]
        outcomes = [type(one) for one in at_once(guesses)]
        assert outcomes.count(AuthenticationFailed) == MAX_FAILURES + 1
        assert outcomes.count(AccountLocked) == MAX_FAILURES + 1
        for hsm in pair.hsms:
            with pytest.raises(AccountLocked):
                hsm.login(name, PASSWORD)
        tally("races between two HSMs")["lock-outs"] += 1
    assert pair.hsms[1].login("cu1", PASSWORDS["cu1"])


@pytest.mark.long
def test_a_user_who_is_deleted_while_another_hsm_makes_a_key(pair: Pair, tally: Tally) -> None:
    """No key stays whose owner does not exist."""
    one, two = pair.hsms
    for number in range(ROUNDS):
        name = f"owner{number}"
        one("users.create", pair.admins[0], name, "crypto-user", PASSWORD)
        session = two.login(name, PASSWORD)
        at_once(
            [
                lambda name=name: one("users.delete", pair.admins[0], name, "crypto-user", True),  # type: ignore[misc]
                lambda session=session: two("keys.generate", session, "AES_KEY_GEN", {"TOKEN": True}),  # type: ignore[misc]
            ]
        )
        tally("races between two HSMs")["owners"] += 1
    with pytest.raises(PermissionDenied):
        one("keys.labels", pair.admins[0])
    assert one("keys.find", pair.admins[0], {"LABEL": ""}) == []
    assert two("audit.verify", pair.admins[1]).findings == []
