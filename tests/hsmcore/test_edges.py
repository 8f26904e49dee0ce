"""Ends in the middle of something: of a session, of a key, of an HSM."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Engine, event

from hsmcore import Hsm
from hsmcore.errors import (
    AccountLocked,
    AttributeInvalid,
    AuthenticationFailed,
    HsmError,
    KeyFunctionNotPermitted,
    KeyLimit,
    KeyNotFound,
    KeyQuorumFailed,
    KeyTypeInconsistent,
    OperationLimit,
    OperationNotFound,
    PasswordInvalid,
    PermissionDenied,
    QuorumTokenLimit,
    StateError,
    Unauthenticated,
    UserNotFound,
    UserOwnsKeys,
)
from hsmcore.keys import session_keys
from hsmcore.keys.keyring import KeyRing
from hsmcore.keys.records import KeyEntry
from hsmcore.primitives import Stream
from hsmcore.quorum.tokens import MAX_TOKENS_OF_USER
from hsmcore.sessions import session as session_module
from hsmcore.sessions.session import Session
from hsmcore.tables.mechanisms import CURVES
from hsmcore.users import passwords
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site

AES = {"TOKEN": True}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """An HSM for one test."""
    made = make_site(tmp_path / "hsm")
    with made.hsm:
        yield made


@pytest.mark.parametrize(
    "use",
    [
        lambda hsm: hsm.users.login("cu1", PASSWORDS["cu1"]),
        lambda hsm: hsm.users.login("cu1", b"wrong-password"),
        lambda hsm: hsm.info(),
    ],
    ids=["login", "wrong password", "serial number"],
)
def test_a_closed_hsm_does_nothing(own: Site, use: Callable[[Hsm], object]) -> None:
    own.hsm.close()
    own.hsm.close()
    with pytest.raises(StateError, match="closed"):
        use(own.hsm)
    for session in (own.admin, own.user):
        with pytest.raises(Unauthenticated):
            own.hsm.keys.labels(session)
    with Hsm.open(own.home) as again:
        admin = again.users.login("admin", ADMIN_PASSWORD, "admin")
        assert again.audit.verify(admin).findings == []
        with pytest.raises(StateError, match="closed"):
            own.hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        assert again.audit.verify(admin).findings == []


@contextmanager
def _commits() -> Iterator[list[Connection]]:
    commits: list[Connection] = []

    def note(connection: Connection) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", note)
    try:
        yield commits
    finally:
        event.remove(Engine, "commit", note)


def test_threads_that_generate_session_keys_share_transactions(own: Site) -> None:
    with _commits() as commits, ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: own.hsm.keys.generate(own.user, "AES_KEY_GEN", {}).handle, range(400)))
    entries = [entry for entry in own.hsm.audit.entries(own.admin, 0) if entry.opcode == "CN_GENERATE_KEY"]
    assert sorted(made) == sorted(entry.secret_handle for entry in entries)
    assert len(commits) < len(entries)


def test_no_key_is_made_after_the_end_of_its_session(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session ends between the check that it is alive and the entry in the log."""
    record = own.hsm._core.log.record

    def end_first(*, durable: bool = True) -> None:
        monkeypatch.undo()
        own.hsm.users.logout(own.user)
        record(durable=durable)

    monkeypatch.setattr(type(own.hsm._core.log), "record", lambda _, *, durable=True: end_first(durable=durable))
    with pytest.raises(Unauthenticated):
        own.hsm.keys.generate(own.user, "AES_KEY_GEN", {})
    last = own.hsm.audit.entries(own.admin, 0)[-2:]
    assert [(entry.opcode, bool(entry.response)) for entry in last] == [("CN_LOGOUT", False), ("CN_GENERATE_KEY", True)]
    assert len(own.hsm.statistics().keys) == 0


def test_a_login_beside_password_changes_finds_its_user(own: Site) -> None:
    passwords = [b"changing-pass-1", b"changing-pass-2"]
    own.hsm.users.change_password(own.other, "cu2", "crypto-user", passwords[0])
    stopped, unknown = threading.Event(), []

    def log_in() -> None:
        while not stopped.is_set():
            try:
                own.hsm.users.logout(own.hsm.users.login("cu2", passwords[0]))
            except HsmError as error:
                unknown.append(type(error).__name__)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(log_in)
        for number in range(12):
            own.hsm.users.change_password(own.other, "cu2", "crypto-user", passwords[number % 2])
        stopped.set()
    assert "UserUnknown" not in unknown


