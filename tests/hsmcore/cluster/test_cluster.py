"""HSMs that share a database: what one takes away, no other uses after the acknowledgement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.backup import directory
from hsmcore.backup.making import BackupInfo
from hsmcore.errors import (
    AuthenticationFailed,
    HsmError,
    KeyNotFound,
    MasterKeyUnavailable,
    NotCaughtUp,
    StateError,
    StateMissing,
    StoreDamaged,
    StoreFull,
    Unauthenticated,
    UserNotFound,
)
from hsmcore.primitives.tls_certificates import new_authority
from hsmcore.storage import cluster
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS
from tests.hsmcore.databases import database

from .actor import LEASE, RENEWAL, Actor
from .conftest import Pair, make_cluster

ENGINES = ("postgresql",)
NEW = b"another-password-1"


def _key(pair: Pair) -> int:
    handle: int = pair.hsms[0]("keys.generate", pair.users[0], "AES_KEY_GEN", {"TOKEN": True}).handle
    return handle


def _encrypt(pair: Pair, at: int, key: int) -> object:
    return pair.hsms[at]("crypto.encrypt", pair.users[at], key, "AES_GCM", None, b"text")


def test_every_hsm_sees_what_the_others_did(pair: Pair) -> None:
    one, two = pair.hsms
    key = _key(pair)
    assert _encrypt(pair, 1, key)
    one("keys.set_attributes", pair.users[0], key, {"LABEL": "named"})
    assert two("keys.get", pair.users[1], key).attributes["LABEL"] == "named"
    two("keys.share", pair.users[1], key, "cu2")
    assert one("crypto.encrypt", pair.others[0], key, "AES_GCM", None, b"text")
    one("users.create", pair.admins[0], "cu3", "crypto-user", NEW)
    assert two.login("cu3", NEW)
    one("users.change_password", pair.admins[0], "cu3", "crypto-user", NEW + b"2")
    with pytest.raises(AuthenticationFailed):
        two.login("cu3", NEW)
    one("quorum.set_timeout", pair.admins[0], "approved", 77)
    assert two("quorum.timeouts")["approved"] == 77
    one("mtls.register", pair.admins[0], new_authority("clients")[1])
    assert list(two("mtls.anchors")) == ["0x01"]
    for hsm, admin in zip(pair.hsms, pair.admins, strict=True):
        assert hsm("audit.verify", admin).findings == []
    assert [member.number for member in two("members") if member.alive] == [1, 2]


def test_each_hsm_knows_who_is_alive_though_nothing_changes(pair: Pair) -> None:
    """The key availability check and the metrics ask the memory, not the database."""
    time.sleep(LEASE * 1.5)
    assert [hsm("alive_members") for hsm in pair.hsms] == [2, 2]
    pair.hsms[1].close()
    time.sleep(LEASE + 2 * RENEWAL)
    assert pair.hsms[0]("alive_members") == 1


def test_a_deleted_users_sessions_end_everywhere(pair: Pair) -> None:
    one, two = pair.hsms
    one("users.create", pair.admins[0], "cu3", "crypto-user", NEW)
    session = two.login("cu3", NEW)
    two("keys.generate", session, "AES_KEY_GEN", {"TOKEN": True})
    assert one("users.delete", pair.admins[0], "cu3", "crypto-user", True) == 1
    with pytest.raises(Unauthenticated):
        two("keys.find", session, {})
    with pytest.raises(UserNotFound):
        two("users.delete", pair.admins[1], "cu3", "crypto-user")


TAKE_AWAY: dict[str, tuple[Callable[[Pair, int], object], Callable[[Pair, int], object], type[HsmError]]] = {
    "destroy": (
        lambda pair, key: pair.hsms[0]("keys.destroy", pair.users[0], key),
        lambda pair, key: _encrypt(pair, 1, key),
        KeyNotFound,
    ),
    "unshare": (
        lambda pair, key: pair.hsms[0]("keys.unshare", pair.users[0], key, "cu2"),
        lambda pair, key: pair.hsms[1]("crypto.encrypt", pair.others[1], key, "AES_GCM", None, b"text"),
        KeyNotFound,
    ),
    "password": (
        lambda pair, _: pair.hsms[0]("users.change_password", pair.users[0], "cu1", "crypto-user", NEW),
        lambda pair, _: pair.hsms[1].login("cu1", PASSWORDS["cu1"]),
        AuthenticationFailed,
    ),
    "admin": (
        lambda pair, _: pair.hsms[0]("users.delete", pair.admins[0], "ad2", "admin"),
        lambda pair, _: pair.hsms[1].login("ad2", NEW, "admin"),
        AuthenticationFailed,
    ),
}
"""A change at one HSM, a use that the other must then refuse, and its error."""


def _prepared(pair: Pair) -> int:
    """Return a key that is in the memory of both HSMs, with everything that ``TAKE_AWAY`` takes away."""
    key = _key(pair)
    pair.hsms[0]("keys.share", pair.users[0], key, "cu2")
    pair.hsms[0]("users.create", pair.admins[0], "ad2", "admin", NEW)
    for _, use, _ in TAKE_AWAY.values():
        assert use(pair, key)
    return key


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("destroy", "password"), id="destroy, password"),
        pytest.param(("unshare", "admin"), id="unshare, admin", marks=pytest.mark.long),
    ],
)
def test_an_hsm_that_was_stopped_never_uses_the_old_state(pair: Pair, names: tuple[str, str]) -> None:
    """The change waits for the stopped HSM's lease; the resumed HSM refuses until it has caught up."""
    key = _prepared(pair)
    pair.hsms[1].stop()
    began = time.monotonic()
    done = [threading.Thread(target=TAKE_AWAY[name][0], args=(pair, key)) for name in names]
    for thread in done:
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    waited = time.monotonic() - began
    assert waited > RENEWAL, "the lease of the stopped HSM was still running"
    pair.hsms[1].go_on()
    for name in names:
        _, use, error = TAKE_AWAY[name]
        with pytest.raises((error, NotCaughtUp)):
            use(pair, key)
    deadline = time.monotonic() + 30
    while True:
        try:
            pair.hsms[1]("users.all")
            break
        except NotCaughtUp:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for name in names:
        _, use, error = TAKE_AWAY[name]
        with pytest.raises(error):
            use(pair, key)


