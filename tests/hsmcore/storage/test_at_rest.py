"""Data on disk: encrypted, private to its owner, each row bound to its place, the master key sealed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hsmcore import Hsm, Settings
from hsmcore.errors import AuthenticationFailed, HsmError, MasterKeyUnavailable, StateVersion, StoreDamaged
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault, open_secret
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.secrets_found import assert_absent, known_secrets, take_all

ENGINES = ("sqlite",)

PASSPHRASE = b"a passphrase of some length"
WRONG = b"wrong-guess-01"
CHANGED = b"changed-pass-9"


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def _contents(home: Path) -> list[bytes]:
    return [path.read_bytes() for path in _files(home)]


def _master(home: Path, passphrase: bytes | None = None) -> bytes:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        ((sealed,),) = connection.execute("SELECT master FROM hsm")
    return open_secret(sealed, passphrase, (home / "master.key").read_bytes)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed HSM with two token keys of each of two users."""
    made = make_site(tmp_path_factory.mktemp("rest") / "hsm")
    with made.hsm as hsm:
        for session in (made.user, made.other):
            for number in range(2):
                hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"k{number}"})
    return made.home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(template, tmp_path / "hsm"))


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_nothing_secret_is_in_any_file(tmp_path: Path, passphrase: bytes | None) -> None:
    home, settings = tmp_path / "hsm", Settings(clear_key_extraction=True)
    passwords = [ADMIN_PASSWORD, CHANGED, WRONG, *PASSWORDS.values()]
    with Hsm.initialize(home, admin_password=ADMIN_PASSWORD, passphrase=passphrase, settings=settings) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        for name, password in PASSWORDS.items():
            hsm.users.create(admin, name, "crypto-user", password)
        hsm.users.change_password(admin, "cu2", "crypto-user", CHANGED)
        with pytest.raises(AuthenticationFailed):
            hsm.users.login("cu2", WRONG)
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        take_all(hsm, user, LABEL="session key")
        for number, key in enumerate(take_all(hsm, user, TOKEN=True, LABEL="token key")):
            hsm.keys.set_attributes(user, key.handle, {"LABEL": "changed"})
            if number % 2:
                hsm.keys.destroy(user, key.handle)
        made = hsm.keys.generate(user, "GENERIC_SECRET_KEY_GEN", {"TOKEN": True, "SIZE": 512})
        secrets = [*known_secrets(), *passwords, PASSPHRASE, hsm.keys.clear_value(user, made.handle) or b""]
        assert b"token key" in b"".join(_contents(home)), "the search looks at the right files"
        assert_absent(secrets, *_contents(home))
    assert_absent([*secrets, _master(home, passphrase)], *_contents(home))
    if passphrase is None:
        others = [path.read_bytes() for path in _files(home) if path.name != "master.key"]
        assert_absent([(home / "master.key").read_bytes()], *others)


def test_passwords_are_kept_as_argon2id_with_a_salt(home: Path) -> None:
    vault = Vault(_master(home))
    with closing(Store.in_file(home / "hsm.db")) as store:
        hashes = [vault.open_user(row) for row in store.users()]
    assert all(text.startswith("$argon2id$") for text in hashes)
    assert len(hashes) == len(set(hashes)) == 3
    assert_absent([ADMIN_PASSWORD, *PASSWORDS.values()], *hashes)


