"""Another passphrase for the master key, and another master key."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import MasterKeyUnavailable, StateLocked, StoreDamaged, StoreFull
from hsmcore.sessions.session import Session
from tests.conftest import Tally, repeated
from tests.hsmcore.backup.conftest import PASSPHRASE, restored
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.disk import full_disk

ENGINES = ("sqlite",)
NEW = b"another passphrase"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A closed HSM with a key file and 20 token keys."""
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        for number in range(20):
            hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"{number}"})
    return made


def _works(home: Path, passphrase: bytes | None = None, *, anchor: str | None = None, findings: int = 0) -> None:
    """Expect an HSM whose users log in, whose keys work, and whose log has so many findings."""
    with Hsm.open(home, passphrase=passphrase, start=False) as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        keys = hsm.keys.find(user, {})
        assert len(keys) == 20
        for key in keys[::7]:
            text, parameters = hsm.crypto.encrypt(user, key.handle, "AES_GCM", None, b"text")
            assert hsm.crypto.decrypt(user, key.handle, "AES_GCM", parameters, text) == b"text"
        assert len(hsm.audit.verify(_admin(hsm), anchor).findings) == findings


def _admin(hsm: Hsm) -> Session:
    return hsm.users.login("admin", ADMIN_PASSWORD, "admin")


def _refused(home: Path, passphrase: bytes | None) -> None:
    with pytest.raises(MasterKeyUnavailable):
        Hsm.open(home, passphrase=passphrase)


@pytest.mark.parametrize("master_key", [False, True])
def test_a_new_passphrase_opens_the_hsm_and_the_old_one_does_not(site: Site, master_key: bool) -> None:
    Hsm.rekey(site.home, passphrase=None, new_passphrase=PASSPHRASE, master_key=master_key)
    _refused(site.home, None)
    _works(site.home, PASSPHRASE)
    Hsm.rekey(site.home, passphrase=PASSPHRASE, new_passphrase=NEW, master_key=master_key)
    _refused(site.home, PASSPHRASE)
    _works(site.home, NEW)
    Hsm.rekey(site.home, passphrase=NEW, new_passphrase=None, master_key=master_key)
    _works(site.home)
    with Hsm.open(site.home, start=False) as hsm:
        opcodes = [entry.opcode for entry in hsm.audit.entries(_admin(hsm), 0)]
    assert opcodes.count("HSM_MASTER_KEY_CHANGED" if master_key else "HSM_MASTER_KEY_RESEALED") == 3


def test_a_wrong_old_passphrase_or_an_empty_new_one_changes_nothing(site: Site) -> None:
    before = (site.home / "master.key").read_bytes()
    Hsm.rekey(site.home, passphrase=None, new_passphrase=PASSPHRASE)
    for old, new in ((None, NEW), (b"wrong", NEW), (PASSPHRASE, b"")):
        with pytest.raises(MasterKeyUnavailable):
            Hsm.rekey(site.home, passphrase=old, new_passphrase=new, master_key=True)
    _works(site.home, PASSPHRASE)
    with Hsm.open(site.home, passphrase=PASSPHRASE), pytest.raises(StateLocked):
        Hsm.rekey(site.home, passphrase=PASSPHRASE, new_passphrase=NEW)
    assert (site.home / "master.key").read_bytes() == before


def test_a_new_master_key_keeps_the_log_and_the_domain_and_opens_no_old_row(site: Site, tmp_path: Path) -> None:
    with Hsm.open(site.home) as hsm:
        admin = _admin(hsm)
        file = Path(hsm.backups.create(admin).info.path)
        anchor = hsm.audit.verify(admin).head.anchor()
    shutil.copy(site.home / "hsm.db", tmp_path / "old.db")
    Hsm.rekey(site.home, passphrase=None, new_passphrase=None, master_key=True)
    _works(site.home, anchor=anchor)
    with Hsm.open(site.home) as hsm:
        assert hsm.backups.verify(_admin(hsm), file.stem).totals.keys == 20
        handle = hsm.keys.find(hsm.users.login("cu1", PASSWORDS["cu1"]), {"LABEL": "3"})[0].handle
    with (
        closing(sqlite3.connect(tmp_path / "old.db")) as old,
        closing(sqlite3.connect(site.home / "hsm.db")) as new,
        new,
    ):
        ((material,),) = old.execute("SELECT material FROM keys WHERE handle = ?", (handle,))
        new.execute("UPDATE keys SET material = ? WHERE handle = ?", (material, handle))
    with Hsm.open(site.home) as hsm, pytest.raises(StoreDamaged):
        hsm.keys.get(hsm.users.login("cu1", PASSWORDS["cu1"]), handle)
    with restored(file, tmp_path / "clone", site) as clone:
        assert len(clone.keys.find(clone.users.login("cu1", PASSWORDS["cu1"]), {})) == 20


def test_a_new_master_key_makes_nothing_genuine_that_was_not(site: Site) -> None:
    with closing(sqlite3.connect(site.home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE audit SET user_name = 'nobody' WHERE sequence = 7")
        (handle,) = connection.execute("SELECT handle FROM keys ORDER BY handle LIMIT 1").fetchone()
        connection.execute("UPDATE keys SET owner = 'cu2' WHERE handle = ?", (handle,))
    with Hsm.open(site.home) as hsm:
        before = hsm.audit.verify(_admin(hsm)).findings
        assert len(before) == 2
    Hsm.rekey(site.home, passphrase=None, new_passphrase=None, master_key=True)
    with Hsm.open(site.home) as hsm:
        assert hsm.audit.verify(_admin(hsm)).findings == before
        with pytest.raises(StoreDamaged):
            hsm.keys.get(hsm.users.login("cu2", PASSWORDS["cu2"]), handle)


def test_a_full_disk_leaves_the_old_master_key(site: Site) -> None:
    room = max(path.stat().st_size for path in site.home.iterdir() if path.is_file())
    with full_disk(room // 4), pytest.raises(StoreFull):
        Hsm.rekey(site.home, passphrase=None, new_passphrase=None, master_key=True)
    _works(site.home)


_REKEY = """
import sys
from pathlib import Path
from hsmcore import Hsm
print("begun", flush=True)
Hsm.rekey(Path(sys.argv[1]), passphrase=None, new_passphrase=b"another passphrase", master_key=True)
"""


def test_kill_9_leaves_either_the_old_or_the_new_master_key(site: Site, tmp_path: Path, tally: Tally) -> None:
    chance, whole = random.Random(6), 60.0
    for number in range(1 + repeated(3, 12)):
        home = Path(shutil.copytree(site.home, tmp_path / f"{number}"))
        with subprocess.Popen([sys.executable, "-c", _REKEY, str(home)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            begun = time.monotonic()
            if number == 0:
                # The first one is not killed: it shows how long one takes.
                process.wait(60)
                whole = time.monotonic() - begun
                continue
            time.sleep(chance.uniform(0.0, whole))
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        try:
            # A passphrase that is not needed does not matter, so the key file comes first.
            _works(home)
            tally("kill -9 of a new master key")["old"] += 1
        except MasterKeyUnavailable:
            _works(home, NEW)
            tally("kill -9 of a new master key")["new"] += 1
