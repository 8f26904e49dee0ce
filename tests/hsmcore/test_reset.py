"""``Hsm.reset``: the state after initialisation is back, sessions have ended, and the audit log goes on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from hsmcore import Hsm, Settings
from hsmcore.audit.chain import text_form
from hsmcore.errors import AuthenticationFailed, HsmError, KeyNotFound, SettingRequired, StoreFull, Unauthenticated
from hsmcore.sessions.session import Session
from tests.hsmcore.disk import full_disk
from tests.signing import Signer

ENGINES = ("sqlite",)
"""An HSM in a database that others can share is not reset."""

ADMIN, USER = b"admin-pass-001", b"first-pass-001"
RESETTABLE = Settings(allow_reset=True)


@pytest.fixture(params=["on disk", "in memory"])
def hsm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hsm]:
    made = {"settings": RESETTABLE, "crypto_user": ("cu1", USER)}
    if request.param == "in memory":
        opened = Hsm.ephemeral(admin_password=ADMIN, **made)
    else:
        opened = Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN, **made)
    with opened:
        yield opened


def _changed(hsm: Hsm, folder: Path) -> list[int]:
    """Change everything that a reset restores, and return the handles of keys."""
    admin, user = hsm.users.login("admin", ADMIN, "admin"), hsm.users.login("cu1", USER)
    handles = [hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": token}).handle for token in (True, False)]
    hsm.users.create(admin, "cu2", "crypto-user", b"second-pass-02")
    hsm.keys.share(user, handles[0], "cu2")
    signer = Signer(folder, "admin")
    hsm.quorum.register(admin, signer.public, signer.signed(hsm.quorum.request(admin, "registration")))
    hsm.quorum.set_timeout(admin, "generated", 60)
    hsm.users.change_password(admin, "admin", "admin", b"another-pass-1")
    with pytest.raises(AuthenticationFailed):
        hsm.users.login("cu1", b"wrong-password")
    return handles


def _found(hsm: Hsm, admin: Session) -> list[str]:
    return [finding.text for finding in hsm.audit.verify(admin).findings]


def test_it_restores_the_state_after_initialisation(hsm: Hsm, tmp_path: Path) -> None:
    users, timeouts, serial = hsm.users.all(), hsm.quorum.timeouts(), hsm.info()["serial-number"]
    for _ in range(2):
        handles = _changed(hsm, tmp_path)
        assert hsm.users.all() != users
        hsm.reset()
        assert hsm.users.all() == users
        assert hsm.quorum.timeouts() == timeouts
        assert (hsm.status()["keys"], hsm.status()["sessions"]) == (0, 0)
        assert hsm.info()["serial-number"] == serial
        user = hsm.users.login("cu1", USER)
        for handle in handles:
            with pytest.raises(KeyNotFound):
                hsm.keys.get(user, handle)
        assert hsm.keys.find(user, {}) == []
        hsm.users.logout(user)


def test_every_session_ends(hsm: Hsm) -> None:
    session = hsm.users.login("cu1", USER)
    key = hsm.keys.generate(session, "AES_KEY_GEN", {}).handle
    operation, _ = hsm.crypto.begin(session, "encrypt", key, "AES_CTR", None)
    hsm.reset()
    assert not session.alive
    for call in (lambda: hsm.crypto.update(session, operation, b"x"), lambda: hsm.keys.find(session, {})):
        with pytest.raises(Unauthenticated):
            call()
    assert hsm.statistics().multipart == 0


def test_the_audit_log_goes_on_and_says_it(hsm: Hsm, tmp_path: Path) -> None:
    _changed(hsm, tmp_path)
    before = hsm.statistics().audit_entries
    hsm.reset()
    admin = hsm.users.login("admin", ADMIN, "admin")
    entries = hsm.audit.entries(admin, before)
    assert [entry.opcode for entry in entries] == ["HSM_RESET", "CN_CLOSE_SESSION", "CN_CLOSE_SESSION", "CN_LOGIN"]
    assert "Detail : keys 2, users 3, sessions 2" in text_form(entries[0])
    assert _found(hsm, admin) == []


def test_what_follows_a_reset_is_verified_too(hsm: Hsm, tmp_path: Path) -> None:
    hsm.reset()
    _changed(hsm, tmp_path)
    assert _found(hsm, hsm.users.login("admin", b"another-pass-1", "admin")) == []


def test_it_is_refused_where_the_hsm_does_not_allow_it(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN, crypto_user=("cu1", USER)) as hsm:
        session, admin = hsm.users.login("cu1", USER), hsm.users.login("admin", ADMIN, "admin")
        key = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
        with pytest.raises(SettingRequired, match="--allow-reset"):
            hsm.reset()
        assert hsm.keys.get(session, key).handle == key
        assert hsm.audit.entries(admin, 0)[-1].opcode == "HSM_RESET"
        assert hsm.audit.entries(admin, 0)[-1].response == SettingRequired.code
        assert _found(hsm, admin) == []


def test_an_hsm_on_disk_is_reset_after_it_was_opened_again(tmp_path: Path) -> None:
    made = Hsm.initialize(tmp_path, admin_password=ADMIN, settings=RESETTABLE, crypto_user=("cu1", USER))
    with made as hsm:
        handles = _changed(hsm, tmp_path)
    with Hsm.open(tmp_path) as hsm:
        hsm.reset()
    with Hsm.open(tmp_path) as hsm:
        session = hsm.users.login("cu1", USER)
        with pytest.raises(KeyNotFound):
            hsm.keys.get(session, handles[0])
        assert _found(hsm, hsm.users.login("admin", ADMIN, "admin")) == []


def test_a_row_from_before_the_reset_does_not_open(tmp_path: Path) -> None:
    made = Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN, settings=RESETTABLE, crypto_user=("cu1", USER))
    with made as hsm:
        key = hsm.keys.generate(hsm.users.login("cu1", USER), "AES_KEY_GEN", {"TOKEN": True}).handle
        store = hsm._core.store
        row = store.key(key)
        assert row is not None
        hsm.reset()
        store.transactions.journal = None
        store.add_keys([row])
        store.transactions.journal = hsm._core.log
        session = hsm.users.login("cu1", USER)
        with pytest.raises(HsmError, match="damaged or was edited"):
            hsm.keys.get(session, key)
        assert "was put back after it had been deleted" in _found(hsm, hsm.users.login("admin", ADMIN, "admin"))[0]


def test_an_unactivated_hsm_is_unactivated_again(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path / "hsm", admin_password=None, settings=RESETTABLE) as hsm:
        users = hsm.users.all()
        hsm.users.activate(hsm.users.login("admin", b"", "unactivated-admin"), ADMIN)
        hsm.reset()
        assert hsm.users.all() == users
        hsm.users.activate(hsm.users.login("admin", b"", "unactivated-admin"), ADMIN)
        assert _found(hsm, hsm.users.login("admin", ADMIN, "admin")) == []


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    made = Hsm.initialize(tmp_path, admin_password=ADMIN, settings=RESETTABLE, crypto_user=("cu1", USER))
    with made as hsm:
        session = hsm.users.login("cu1", USER)
        key = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
        with full_disk(), pytest.raises(StoreFull):
            hsm.reset()
        assert hsm.keys.get(session, key).handle == key


def test_resets_beside_logins_and_keys_leave_a_log_without_findings(hsm: Hsm) -> None:
    done = Event()

    def use(number: int) -> int:
        used = 0
        while not done.is_set():
            try:
                session = hsm.users.login("cu1", USER if number else b"wrong-password")
                hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True})
                used += 1
            except HsmError:
                continue
        return used

    with ThreadPoolExecutor(3) as threads:
        users = [threads.submit(use, number) for number in range(3)]
        try:
            for _ in range(30):
                hsm.reset()
        finally:
            done.set()
    assert sum(user.result() for user in users)
    hsm.reset()
    assert hsm.status()["keys"] == 0
    assert _found(hsm, hsm.users.login("admin", ADMIN, "admin")) == []


def test_nothing_of_an_hsm_in_memory_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Hsm.ephemeral(admin_password=ADMIN, crypto_user=("cu1", USER)) as hsm:
        session = hsm.users.login("cu1", USER)
        hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True})
        assert _found(hsm, hsm.users.login("admin", ADMIN, "admin")) == []
        with pytest.raises(SettingRequired):
            hsm.reset()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(HsmError):
        hsm.users.login("cu1", USER)
