"""Backups move an HSM between SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.backup.opening import Credentials
from hsmcore.errors import StateError
from hsmcore.sessions.session import Session
from tests.hsmcore.backup.conftest import PASSPHRASE, key_file
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.postgresql import Server

ENGINES = ("sqlite",)
KEYS = 120


def _sessions(hsm: Hsm) -> tuple[Session, Session]:
    return hsm.users.login("admin", ADMIN_PASSWORD, "admin"), hsm.users.login("cu1", PASSWORDS["cu1"])


def _labels(hsm: Hsm, session: Session) -> list[int]:
    return sorted(int(str(key.attributes["LABEL"])) for key in hsm.keys.find(session, {}))


def test_a_backup_moves_an_hsm_to_postgresql_and_back(server: Server, tmp_path: Path) -> None:
    site = make_site(tmp_path / "file")
    with site.hsm as hsm:
        for number in range(KEYS):
            hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{number}"})
        key = hsm.keys.find(site.user, {"LABEL": "7"})[0].handle
        text, parameters = hsm.crypto.encrypt(site.user, key, "AES_GCM", None, b"text")
        file = Path(hsm.backups.create(site.admin).info.path)
    url = server.new()
    Hsm.restore(file, tmp_path / "shared", key_file(site), store=url)
    with pytest.raises(StateError, match="already"):
        Hsm.restore(file, tmp_path / "again", key_file(site), store=url)
    with Hsm.open(tmp_path / "shared") as hsm:
        admin, user = _sessions(hsm)
        assert _labels(hsm, user) == [*range(KEYS)]
        assert hsm.crypto.decrypt(user, key, "AES_GCM", parameters, text) == b"text"
        made: list[Path] = []
        maker = threading.Thread(target=lambda: made.append(Path(hsm.backups.create(admin).info.path)))
        maker.start()
        last = KEYS
        while maker.is_alive():
            hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{last}"})
            last += 1
        maker.join(60)
        assert not hsm.audit.verify(admin).findings
    Hsm.restore(made[0], tmp_path / "back", Credentials(key_file=(tmp_path / "shared/master.key").read_bytes()))
    with Hsm.open(tmp_path / "back") as hsm:
        admin, user = _sessions(hsm)
        labels = _labels(hsm, user)
        assert labels == [*range(len(labels))], "the rows of one moment"
        assert KEYS <= len(labels) <= last
        assert hsm.crypto.decrypt(user, key, "AES_GCM", parameters, text) == b"text"
        assert not hsm.audit.verify(admin).findings


def test_the_passphrase_of_an_hsm_on_postgresql_changes_and_its_master_key_does_not(
    server: Server, tmp_path: Path
) -> None:
    Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, store=server.new()).close()
    Hsm.rekey(tmp_path / "hsm", passphrase=None, new_passphrase=PASSPHRASE)
    with pytest.raises(StateError, match="restore a backup"):
        Hsm.rekey(tmp_path / "hsm", passphrase=PASSPHRASE, new_passphrase=PASSPHRASE, master_key=True)
    with Hsm.open(tmp_path / "hsm", passphrase=PASSPHRASE) as hsm:
        assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive
