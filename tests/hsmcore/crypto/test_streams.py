"""How long multi-part operations live, and how many of them there may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.crypto import streams
from hsmcore.errors import OperationNotFound, Unauthenticated
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import PASSWORDS, make_site

MAX_AGE = 15 * 60


@dataclass
class Site:
    """An HSM and the time that it sees, in seconds."""

    hsm: Hsm
    now: list[float]
    session: Session
    key: int

    def begin(self) -> int:
        return self.hsm.crypto.begin(self.session, "encrypt", self.key, "AES_CTR", None)[0]

    def alive(self, operation: int) -> bool:
        try:
            self.hsm.crypto.update(self.session, operation, b"")
        except OperationNotFound:
            return False
        return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_site(tmp_path_factory.mktemp("streams") / "hsm")
    made.hsm.close()
    return made.home


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    now = [1000.0]
    with Hsm.open(home, clock=lambda: now[0]) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        yield Site(hsm, now, session, hsm.keys.generate(session, "AES_KEY_GEN", {}).handle)


def test_an_operation_lives_fifteen_minutes_after_its_last_message(site: Site) -> None:
    assert streams.MAX_AGE == MAX_AGE
    operation = site.begin()
    for _ in range(3):
        site.now[0] += MAX_AGE
        assert site.alive(operation)
    site.now[0] += MAX_AGE + 1
    assert not site.alive(operation)


MESSAGES: dict[str, Callable[[Site, int], object]] = {
    "update": lambda site, operation: site.hsm.crypto.update(site.session, operation, b"data"),
    "finish": lambda site, operation: site.hsm.crypto.finish(site.session, operation, b"data"),
    "abort": lambda site, operation: site.hsm.crypto.abort(site.session, operation),
}


@pytest.mark.parametrize("send", MESSAGES.values(), ids=MESSAGES)
def test_an_operation_that_has_expired_takes_no_message(site: Site, send: Callable[[Site, int], object]) -> None:
    operation = site.begin()
    site.now[0] += MAX_AGE + 1
    with pytest.raises(OperationNotFound):
        send(site, operation)
    assert site.hsm.statistics().multipart == 0


def test_each_operation_has_its_own_time(site: Site) -> None:
    """One that is in use neither takes others along when they expire, nor keeps them."""
    busy, quiet = site.begin(), site.begin()
    site.now[0] += 100
    assert site.alive(busy)
    site.now[0] += MAX_AGE - 50
    assert not site.alive(quiet)
    assert site.alive(busy)
    assert site.hsm.crypto.finish(site.session, busy, b"data")


def test_one_operation_too_many_ends_the_quietest_of_its_session(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.MAX_OPERATIONS == 1000
    monkeypatch.setattr(streams, "MAX_OPERATIONS", 2)
    first, second = site.begin(), site.begin()
    assert site.alive(first), "the second is the quieter one now"
    third = site.begin()
    with pytest.raises(OperationNotFound):
        site.hsm.crypto.update(site.session, second, b"data")
    other = site.hsm.users.login("cu1", PASSWORDS["cu1"])
    mac = site.hsm.keys.generate(other, "GENERIC_SECRET_KEY_GEN", {}).handle
    assert site.hsm.crypto.begin(other, "sign", mac, "HMAC_SHA256", None), "the bound is a session's"
    assert site.alive(first)
    assert site.alive(third)


def test_operations_end_with_their_session(site: Site) -> None:
    operation = site.begin()
    site.hsm.users.logout(site.session)
    assert site.hsm.statistics().multipart == 0
    with pytest.raises(Unauthenticated):
        site.hsm.crypto.update(site.session, operation, b"data")


class _LoggingOut(dict[str, object]):
    """Parameters that end a session while they are read."""

    def __init__(self, site: Site) -> None:
        super().__init__(iv=bytes(16))
        self._site = site

    def get(self, name: str, default: object = None) -> object:
        self._site.hsm.users.logout(self._site.session)
        return super().get(name, default)


def test_an_operation_does_not_begin_in_a_session_that_ends_meanwhile(site: Site) -> None:
    with pytest.raises(Unauthenticated):
        site.hsm.crypto.begin(site.session, "encrypt", site.key, "AES_CTR", _LoggingOut(site))
    assert not site.session.alive
    assert site.hsm.statistics().multipart == 0


def test_an_operation_is_its_sessions_own(site: Site) -> None:
    operation, other = site.begin(), site.hsm.users.login("cu1", PASSWORDS["cu1"])
    with pytest.raises(OperationNotFound):
        site.hsm.crypto.update(other, operation, b"data")
    assert site.alive(operation)