def test_a_password_hash_has_its_full_cost(tmp_path: Path) -> None:
    home, words = tmp_path / "hsm", {"HSM_USER": "cu1", "HSM_PASSWORD": "first-pass-001"}
    subprocess.run(
        [sys.executable, "-m", "bridge", "--home", home, "init"],
        env=os.environ | words, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    vault = Vault(_master(home))
    with closing(Store.in_file(home / "hsm.db")) as store:
        assert {vault.open_user(row).split("$")[3] for row in store.users()} == {"m=19456,t=2,p=1"}


@pytest.mark.parametrize("mask", [0, 0o777 & ~0o700])
def test_only_the_owner_reads_the_files(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        made = make_site(tmp_path / "outer" / "hsm")
        made.hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [made.home, *_files(made.home)]}
        made.hsm.close()
    finally:
        os.umask(before)
    assert modes.pop("hsm") == 0o700
    assert {"hsm.db", "hsm.db-wal", "master.key", "hsm.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_file_open_to_others_is_refused(home: Path, mode: int) -> None:
    (home / "master.key").chmod(mode)
    with pytest.raises(MasterKeyUnavailable, match="chmod"):
        Hsm.open(home)
    (home / "master.key").chmod(0o600)
    Hsm.open(home).close()


def _rows(connection: sqlite3.Connection, columns: str) -> list[tuple[object, ...]]:
    """Return these columns of the keys: two of cu1, then two of cu2."""
    return connection.execute(f"SELECT {columns} FROM keys ORDER BY owner, created").fetchall()


def _swap(column: str) -> Callable[[sqlite3.Connection], None]:
    def edit(connection: sqlite3.Connection) -> None:
        (first, mine), (last, theirs) = (_rows(connection, f"handle, {column}")[place] for place in (0, 2))
        connection.execute(f"UPDATE keys SET {column} = ? WHERE handle = ?", (theirs, first))
        connection.execute(f"UPDATE keys SET {column} = ? WHERE handle = ?", (mine, last))

    return edit


def _edit(expression: str) -> Callable[[sqlite3.Connection], None]:
    def edit(connection: sqlite3.Connection) -> None:
        handles = tuple(_rows(connection, "handle")[place][0] for place in (0, 2))
        connection.execute(f"UPDATE keys SET {expression} WHERE handle IN (?, ?)", handles)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_swap("material"), id="swapped material"),
        pytest.param(_edit("created = created - 1"), id="another time"),
        pytest.param(_edit("public_key_info = x'3000'"), id="a public key"),
        pytest.param(_edit("material = substr(material, 1, 20)"), id="cut"),
        pytest.param(_edit("material = x''"), id="empty"),
        pytest.param(_edit("material = material || x'00'"), id="longer"),
        pytest.param(_edit("attributes = replace(attributes, 'false', 'true')"), id="allowed"),
        pytest.param(_edit("attributes = replace(attributes, 'true', 'false')"), id="forbidden"),
        pytest.param(_edit("attributes = attributes || ' '"), id="a space"),
        pytest.param(_edit('sharing = \'{"users":["cu1","cu2"]}\''), id="shared"),
        pytest.param(_edit("sharing = x'00'"), id="shared with bytes"),
        pytest.param(_edit("attributes = ''"), id="no attributes"),
    ],
)
def test_an_edited_row_does_not_open(home: Path, edit: Callable[[sqlite3.Connection], None]) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        handles = [int(str(handle)) for (handle,) in _rows(connection, "handle")]
        edit(connection)
    with Hsm.open(home) as hsm:
        sessions = [hsm.users.login(name, PASSWORDS[name]) for name in ("cu1", "cu1", "cu2", "cu2")]
        for place, (session, handle) in enumerate(zip(sessions, handles, strict=True)):
            if place % 2:
                assert hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"")
                continue
            for call in (hsm.keys.get, hsm.keys.clear_value):
                with pytest.raises(StoreDamaged):
                    call(session, handle)
            with pytest.raises(StoreDamaged):
                hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"")


@pytest.mark.parametrize("column", ["owner", "handle"])
def test_a_row_with_another_owner_or_handle_does_not_open(home: Path, column: str) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        handle = int(str(_rows(connection, "handle")[0][0]))
        new = {"owner": "cu2", "handle": handle ^ 1}[column]
        connection.execute(f"UPDATE keys SET {column} = ? WHERE handle = ?", (new, handle))
    with Hsm.open(home) as hsm:
        for name, password in PASSWORDS.items():
            session = hsm.users.login(name, password)
            for place in (handle, handle ^ 1):
                with pytest.raises(HsmError):
                    hsm.crypto.encrypt(session, place, "AES_GCM", None, b"")
            assert len(hsm.keys.find(session, {})) == (1 if name == "cu1" else 2)


