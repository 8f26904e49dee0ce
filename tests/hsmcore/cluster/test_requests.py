"""A client loses the answer to a change because its HSM has died, and asks another HSM of the cluster again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsmcore import Hsm
from hsmcore.errors import ChangeMade, KeyNotFound, RepetitionUnknown, StoreDamaged
from tests.conftest import Tally, repeated
from tests.hsmcore.conftest import ADMIN_PASSWORD
from tests.hsmcore.databases import database

from .conftest import Pair
from .test_races import at_once

ENGINES = ("postgresql",)
ROUNDS = repeated(3, 40, "HSMBRIDGE_RACES")
TEMPLATE = {"TOKEN": True, "LABEL": "made once"}
GENERATE = ("keys.generate", "AES_KEY_GEN", TEMPLATE)


def _once(pair: Pair, at: int, number: int, *request: Any, repeated: bool = False) -> Any:
    return pair.hsms[at]("once", pair.users[at], number, repeated, *request)


def _changes(call: Callable[[], object]) -> str:
    with pytest.raises(ChangeMade) as refused:
        call()
    return refused.value.changes


def test_a_change_whose_hsm_died_is_not_made_again(pair: Pair) -> None:
    """A new key, a share and a destruction; the other HSM tells what they changed."""
    key = _once(pair, 0, 1, *GENERATE).handle
    _once(pair, 0, 2, "keys.share", key, "cu2")
    gone = _once(pair, 0, 3, *GENERATE).handle
    _once(pair, 0, 4, "keys.destroy", gone)
    pair.hsms[0].kill()
    assert _changes(lambda: _once(pair, 1, 1, *GENERATE, repeated=True)) == f"key/{key}/1"
    assert _changes(lambda: _once(pair, 1, 4, "keys.destroy", gone, repeated=True)) == f"-key/{gone}/2"
    assert _changes(lambda: _once(pair, 1, 2, "keys.share", key, "cu2", repeated=True)) == f"key/{key}/2"
    assert [one.handle for one in pair.hsms[1]("keys.find", pair.users[1], {"LABEL": "made once"})] == [key]


@pytest.mark.long
def test_a_request_that_changed_nothing_is_run_at_the_other_hsm(pair: Pair) -> None:
    with pytest.raises(KeyNotFound):
        _once(pair, 0, 1, "keys.destroy", 12345)
    key = _once(pair, 1, 1, *GENERATE, repeated=True).handle
    with pytest.raises(KeyNotFound):
        _once(pair, 0, 2, "keys.destroy", 12345, repeated=True)
    # The number is of one user.
    made = pair.hsms[0]("once", pair.others[0], 1, True, *GENERATE)
    assert made.handle != key


def test_one_request_at_two_hsms_at_the_same_time(pair: Pair, tally: Tally) -> None:
    """Exactly one of them makes the change, and the other knows of it."""
    for number in range(1, ROUNDS + 1):
        outcomes = at_once(
            [lambda at=at, number=number: _once(pair, at, number, *GENERATE, repeated=bool(at)) for at in (0, 1)]  # type: ignore[misc]
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["ChangeMade", "KeyRecord"], outcomes
        tally("races between two HSMs")["requests"] += 1
    assert len(pair.hsms[0]("keys.find", pair.users[0], {})) == ROUNDS


@pytest.mark.long
def test_a_request_that_was_edited_is_not_acknowledged(pair: Pair) -> None:
    _once(pair, 0, 1, *GENERATE)
    with database(pair.homes[0]) as connection:
        connection.execute("UPDATE requests SET number = 2")
    with pytest.raises(StoreDamaged):
        _once(pair, 1, 2, "keys.generate", "AES_KEY_GEN", TEMPLATE, repeated=True)


@pytest.mark.long
def test_old_requests_are_removed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest ones stay, as many as the bound, if they are young enough."""
    from hsmcore.storage import requests
    from hsmcore.storage.engine import close
    from hsmcore.storage.postgresql import connect

    for number in range(1, 5):
        _once(pair, 0, number, *GENERATE)
    engine = connect(pair.url)
    try:
        with database(pair.homes[0]) as connection:
            connection.execute("UPDATE requests SET made = made - 3600000 WHERE number = 1")
        monkeypatch.setattr(requests, "KEPT", 2)
        requests.Requests(engine, None).prune()  # type: ignore[arg-type]
    finally:
        close(engine)
    with database(pair.homes[0]) as connection:
        assert [number for (number,) in connection.execute("SELECT number FROM requests ORDER BY 1")] == [3, 4]


def test_an_hsm_alone_refuses_a_repetition_that_it_cannot_know(tmp_path: Path) -> None:
    monkey = Hsm.initialize.__func__  # type: ignore[attr-defined]
    with monkey(Hsm, tmp_path / "alone", admin_password=ADMIN_PASSWORD, store=None) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        with pytest.raises(RepetitionUnknown), hsm.requests.once(admin, 1, repeated=True):
            hsm.users.create(admin, "cu1", "crypto-user", b"first-pass-001")
        with hsm.requests.once(admin, 1):
            hsm.users.create(admin, "cu1", "crypto-user", b"first-pass-001")
