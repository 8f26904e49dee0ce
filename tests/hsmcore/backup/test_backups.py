"""Backups: what is in one, who makes one, what goes on meanwhile, and what is left after a failure."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.backup import making
from hsmcore.backup.opening import Credentials
from hsmcore.errors import (
    BackupKept,
    BackupNotFound,
    BackupRunning,
    KeyNotFound,
    MasterKeyUnavailable,
    PermissionDenied,
    StateError,
    StateLocked,
    StoreDamaged,
    StoreFull,
    Unauthenticated,
)
from hsmcore.sessions.session import Session
from tests.hsmcore.backup.conftest import PASSPHRASE, key_file, restored
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.disk import full_disk
from tests.hsmcore.secrets_found import assert_absent, known_secrets, take_all

ENGINES = ("sqlite",)
DAY = 24 * 60 * 60 * 10**9


def _admin(hsm: Hsm) -> Session:
    return hsm.users.login("admin", ADMIN_PASSWORD, "admin")


def _described(hsm: Hsm, session: Session) -> dict[int, tuple[dict[str, object], object]]:
    found, _ = hsm.keys.describe(session, None, {}, 0, 0)
    return {
        key.record.handle: (key.values(), (key.owner, key.sharing)) for key in found if key.record.attributes["TOKEN"]
    }


def _small(tmp_path: Path) -> Site:
    return make_site(tmp_path / "small")


def _unfinished(home: Path) -> list[Path]:
    return list((home / "backups").glob(".unfinished-*"))


def test_a_restored_hsm_has_users_and_token_keys_and_no_session_keys(backed: Site, file: Path, tmp_path: Path) -> None:
    hsm, digest = backed.hsm, bytes(32)
    before = {name: _described(hsm, session) for name, session in (("cu1", backed.user), ("cu2", backed.other))}
    aes, pair = (hsm.keys.find(backed.user, {"LABEL": label}) for label in ("aes 7", "RSA_KEY_PAIR_GEN"))
    text, parameters = hsm.crypto.encrypt(backed.user, aes[0].handle, "AES_GCM", None, b"text")
    with restored(file, tmp_path / "new", backed) as new:
        sessions = {name: new.users.login(name, password) for name, password in PASSWORDS.items()}
        assert {name: _described(new, session) for name, session in sessions.items()} == before
        assert not new.keys.find(sessions["cu1"], {"LABEL": "session"})
        user = sessions["cu1"]
        assert new.crypto.decrypt(user, aes[0].handle, "AES_GCM", parameters, text) == b"text"
        private = next(key.handle for key in pair if key.attributes["OBJECT_CLASS"] == "PRIVATE_KEY")
        public = next(key.handle for key in pair if key.attributes["OBJECT_CLASS"] == "PUBLIC_KEY")
        signature = new.crypto.sign(user, private, "RSA_PKCS1_SHA256", None, digest)
        assert hsm.crypto.verify(backed.user, public, "RSA_PKCS1_SHA256", None, digest, signature)
        assert new.users.all() == hsm.users.all()
        assert new.settings == hsm.settings
        assert new.quorum.values() == hsm.quorum.values()


def test_the_log_of_a_restored_hsm_is_new_and_names_the_backup(backed: Site, file: Path, tmp_path: Path) -> None:
    result = Hsm.restore(file, tmp_path / "new", key_file(backed))
    with Hsm.open(tmp_path / "new") as new:
        entries = new.audit.entries(_admin(new), 0)
        assert [entry.opcode for entry in entries if entry.opcode != "HSM_ROWS_BOUND"] == [
            "CN_RESTORE_BEGIN", "CN_RESTORE_END", "CN_LOGIN",
        ]  # fmt: skip
        assert result.name in entries[0].detail
        assert result.serial in entries[0].detail
        assert not new.audit.verify(_admin(new), result.head.anchor()).findings
        assert new.audit.verify(_admin(new), result.anchor).findings, "an anchor of the old log is none of the new one"
        assert new.info()["serial-number"] != backed.hsm.info()["serial-number"]
    assert not backed.hsm.audit.verify(backed.admin, result.anchor).findings


def test_a_row_of_the_original_does_not_open_in_the_clone(backed: Site, file: Path, tmp_path: Path) -> None:
    handle = backed.hsm.keys.find(backed.user, {"LABEL": "aes 1"})[0].handle
    Hsm.restore(file, tmp_path / "new", key_file(backed))
    with (
        closing(sqlite3.connect(backed.home / "hsm.db")) as old,
        closing(sqlite3.connect(tmp_path / "new/hsm.db")) as new,
    ):
        ((material, version),) = old.execute("SELECT material, version FROM keys WHERE handle = ?", (handle,))
        ((_, same),) = new.execute("SELECT material, version FROM keys WHERE handle = ?", (handle,))
        assert version == same, "only the key differs"
        with new:
            new.execute("UPDATE keys SET material = ? WHERE handle = ?", (material, handle))
    with Hsm.open(tmp_path / "new") as clone, pytest.raises(StoreDamaged):
        clone.keys.get(clone.users.login("cu1", PASSWORDS["cu1"]), handle)


def test_the_passphrase_of_the_hsm_opens_its_backup(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, passphrase=PASSPHRASE) as hsm:
        file = Path(hsm.backups.create(_admin(hsm)).info.path)
    for credentials in (Credentials(), Credentials(b"wrong"), Credentials(key_file=bytes(32))):
        with pytest.raises(MasterKeyUnavailable):
            Hsm.restore(file, tmp_path / "none", credentials)
    Hsm.restore(file, tmp_path / "new", Credentials(PASSPHRASE), passphrase=b"another one")
    with pytest.raises(MasterKeyUnavailable):
        Hsm.open(tmp_path / "new", passphrase=PASSPHRASE)
    with Hsm.open(tmp_path / "new", passphrase=b"another one") as new:
        assert _admin(new).alive
    assert not (tmp_path / "none").exists()


def test_the_own_passphrase_of_a_backup_opens_it_and_nothing_else(backed: Site, tmp_path: Path) -> None:
    made = backed.hsm.backups.create(backed.admin, PASSPHRASE)
    file = Path(made.info.path)
    assert made.info.passphrase
    for credentials in (Credentials(), Credentials(b"wrong"), key_file(backed)):
        with pytest.raises(MasterKeyUnavailable):
            Hsm.restore(file, tmp_path / "none", credentials)
    assert not (tmp_path / "none").exists()
    assert Hsm.restore(file, tmp_path / "new", Credentials(PASSPHRASE)).totals == made.totals
    with Hsm.open(tmp_path / "new") as new:
        assert new.backups.create(_admin(new)).info.domain == made.info.domain, "the domain came along"
    with pytest.raises(MasterKeyUnavailable, match="empty"):
        backed.hsm.backups.create(backed.admin, b"")


def test_a_key_file_that_is_missing_or_of_another_hsm_opens_nothing(file: Path, tmp_path: Path) -> None:
    for credentials in (
        Credentials(),
        Credentials(PASSPHRASE),
        Credentials(key_file=bytes(32)),
        Credentials(key_file=b""),
    ):
        with pytest.raises(MasterKeyUnavailable):
            Hsm.restore(file, tmp_path / "none", credentials)
    assert not (tmp_path / "none").exists()


def test_nothing_secret_is_readable_in_a_backup(tmp_path: Path) -> None:
    site = _small(tmp_path)
    with site.hsm as hsm:
        take_all(hsm, site.user, TOKEN=True, LABEL="a label")
        made = hsm.backups.create(site.admin), hsm.backups.create(site.admin, PASSPHRASE)
        contents = [Path(one.info.path).read_bytes() for one in made]
    assert all(made[0].info.serial.encode() in content for content in contents), "the search looks at the right files"
    assert_absent([*known_secrets(), *PASSWORDS.values(), PASSPHRASE, b"a label", b"$argon2id$"], *contents)


def test_files_are_private_and_a_directory_open_to_others_is_refused(backed: Site, file: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    site = _small(tmp_path)
    with site.hsm as hsm:
        public = tmp_path / "public"
        public.mkdir()
        public.chmod(0o777)
        (site.home / "backups").symlink_to(public)
        with pytest.raises(StateError, match="may write"):
            hsm.backups.create(site.admin)
        assert not list(public.iterdir())


def test_only_an_admin_makes_and_removes_backups(backed: Site, file: Path) -> None:
    backups = backed.hsm.backups
    for call in (
        lambda: backups.create(backed.user),
        lambda: backups.all(backed.user),
        lambda: backups.verify(backed.user, file.stem),
        lambda: backups.delete(backed.user, file.stem),
    ):
        with pytest.raises(PermissionDenied):
            call()
    refused = [entry for entry in backed.hsm.audit.entries(backed.admin, 0) if entry.response == PermissionDenied.code]
    assert [entry.opcode for entry in refused[-2:]] == ["CN_BACKUP_END", "HSM_BACKUP_DELETE"]
    assert file.is_file()


def test_a_name_cannot_lead_out_of_the_directory(backed: Site, file: Path, tmp_path: Path) -> None:
    outside = shutil.copy(file, file.parent.parent / file.name)
    for name in ("", "..", f"../{file.stem}", f"{file.stem}/../{file.stem}", f"{file.stem}\0", "backup-" + "a" * 11):
        for call in (backed.hsm.backups.verify, backed.hsm.backups.delete):
            with pytest.raises(BackupNotFound):
                call(backed.admin, name)
    assert Path(outside).is_file()


def test_a_backup_of_one_moment_is_made_while_keys_change(tmp_path: Path) -> None:
    site = _small(tmp_path)
    with site.hsm as hsm:
        for number in range(250):
            hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{number}"})
        made: list[object] = []
        maker = threading.Thread(target=lambda: made.append(hsm.backups.create(site.admin)))
        maker.start()
        last = 249
        while maker.is_alive():
            last += 1
            key = hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{last}"})
            hsm.crypto.encrypt(site.user, key.handle, "AES_GCM", None, b"text")
            hsm.keys.destroy(site.user, hsm.keys.find(site.user, {"LABEL": f"{last - 250}"})[0].handle)
        maker.join(60)
        assert last > 249, "keys changed meanwhile"
    (file,) = (site.home / "backups").glob("*.hsmbackup")
    with restored(file, tmp_path / "new", site) as new:
        user = new.users.login("cu1", PASSWORDS["cu1"])
        labels = sorted(int(str(key.attributes["LABEL"])) for key in new.keys.find(user, {}))
        assert labels in ([*range(labels[0], labels[0] + 250)], [*range(labels[0], labels[0] + 251)])


def test_one_backup_is_made_at_a_time_and_an_end_of_the_session_or_of_the_hsm_ends_it(tmp_path: Path) -> None:
    site = _small(tmp_path)
    with site.hsm as hsm:
        for number in range(400):
            hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{number}"})
        second = _admin(hsm)
        errors = _while_made(site, second, lambda: hsm.users.logout(second))
        assert [type(error) for error in errors] == [Unauthenticated]
        ends = [entry for entry in hsm.audit.entries(site.admin, 0) if entry.opcode == "CN_BACKUP_BEGIN"]
        assert len(ends) == 1

        def another() -> None:
            with pytest.raises(BackupRunning):
                hsm.backups.create(site.admin)

        assert not _while_made(site, site.admin, another)
        errors = _while_made(site, site.admin, hsm.close)
        assert [type(error) for error in errors] == [StateError]
    assert len(list((site.home / "backups").iterdir())) == 1


def _while_made(site: Site, session: Session, act: object) -> list[BaseException]:
    """Make a backup, act while it is being written, and return its error."""
    errors: list[BaseException] = []

    def make() -> None:
        try:
            site.hsm.backups.create(session)
        except Exception as error:
            errors.append(error)

    maker = threading.Thread(target=make)
    maker.start()
    end = time.monotonic() + 60
    while not _unfinished(site.home):
        assert time.monotonic() < end
        assert maker.is_alive()
        time.sleep(0.001)
    act()  # type: ignore[operator]
    maker.join(60)
    assert not maker.is_alive()
    assert not _unfinished(site.home)
    return errors


def test_a_full_disk_leaves_no_file_and_the_hsm_goes_on(backed: Site) -> None:
    names = {info.name for info in backed.hsm.backups.all(backed.admin)}
    with full_disk(20_000), pytest.raises(StoreFull):
        backed.hsm.backups.create(backed.admin)
    assert {info.name for info in backed.hsm.backups.all(backed.admin)} == names
    assert not _unfinished(backed.home)
    assert backed.hsm.backups.create(backed.admin).totals.keys


def test_a_full_disk_leaves_a_restore_that_can_be_repeated(backed: Site, file: Path, tmp_path: Path) -> None:
    with full_disk(60_000), pytest.raises(StoreFull):
        Hsm.restore(file, tmp_path / "new", key_file(backed))
    with pytest.raises(StateError, match="no HSM"):
        Hsm.open(tmp_path / "new")
    with restored(file, tmp_path / "new", backed) as new:
        assert not new.audit.verify(_admin(new)).findings


def test_a_restore_changes_no_hsm_that_exists(backed: Site, file: Path, tmp_path: Path) -> None:
    site = _small(tmp_path)
    with site.hsm, pytest.raises(StateLocked):
        Hsm.restore(file, site.home, key_file(backed))
    before = {path.name: path.read_bytes() for path in site.home.iterdir() if path.is_file()}
    with pytest.raises(StateError, match="already"):
        Hsm.restore(file, site.home, key_file(backed))
    assert before.items() <= {path.name: path.read_bytes() for path in site.home.iterdir() if path.is_file()}.items()
    with Hsm.open(site.home) as hsm:
        assert hsm.users.login("cu1", PASSWORDS["cu1"]).alive


def test_damaged_rows_do_not_stop_a_backup_and_are_named(tmp_path: Path) -> None:
    site = _small(tmp_path)
    with site.hsm as hsm:
        keys = [hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True}).handle for _ in range(4)]
    with closing(sqlite3.connect(site.home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE keys SET material = zeroblob(60) WHERE handle = ?", (keys[1],))
        connection.execute("UPDATE users SET failures = 1 WHERE username = 'cu2'")
    with Hsm.open(site.home) as hsm:
        made = hsm.backups.create(_admin(hsm))
    assert (made.totals.keys, made.totals.damaged, made.totals.damaged_users) == (3, [keys[1]], 1)
    with restored(Path(made.info.path), tmp_path / "new", site) as new:
        user = new.users.login("cu1", PASSWORDS["cu1"])
        assert {key.handle for key in new.keys.find(user, {})} == {*keys} - {keys[1]}
        with pytest.raises(KeyNotFound):
            new.keys.get(user, keys[1])
        assert [info.locked for info in new.users.all() if info.username == "cu2"] == [True]
        new.users.change_password(_admin(new), "cu2", "crypto-user", PASSWORDS["cu2"])
        assert new.users.login("cu2", PASSWORDS["cu2"]).alive


def test_a_large_backup_is_made_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same content, ends with the session that asked for it, and leaves nothing after a failure."""
    monkeypatch.setattr(making, "_LARGE", 1)
    site = _small(tmp_path)
    worker = (sys.executable, "-m", "bridge.process.backing_up")
    with site.hsm as hsm:
        key = hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": "kept"}).handle
        hsm.start_backups(worker=worker)
        made = hsm.backups.create(site.admin)
        assert hsm.backups.verify(site.admin, made.info.name) == made
        assert (made.totals.keys, made.info.reason) == (1, "manual")
        with restored(Path(made.info.path), tmp_path / "new", site) as new:
            assert [one.handle for one in new.keys.find(new.users.login("cu1", PASSWORDS["cu1"]), {})] == [key]
        hsm._core.backups.worker = ("false",)
        with pytest.raises(StateError, match="status 1"):
            hsm.backups.create(site.admin)
        hsm._core.backups.worker = ("sleep", "100")
        ended = threading.Timer(0.5, hsm.users.logout, (site.admin,))
        ended.start()
        with pytest.raises(Unauthenticated):
            hsm.backups.create(site.admin)
        assert not _unfinished(site.home)


