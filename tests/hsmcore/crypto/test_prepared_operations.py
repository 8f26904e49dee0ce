"""Prepared operations end with the permission that they were prepared under, and their number is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine, event

from hsmcore import Hsm
from hsmcore.crypto import operations
from hsmcore.errors import HsmError, KeyFunctionNotPermitted, KeyNotFound, KeyQuorumFailed, Unauthenticated
from hsmcore.keys.records import Sharing
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import PASSWORDS, make_site
from tests.hsmcore.making import public_info

DATA = b"data"
RACE_SECONDS = 0.3
"""How long a change waits for a use of its key. A use that comes later meets the finished change and proves nothing."""


@dataclass(frozen=True)
class Site:
    """An HSM with a session of the owner of keys, and one of the user they are shared with."""

    hsm: Hsm
    owner: Session
    friend: Session

    def key(self, *, token: bool = True) -> int:
        return self.hsm.keys.generate(self.owner, "AES_KEY_GEN", {"TOKEN": token}, Sharing(("cu2",))).handle

    def use(self, session: Session, key: int, mechanism: str = "AES_GCM") -> int:
        """Use a key, and return the number of the shortcut to the same use."""
        self.hsm.crypto.encrypt(session, key, mechanism, None, DATA)
        return self.hsm.crypto.keep_shortcut(session, "ENCRYPT", key, mechanism, lambda run: run)

    def kept(self) -> tuple[int, int]:
        """Return how many prepared operations and shortcuts there are, in all sessions that are alive."""
        cached = self.hsm.statistics().cached
        return cached["prepared"], cached["shortcuts"]


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hsm]:
    made = make_site(tmp_path_factory.mktemp("prepared") / "hsm")
    with made.hsm as hsm:
        for session in (made.user, made.other, made.admin):
            hsm.users.logout(session)
        yield hsm


@pytest.fixture
def site(hsm: Hsm) -> Iterator[Site]:
    """The HSM with new sessions."""
    sessions = [hsm.users.login(name, password) for name, password in PASSWORDS.items()]
    yield Site(hsm, *sessions)
    for session in sessions:
        hsm.users.logout(session)


Change = Callable[[Site, int], object]

CHANGES: dict[str, tuple[Change, type[HsmError], type[HsmError] | None]] = {
    "attributes": (
        lambda site, key: site.hsm.keys.set_attributes(site.owner, key, {"ENCRYPT": False}),
        KeyFunctionNotPermitted,
        KeyFunctionNotPermitted,
    ),
    "quorum values": (
        lambda site, key: site.hsm.keys.set_quorum(site.owner, key, 0, 1),
        KeyQuorumFailed,
        KeyQuorumFailed,
    ),
    "destruction": (lambda site, key: site.hsm.keys.destroy(site.owner, key), KeyNotFound, KeyNotFound),
    "unsharing": (lambda site, key: site.hsm.keys.unshare(site.owner, key, "cu2"), KeyNotFound, None),
}
"""A change of a key, and the errors of a use by the friend and by the owner after it."""


@pytest.mark.parametrize("token", [True, False], ids=["token key", "session key"])
@pytest.mark.parametrize(("change", "friends", "owners"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_key_ends_what_was_prepared_with_it(
    site: Site, token: bool, change: Change, friends: type[HsmError], owners: type[HsmError] | None
) -> None:
    key, untouched = site.key(token=token), site.key(token=token)
    shortcuts = {session: site.use(session, key) for session in (site.owner, site.friend)}
    site.use(site.friend, untouched)
    assert site.kept() == (3, 3)
    change(site, key)
    assert site.kept() == (1, 0), "the other key stays prepared; shortcuts are numbers that all begin anew"
    for session, number in shortcuts.items():
        assert number not in session.shortcuts
    with pytest.raises(friends):
        site.hsm.crypto.encrypt(site.friend, key, "AES_GCM", None, DATA)
    if owners is None:
        site.hsm.crypto.encrypt(site.owner, key, "AES_GCM", None, DATA)
    else:
        with pytest.raises(owners):
            site.hsm.crypto.encrypt(site.owner, key, "AES_GCM", None, DATA)
    assert site.hsm.crypto.encrypt(site.friend, untouched, "AES_GCM", None, DATA)


ENDS: dict[str, Callable[[Hsm, Session], object]] = {
    "logout": lambda hsm, session: hsm.users.logout(session),
    "abandon": lambda hsm, session: hsm.users.abandon(session),
    "close": lambda hsm, session: hsm.users.close_session(session),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_end_of_a_session_ends_what_was_prepared_in_it(site: Site, end: Callable[[Hsm, Session], object]) -> None:
    key = site.key()
    number = site.use(site.friend, key)
    end(site.hsm, site.friend)
    assert number not in site.friend.shortcuts
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            site.hsm.crypto.encrypt(site.friend, key, "AES_GCM", None, DATA)
    assert site.hsm.crypto.keep_shortcut(site.friend, "ENCRYPT", key, "AES_GCM", lambda run: run) == 0


def test_the_end_of_the_owners_session_ends_what_others_prepared_with_its_keys(site: Site) -> None:
    session_key, token_key = site.key(token=False), site.key()
    shortcuts = [site.use(site.friend, key) for key in (session_key, token_key)]
    site.hsm.users.logout(site.owner)
    assert site.kept() == (1, 0)
    assert not set(shortcuts) & site.friend.shortcuts.keys()
    with pytest.raises(KeyNotFound):
        site.hsm.crypto.encrypt(site.friend, session_key, "AES_GCM", None, DATA)
    assert site.hsm.crypto.encrypt(site.friend, token_key, "AES_GCM", None, DATA)


def test_closing_the_hsm_ends_what_was_prepared(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        key = hsm.keys.generate(made.user, "AES_KEY_GEN", {}).handle
        hsm.crypto.encrypt(made.user, key, "AES_GCM", None, DATA)
    with pytest.raises(Unauthenticated):
        hsm.crypto.encrypt(made.user, key, "AES_GCM", None, DATA)


@contextmanager
def _during(statement: str, act: Callable[[], object]) -> Iterator[None]:
    """Run ``act`` in a thread of its own, begun in the middle of the first change that executes such a statement."""
    threads: list[threading.Thread] = []

    def begin(connection: object, cursor: object, text: str, *rest: object) -> None:
        if text.startswith(statement) and not threads:
            threads.append(threading.Thread(target=act))
            threads[0].start()
            threads[0].join(RACE_SECONDS)

    event.listen(Engine, "before_cursor_execute", begin)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", begin)
    (thread,) = threads
    thread.join()


@pytest.mark.parametrize("session", ["owner", "friend"])
def test_what_is_prepared_while_its_key_changes_is_not_kept(site: Site, session: str) -> None:
    key, user = site.key(), getattr(site, session)
    with _during("UPDATE keys", lambda: site.hsm.crypto.encrypt(user, key, "AES_GCM", None, DATA)):
        site.hsm.keys.set_attributes(site.owner, key, {"ENCRYPT": False})
    assert site.kept() == (0, 0)
    with pytest.raises(KeyFunctionNotPermitted):
        site.hsm.crypto.encrypt(user, key, "AES_GCM", None, DATA)


def test_what_is_prepared_while_its_session_ends_is_not_kept(site: Site) -> None:
    key = site.key()

    def use() -> None:
        # The session may have ended before the key is found.
        with suppress(Unauthenticated):
            site.hsm.crypto.encrypt(site.friend, key, "AES_GCM", None, DATA)

    with _during("INSERT INTO audit", use):
        site.hsm.users.logout(site.friend)
    with pytest.raises(Unauthenticated):
        site.hsm.crypto.encrypt(site.friend, key, "AES_GCM", None, DATA)


def test_the_number_of_prepared_keys_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first key beyond the bound starts afresh, and every key can still be used."""
    assert operations.PREPARED == 4096
    monkeypatch.setattr(operations, "PREPARED", 3)
    keys = [site.key() for _ in range(7)]
    counts = []
    for key in keys:
        site.use(site.friend, key)
        counts.append(site.kept())
    assert counts == [(1, 1), (2, 2), (3, 3), (1, 1), (2, 2), (3, 3), (1, 1)]
    assert all(site.hsm.crypto.encrypt(site.friend, key, "AES_GCM", None, DATA) for key in keys)


def test_the_number_of_shortcuts_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key has a shortcut for each mechanism, so that their number has a bound of its own."""
    assert operations.SHORTCUTS == 4096
    monkeypatch.setattr(operations, "SHORTCUTS", 2)
    key, counts = site.key(), []
    for mechanism in ("AES_GCM", "AES_CBC_PAD", "AES_CTR"):
        site.use(site.friend, key, mechanism)
        counts.append((*site.kept(), len(site.friend.shortcuts)))
    assert counts == [(1, 1, 1), (2, 2, 2), (3, 1, 1)]


def test_the_number_of_public_keys_from_outside_is_bounded(site: Site) -> None:
    keys = [
        public_info(ec.derive_private_key(number, ec.SECP256R1())) for number in range(1, operations.FOREIGN_KEYS + 3)
    ]
    for info in keys:
        assert site.hsm.crypto.verify(site.friend, info, "ECDSA_SHA256", None, bytes(32), b"no signature") is False
    assert site.hsm.statistics().cached["foreign_keys"] == operations.FOREIGN_KEYS == 512