@pytest.mark.long
def test_a_busy_hsm_that_was_stopped(pair: Pair) -> None:
    """It was stopped in the middle of its uses, which go on when it is resumed: none succeeds."""
    key = _prepared(pair)
    pair.hsms[1].send("until", pair.users[1].number, key, 20.0)
    time.sleep(0.3)
    pair.hsms[1].stop()
    pair.hsms[0]("keys.destroy", pair.users[0], key)
    acknowledged = time.monotonic()
    pair.hsms[1].go_on()
    seen = pair.hsms[1].received()
    assert seen[0][1] == "used"
    assert {outcome for _, outcome in seen} <= {"used", "NotCaughtUp", "KeyNotFound"}
    assert [when for when, outcome in seen if outcome == "used" and when > acknowledged] == [], (acknowledged, seen)
    assert seen[-1][1] == "KeyNotFound"


@pytest.mark.long
def test_uses_without_a_wait_leave_time_for_changes(pair: Pair) -> None:
    """A thread that never waits may keep the interpreter's lock from the one that applies the changes of others."""
    key, others = _prepared(pair), [_key(pair) for _ in range(50)]
    pair.hsms[1].send("until", pair.users[1].number, key, LEASE / 2)
    for other in others:
        pair.hsms[0]("keys.destroy", pair.users[0], other)
    assert not pair.hsms[1].answered, "the changes took longer than the uses"
    assert [outcome for _, outcome in pair.hsms[1].received()] == ["used"]