def test_few_passwords_are_checked_at_a_time(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    matches = passwords.password_matches

    def counted(password: bytes, verifier: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return matches(password, verifier)

    monkeypatch.setattr(passwords, "password_matches", counted)
    names = [f"nobody{number}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        wrong = [pool.submit(own.hsm.users.login, name, b"wrong-password") for name in names]
        assert all(isinstance(one.exception(60), AuthenticationFailed) for one in wrong)
    assert most <= passwords.HASHING


@pytest.mark.parametrize("change", ["destroy", "unshare"])
def test_an_operation_does_not_begin_after_its_key_is_gone(
    own: Site, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The key goes between the check of permission and the beginning of the operation."""
    key = own.hsm.keys.generate(own.user, "AES_KEY_GEN", {"TOKEN": True}).handle
    own.hsm.keys.share(own.user, key, "cu2")
    begin = own.hsm._core.streams.begin

    def change_first(_: object, session: Session, handle: int, stream: Stream) -> int:
        if change == "destroy":
            own.hsm.keys.destroy(own.user, key)
        else:
            own.hsm.keys.unshare(own.user, key, "cu2")
        return begin(session, handle, stream)

    monkeypatch.setattr(type(own.hsm._core.streams), "begin", change_first)
    with pytest.raises(KeyNotFound):
        own.hsm.crypto.begin(own.other, "encrypt", key, "AES_CTR", {"iv": bytes(16)})
    assert own.hsm.statistics().multipart == 0


def _info(bits: int, exponent: int) -> bytes:
    numbers = rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1)
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("bits", "exponent"), [(16384, 65537), (2048, (1 << 257) + 1), (4096, (1 << 4000) + 1), (1024, 65537)]
)
def test_a_foreign_key_of_unusual_size_is_refused(site: Site, bits: int, exponent: int) -> None:
    with pytest.raises(KeyTypeInconsistent, match=r"RSA key has|public exponent|not the SubjectPublicKeyInfo"):
        site.hsm.crypto.encrypt(site.user, _info(bits, exponent), "RSA_X_509", None, bytes(bits // 8 - 1))


@pytest.mark.parametrize("mechanism", ["AES_CTR", "AES_CBC", "HMAC_SHA256"])
@pytest.mark.parametrize("kind", ["encrypt", "sign"])
def test_a_foreign_key_begins_no_symmetric_operation(site: Site, mechanism: str, kind: str) -> None:
    with pytest.raises(HsmError):
        site.hsm.crypto.begin(site.user, kind, _info(2048, 65537), mechanism, {"iv": bytes(16)})


@pytest.mark.parametrize("length", [4097, 1 << 20])
def test_an_id_has_a_limit(site: Site, length: int) -> None:
    with pytest.raises(AttributeInvalid, match="4096"):
        site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"ID": bytes(length)})
    assert site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"ID": os.urandom(4096)}).handle


def test_a_trusted_key_is_frozen_for_its_owner(site: Site) -> None:
    key = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"WRAP": True, "DECRYPT": False, "TOKEN": True}).handle
    site.hsm.keys.set_attributes(site.user, key, {"LABEL": "before"})
    site.hsm.keys.set_attributes(site.admin, key, {"TRUSTED": True})
    for change in ({"DECRYPT": True}, {"LABEL": "after"}, {"UNWRAP": True}):
        with pytest.raises(PermissionDenied, match="trusted"):
            site.hsm.keys.set_attributes(site.user, key, change)
    with pytest.raises(KeyFunctionNotPermitted):
        site.hsm.crypto.decrypt(site.user, key, "AES_CTR", {"iv": bytes(16)}, b"text")
    site.hsm.keys.set_attributes(site.admin, key, {"TRUSTED": False})
    site.hsm.keys.set_attributes(site.user, key, {"LABEL": "after"})


def test_one_users_quorum_tokens_have_a_limit(own: Site) -> None:
    handles = []
    for _ in range(MAX_TOKENS_OF_USER + 1):
        key = own.hsm.keys.generate(own.user, "AES_KEY_GEN", {}).handle
        own.hsm.keys.share(own.user, key, "cu2")
        own.hsm.keys.set_quorum(own.user, key, 2, 0)
        handles.append(key)
    for key in handles[:-1]:
        own.hsm.quorum.request(own.user, "key-management", key)
    with pytest.raises(QuorumTokenLimit, match="cu1"):
        own.hsm.quorum.request(own.user, "key-management", handles[-1])
    assert own.hsm.quorum.request(own.other, "key-management", handles[0])


def test_one_users_sessions_have_a_limit(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_SESSIONS", 3)
    more = [own.hsm.users.login("cu1", PASSWORDS["cu1"]) for _ in range(2)]
    with pytest.raises(OperationLimit, match="'cu1' has 3 sessions"):
        own.hsm.users.login("cu1", PASSWORDS["cu1"])
    own.hsm.users.logout(own.hsm.users.login("cu2", PASSWORDS["cu2"]))
    own.hsm.users.logout(more[0])
    assert own.hsm.users.login("cu1", PASSWORDS["cu1"]).alive
    assert own.hsm.audit.verify(own.admin).findings == []


def test_one_users_session_keys_have_a_limit(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_keys, "MAX_SESSION_KEYS", 4)
    more = own.hsm.users.login("cu1", PASSWORDS["cu1"])
    for _ in range(3):
        own.hsm.keys.generate(more, "AES_KEY_GEN", {})
    pair = partial(own.hsm.keys.generate_pair, own.user, "EC_KEY_PAIR_GEN", {"EC_PARAMS": CURVES["secp256r1"]}, {})
    with pytest.raises(KeyLimit, match="'cu1' has 3 session keys, and the limit is 4"):
        pair()
    fourth = own.hsm.keys.generate(own.user, "AES_KEY_GEN", {}).handle
    with pytest.raises(KeyLimit):
        own.hsm.keys.generate(own.user, "AES_KEY_GEN", {})
    assert own.hsm.keys.generate(own.user, "AES_KEY_GEN", AES)
    assert own.hsm.keys.generate(own.other, "AES_KEY_GEN", {})
    own.hsm.keys.destroy(own.user, fourth)
    assert own.hsm.keys.generate(own.user, "AES_KEY_GEN", {})
    own.hsm.users.logout(more)
    assert pair()
    assert own.hsm.audit.verify(own.admin).findings == []


def test_a_listing_beside_changes_has_every_key_that_stays(own: Site) -> None:
    stay = {own.hsm.keys.generate(own.user, "AES_KEY_GEN", AES).handle for _ in range(30)}
    stopped = threading.Event()

    def change(session: Session) -> None:
        while not stopped.is_set():
            key = own.hsm.keys.generate(session, "AES_KEY_GEN", AES).handle
            own.hsm.keys.generate(session, "AES_KEY_GEN", {})
            own.hsm.keys.destroy(session, key)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(change, own.user)
        try:
            for _ in range(30):
                filtered, _ = own.hsm.keys.describe(own.user, None, {"KEY_LENGTH": 32, "TOKEN": True}, 0, 0)
                assert stay <= {one.record.handle for one in filtered}
                assert stay <= {record.handle for record in own.hsm.keys.find(own.user, {"KEY_TYPE": "AES"})}
        finally:
            stopped.set()


@pytest.mark.parametrize("search", ["find", "describe", "filter", "pair"])
def test_a_session_key_that_becomes_a_token_key_is_found_once_at_any_time(own: Site, search: str) -> None:
    curve = {"EC_PARAMS": CURVES["secp256r1"]}
    begun, found = threading.Barrier(2, timeout=60), list[int]()

    def look() -> int:
        if search == "find":
            return len(own.hsm.keys.find(own.user, {"LABEL": label}))
        if search == "pair":
            return len(own.hsm.keys.find_pair(own.user, point))
        template: dict[str, str | bool] = {"LABEL": label} | ({"ENCRYPT": False} if search == "filter" else {})
        return len(own.hsm.keys.describe(own.user, None, template, 0, 0)[0])

    def store() -> None:
        begun.wait()
        own.hsm.keys.set_attributes(own.user, key.handle, {"TOKEN": True})

    for number in range(40):
        label = f"moving {number}"
        _, key = own.hsm.keys.generate_pair(own.user, "EC_KEY_PAIR_GEN", curve, {"LABEL": label})
        point = key.public_key_info
        halves = 2 if search == "pair" else 1
        thread = threading.Thread(target=store)
        thread.start()
        begun.wait()
        while thread.is_alive():
            found.append(look() - halves)
        thread.join()
        found.append(look() - halves)
    assert set(found) == {0}


def test_a_key_that_is_destroyed_during_a_listing_is_left_out(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, stays = (own.hsm.keys.generate(own.user, "AES_KEY_GEN", AES).handle for _ in range(2))
    material = type(own.hsm._core.ring).material

    def destroyed_first(ring: KeyRing, entry: KeyEntry) -> bytes:
        monkeypatch.undo()
        own.hsm.keys.destroy(own.user, gone)
        return material(ring, entry)

    monkeypatch.setattr(type(own.hsm._core.ring), "material", destroyed_first)
    page, _ = own.hsm.keys.describe(own.user, None, {}, 0, 0)
    assert [key.record.handle for key in page] == [stays]


def test_an_hsm_without_trouble_has_no_troubles(own: Site) -> None:
    assert own.hsm.troubles() == []
    own.hsm.close()
    assert own.hsm.troubles() == ["the HSM is closed"]


def test_a_key_that_was_destroyed_is_unknown(own: Site) -> None:
    key = own.hsm.keys.generate(own.user, "AES_KEY_GEN", AES).handle
    own.hsm.keys.destroy(own.user, key)
    with pytest.raises(KeyNotFound):
        own.hsm.keys.get(own.user, key)


def test_a_user_is_deleted_with_the_keys(own: Site) -> None:
    kept = own.hsm.keys.generate(own.other, "AES_KEY_GEN", AES).handle
    own.hsm.keys.share(own.other, kept, "cu1")
    gone = [own.hsm.keys.generate(own.user, "AES_KEY_GEN", {**AES, "DESTROYABLE": False}).handle for _ in range(3)]
    own.hsm.keys.share(own.user, gone[0], "cu2")
    operation, _ = own.hsm.crypto.begin(own.other, "encrypt", gone[0], "AES_CTR", {"iv": bytes(16)})
    own.hsm.users.logout(own.user)
    with pytest.raises(UserOwnsKeys):
        own.hsm.users.delete(own.admin, "cu1", "crypto-user")
    assert own.hsm.users.delete(own.admin, "cu1", "crypto-user", True) == 3
    for key in gone:
        with pytest.raises(KeyNotFound):
            own.hsm.keys.get(own.other, key)
    with pytest.raises(OperationNotFound):
        own.hsm.crypto.update(own.other, operation, b"text")
    assert own.hsm.keys.describe(own.other, kept, {}, 0, 0)[0][0].sharing.users == ()
    assert own.hsm.audit.verify(own.admin).findings == []
    own.hsm.users.create(own.admin, "cu1", "crypto-user", PASSWORDS["cu1"])
    assert own.hsm.keys.labels(own.hsm.users.login("cu1", PASSWORDS["cu1"])) == {}


def test_the_last_admin_is_recovered_without_a_login(own: Site) -> None:
    for _ in range(6):
        with pytest.raises(HsmError):
            own.hsm.users.login("admin", b"wrong-password", "admin")
    with pytest.raises(AccountLocked):
        own.hsm.users.login("admin", ADMIN_PASSWORD, "admin")
    with pytest.raises(PasswordInvalid):
        own.hsm.users.recover("admin", b"short")
    with pytest.raises(UserNotFound):
        own.hsm.users.recover("cu1", b"another-password")
    own.hsm.users.recover("admin", b"another-password")
    admin = own.hsm.users.login("admin", b"another-password", "admin")
    last = [entry for entry in own.hsm.audit.entries(admin, 0) if entry.opcode == "CN_CHANGE_PSWD"][-1]
    assert (last.user_name, last.response) == ("admin", 0)


@pytest.mark.parametrize("manage", [0, 1])
def test_what_needs_an_approval_to_use_needs_one_to_wrap_with(open_site: Site, manage: int) -> None:
    hsm, user = open_site.hsm, open_site.user
    attributes = {"WRAP": True, "UNWRAP": True, "EXTRACTABLE": True, "TOKEN": True}
    target = hsm.keys.generate(user, "AES_KEY_GEN", attributes).handle
    plain = hsm.keys.generate(user, "AES_KEY_GEN", attributes).handle
    guarded = hsm.keys.generate(user, "AES_KEY_GEN", attributes).handle
    wrapped, _ = hsm.keys.wrap(user, guarded, "AES_KEY_WRAP_ZERO_PAD", None, target)
    hsm.keys.share(user, guarded, "cu2")
    hsm.keys.set_quorum(user, guarded, manage, 2)
    template = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "GENERIC_SECRET"}
    for use in (
        lambda: hsm.keys.wrap(user, guarded, "AES_KEY_WRAP_ZERO_PAD", None, target),
        lambda: hsm.keys.wrap(user, plain, "AES_KEY_WRAP_ZERO_PAD", None, guarded),
        lambda: hsm.keys.unwrap(user, guarded, "AES_KEY_WRAP_ZERO_PAD", None, wrapped, template),
        lambda: hsm.crypto.decrypt(user, guarded, "AES_CTR", {"iv": bytes(16)}, wrapped),
    ):
        with pytest.raises(KeyQuorumFailed):
            use()