def test_old_backups_go_and_the_last_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = _small(tmp_path)
    start = time.time_ns()
    with site.hsm as hsm:
        made = []
        for days in (0, 3, 9, 10):
            monkeypatch.setattr(time, "time_ns", lambda days=days: start + days * DAY)
            made.append(hsm.backups.create(site.admin).info.name)
            schedule_step(hsm)
        left = [info.name for info in hsm.backups.all(site.admin)]
        assert left == made[1:], "9 days lie between the first and the last but one, 7 are kept"
        monkeypatch.setattr(time, "time_ns", lambda: start + 1000 * DAY)
        made.append(hsm.backups.create(site.admin).info.name)
        schedule_step(hsm)
        assert [info.name for info in hsm.backups.all(site.admin)] == made[1:], "one jump of the clock deletes nothing"
        monkeypatch.setattr(time, "time_ns", lambda: start + 1001 * DAY)
        made.append(hsm.backups.create(site.admin).info.name)
        schedule_step(hsm)
        assert [info.name for info in hsm.backups.all(site.admin)] == made[4:]
        hsm.backups.delete(site.admin, made[4])
        with pytest.raises(BackupKept):
            hsm.backups.delete(site.admin, made[5])
        whole = (site.home / "backups" / f"{made[5]}.hsmbackup").read_bytes()
        (site.home / "backups" / "backup-aaaaaaaaaaa.hsmbackup").write_bytes(whole[:-1])
        with pytest.raises(BackupKept):
            hsm.backups.delete(site.admin, made[5])
        hsm.backups.delete(site.admin, "backup-aaaaaaaaaaa")
        assert [info.name for info in hsm.backups.all(site.admin)] == made[5:]


def schedule_step(hsm: Hsm) -> None:
    """Remove old backups, as the thread of automatic backups does each day."""
    hsm._core.backups.expire(7)