@pytest.mark.long
def test_an_hsm_that_was_killed_delays_one_change(pair: Pair) -> None:
    keys = [_key(pair), _key(pair)]
    pair.hsms[1].kill()
    for key in keys:
        pair.hsms[0]("keys.destroy", pair.users[0], key)
    began = time.monotonic()
    pair.hsms[0]("keys.destroy", pair.users[0], _key(pair))
    assert time.monotonic() - began < LEASE / 2
    again = Actor(pair.homes[1])
    try:
        user = again.login("cu1", PASSWORDS["cu1"])
        for key in keys:
            with pytest.raises(KeyNotFound):
                again("keys.get", user, key)
        assert again("audit.verify", again.login("admin", ADMIN_PASSWORD, "admin")).findings == []
    finally:
        again.close()


def test_joining_and_leaving(tmp_path: Path, url: str) -> None:
    homes = (tmp_path / "one", tmp_path / "two")
    with pytest.raises(StateMissing):
        Hsm.join(homes[0], url)
    make_cluster(homes, url)
    key_file = (homes[0] / "master.key").read_bytes()
    with pytest.raises(MasterKeyUnavailable):
        Hsm.join(tmp_path / "three", url, key_file=bytes(32))
    with pytest.raises(StateError, match="already"):
        Hsm.join(homes[0], url, key_file=key_file)
    assert [info.reason for info in _backups(homes[1])] == ["joining"]
    with Hsm.open(homes[0]) as one, Hsm.open(homes[1]) as two:
        two.set_address("192.0.2.2:2223")
        assert [(member.address, member.own) for member in one.members()] == [("", True), ("192.0.2.2:2223", False)]
        two.leave()
        assert [member.number for member in one.members()] == [1]
        with pytest.raises(StateError, match="last"):
            one.leave()
        assert one.audit.verify(one.users.login("admin", ADMIN_PASSWORD, "admin")).findings == []
    assert len(list((homes[1] / "backups").glob("*.hsmbackup"))) == 2, "one at joining, one at leaving"
    with pytest.raises(StateMissing):
        Hsm.open(homes[1])
    with Hsm.join(homes[1], url, key_file=key_file) as again:
        assert [member.number for member in again.members()] == [1, 3]


def _backups(home: Path) -> list[BackupInfo]:
    with Hsm.open(home) as hsm:
        return hsm.backups.all(hsm.users.login("admin", ADMIN_PASSWORD, "admin"))