def test_rows_of_another_hsm_do_not_open(home: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    key = other.hsm.keys.generate(other.user, "AES_KEY_GEN", {"TOKEN": True}).handle
    other.hsm.close()
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other" / "hsm.db"),))
        connection.execute("INSERT INTO keys SELECT * FROM other.keys")
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with pytest.raises(StoreDamaged):
            hsm.crypto.encrypt(session, key, "AES_GCM", None, b"")
        hsm.keys.destroy(session, key)


def test_a_users_hash_is_bound_to_name_and_role(home: Path) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute(
            "UPDATE users SET verifier = (SELECT verifier FROM users WHERE username = 'cu1') WHERE username = 'admin'"
        )
        connection.execute("UPDATE users SET role = 'admin' WHERE username = 'cu2'")
    with Hsm.open(home) as hsm:
        for name, password in (("admin", PASSWORDS["cu1"]), ("admin", ADMIN_PASSWORD), ("cu2", PASSWORDS["cu2"])):
            with pytest.raises(StoreDamaged):
                hsm.users.login(name, password, "admin")
        assert hsm.users.login("cu1", PASSWORDS["cu1"]).alive


def test_settings_cannot_be_exchanged(home: Path, tmp_path: Path) -> None:
    make_site(tmp_path / "lax", Settings(clear_key_extraction=True)).hsm.close()
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute("ATTACH ? AS lax", (str(tmp_path / "lax" / "hsm.db"),))
        connection.execute("UPDATE hsm SET settings = (SELECT settings FROM lax.hsm)")
    with pytest.raises(StoreDamaged):
        Hsm.open(home)


@pytest.mark.parametrize("settings", ["''", "'text'", "x'00'", "1", "zeroblob(40)"])
def test_settings_of_any_type_do_not_open(home: Path, settings: str) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute(f"UPDATE hsm SET settings = {settings}")
    with pytest.raises(StoreDamaged):
        Hsm.open(home)


def test_the_master_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyUnavailable):
        Hsm.initialize(tmp_path / "empty", admin_password=ADMIN_PASSWORD, passphrase=b"")
    Hsm.initialize(tmp_path, admin_password=ADMIN_PASSWORD, passphrase=PASSPHRASE).close()
    assert not (tmp_path / "master.key").exists()
    for wrong in (None, b"", PASSPHRASE + b" ", PASSPHRASE.upper()):
        with pytest.raises(MasterKeyUnavailable):
            Hsm.open(tmp_path, passphrase=wrong)
    Hsm.open(tmp_path, passphrase=PASSPHRASE).close()


@pytest.mark.parametrize("content", [None, b"", bytes(31), bytes(32), bytes(33)])
def test_the_master_key_opens_with_its_key_file_only(home: Path, content: bytes | None) -> None:
    (home / "master.key").unlink() if content is None else (home / "master.key").write_bytes(content)
    with pytest.raises(MasterKeyUnavailable):
        Hsm.open(home)


def test_a_damaged_seal_of_the_master_key_is_refused(home: Path) -> None:
    with closing(sqlite3.connect(home / "hsm.db", isolation_level=None)) as connection:
        ((sealed,),) = connection.execute("SELECT master FROM hsm")
        for place in range(len(sealed)):
            broken = bytes([*sealed[:place], sealed[place] ^ 0x80, *sealed[place + 1 :]])
            connection.execute("UPDATE hsm SET master = ?", (broken,))
            with pytest.raises((MasterKeyUnavailable, StoreDamaged, StateVersion)):
                Hsm.open(home)
        connection.execute("UPDATE hsm SET master = ?", (sealed[:20],))
        with pytest.raises(StoreDamaged):
            Hsm.open(home)


def test_a_destroyed_key_leaves_not_even_its_seal(home: Path) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        ((handle, sealed), *_) = _rows(connection, "handle, material")
    assert isinstance(sealed, bytes)
    assert sealed in (home / "hsm.db").read_bytes()
    with Hsm.open(home) as hsm:
        hsm.keys.destroy(hsm.users.login("cu1", PASSWORDS["cu1"]), int(str(handle)))
    assert not [path.name for path in _files(home) if sealed in path.read_bytes()]