def test_statistics_of_a_member(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They tell an HSM that has not caught up from one that is well, and count waits and backups."""
    homes = (tmp_path / "one", tmp_path / "two")
    make_cluster(homes, url)
    with Hsm.open(homes[0]) as one, Hsm.open(homes[1]) as two:
        user = one.users.login("cu1", PASSWORDS["cu1"])
        one.keys.destroy(user, one.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True}).handle)
        numbers = one.statistics()
        assert numbers.cluster is not None
        assert (numbers.cluster.caught_up, numbers.troubles) == (True, [])
        assert dict(numbers.cluster.members) == {True: 2}
        assert 0 <= numbers.cluster.lease_age < cluster.LEASE
        assert sum(numbers.cluster.counts.database.counts) >= 1
        assert sum(numbers.cluster.counts.acknowledgements.counts) >= 1
        admin = two.users.login("admin", ADMIN_PASSWORD, "admin")
        two.backups.create(admin)
        with monkeypatch.context() as patch:
            patch.setattr(directory, "RESERVE", 2**62)
            with pytest.raises(StoreFull):
                two.backups.create(admin)
        assert dict(two.statistics().backups) == {"made": 1, "failed": 1}
        with database(homes[1]) as connection:
            connection.execute("UPDATE hsms SET process = 'another' WHERE number = 2")
        _eventually_refused(two)
        assert [text.split(":")[0] for text in two.troubles()] == ["not caught up"]
        numbers = two.statistics()
        assert numbers.cluster is not None
        assert (numbers.cluster.caught_up, numbers.cluster.counts.outages) == (False, 1)


@pytest.mark.long
def test_one_hsm_is_not_opened_twice(tmp_path: Path, url: str) -> None:
    """The second process takes it over, whichever directory names it; the first serves nothing from then on."""
    import shutil

    home = tmp_path / "one"
    make_cluster((home,), url)
    with Hsm.open(home) as first:
        shutil.copytree(home, tmp_path / "copy", ignore=shutil.ignore_patterns("hsm.lock"))
        with Hsm.open(tmp_path / "copy") as second:
            _eventually_refused(first)
            with pytest.raises(NotCaughtUp, match="another process"):
                first.users.all()
            assert second.users.all()


def _eventually_refused(hsm: Hsm) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            hsm.users.all()
        except NotCaughtUp:
            return
        time.sleep(0.1)
    raise AssertionError("the HSM goes on")


@pytest.mark.long
def test_a_log_of_another_hsm_that_was_changed_is_found(pair: Pair) -> None:
    _key(pair)
    pair.hsms[1]("keys.generate", pair.users[1], "AES_KEY_GEN", {"TOKEN": True})
    with database(pair.homes[0]) as connection:
        connection.execute("UPDATE audit SET session = session + 1 WHERE hsm = 2 AND sequence = 2")
    texts = [finding.text for finding in pair.hsms[0]("audit.verify", pair.admins[0]).findings]
    assert texts == ["HSM 2: the entry was changed, or is not the HSM's"]


EDITS = {
    "the change is removed": "DELETE FROM changes",
    "the change is edited": "UPDATE changes SET subjects = 'quorum/99'",
}


@pytest.mark.long
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_change_that_is_hidden_from_an_hsm(pair: Pair, edit: str) -> None:
    """The HSM notices that it misses one, and reads its memory again."""
    key = _prepared(pair)
    pair.hsms[1].stop()
    pair.hsms[0]("keys.destroy", pair.users[0], key)
    with database(pair.homes[0]) as connection:
        connection.execute(edit)
    pair.hsms[1].go_on()
    deadline = time.monotonic() + 30
    while True:
        try:
            with pytest.raises(KeyNotFound):
                _encrypt(pair, 1, key)
            break
        except NotCaughtUp:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.long
def test_an_hsm_whose_confirmation_is_forged(pair: Pair) -> None:
    """A row without the right code confirms nothing: the change waits for the lease."""
    key = _prepared(pair)
    pair.hsms[1].stop()
    with database(pair.homes[0]) as connection:
        connection.execute("UPDATE hsms SET applied = 1000000, state = 'closed' WHERE number = 2")
    began = time.monotonic()
    pair.hsms[0]("keys.destroy", pair.users[0], key)
    assert time.monotonic() - began > RENEWAL
    pair.hsms[1].go_on()
    with pytest.raises((NotCaughtUp, KeyNotFound)):
        _encrypt(pair, 1, key)


@pytest.mark.long
def test_a_row_that_was_put_back_is_refused_by_every_hsm(pair: Pair) -> None:
    from tests.hsmcore.databases import put_back, row

    key = _prepared(pair)
    old = row(pair.homes[0], "keys", f"handle = {key}")
    pair.hsms[1]("keys.unshare", pair.users[1], key, "cu2")
    put_back(pair.homes[0], "keys", old, "handle")
    for at in (0, 1):
        with pytest.raises((StoreDamaged, KeyNotFound)):
            pair.hsms[at]("crypto.encrypt", pair.others[at], key, "AES_GCM", None, b"text")
    texts = [finding.text for finding in pair.hsms[0]("audit.verify", pair.admins[0]).findings]
    assert [text for text in texts if "put back" in text]
