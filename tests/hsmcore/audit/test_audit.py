"""The audit log: what is in it, before what, and that no change of it goes unseen."""

from __future__ import annotations

import inspect
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.api.audit import AuditService
from hsmcore.api.backups import BackupService
from hsmcore.api.clones import CloneService
from hsmcore.api.crypto import CryptoService
from hsmcore.api.guard import audited, guarded
from hsmcore.api.keys import KeyService
from hsmcore.api.mtls import MutualTlsService
from hsmcore.api.quorum import QuorumService
from hsmcore.api.reset import ResetService
from hsmcore.api.tls import TlsService
from hsmcore.api.users import UserService
from hsmcore.audit.chain import Finding, text_form
from hsmcore.audit.events import EVENTS
from hsmcore.errors import (
    AttributeInvalid,
    AuditAnchorInvalid,
    AuthenticationFailed,
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    PermissionDenied,
    StoreDamaged,
    StoreFull,
    Unauthenticated,
)
from hsmcore.sessions.permissions import PERMISSIONS
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import COLUMNS, AuditRow
from tests.conftest import Tally
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from tests.hsmcore.disk import full_disk
from tests.hsmcore.making import take_secret
from tests.hsmcore.secrets_found import AES_KEY

ENGINES = ("sqlite",)

SERVICES = {
    "users": UserService, "keys": KeyService, "crypto": CryptoService, "quorum": QuorumService, "audit": AuditService,
    "backups": BackupService, "clones": CloneService, "reset": ResetService, "tls": TlsService,
    "mtls": MutualTlsService,
}  # fmt: skip
NOT_LOGGED = {
    "users.all", "users.session", "users.authorise", "users.login_token", "users.mfa_token", "keys.find",
    "keys.find_page", "crypto.drop_shortcuts",
    "keys.find_pair", "keys.labels", "keys.certificates", "keys.certificate", "keys.get", "keys.describe",
    "crypto.require", "crypto.encrypt", "crypto.decrypt", "crypto.sign", "crypto.verify", "crypto.keep_shortcut",
    "crypto.begin", "crypto.update", "crypto.finish", "crypto.abort", "crypto.random", "audit.entries", "audit.verify",
    "quorum.registration_token", "quorum.tokens", "quorum.values", "quorum.timeouts", "backups.all",
    "backups.verify", "tls.identity", "tls.certificate", "tls.end", "tls.ending", "mtls.anchors", "mtls.enforcement",
    "mtls.admits", "mtls.on_change",
}  # fmt: skip
"""Methods that are not commands: they use keys, or read."""


def _admin(hsm: Hsm) -> Session:
    return hsm.users.login("admin", ADMIN_PASSWORD, "admin")


def _log(hsm: Hsm) -> list[AuditRow]:
    return hsm.audit.entries(_admin(hsm), 0)


def _findings(home: Path, anchor: str | None = None) -> list[Finding]:
    with Hsm.open(home) as hsm:
        return list(hsm.audit.verify(_admin(hsm), anchor).findings)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed HSM whose log has every kind of entry that this version writes."""
    made = make_site(tmp_path_factory.mktemp("life") / "hsm")
    hsm, admin, user = made.hsm, made.admin, made.user
    with hsm:
        for name, password in (("cu1", b"wrong-guess-01"), ("nobody", b"wrong-guess-01")):
            with pytest.raises(AuthenticationFailed):
                hsm.users.login(name, password)
        hsm.users.create(admin, "second", "admin", ADMIN_PASSWORD)
        hsm.users.change_password(admin, "second", "admin", ADMIN_PASSWORD)
        hsm.users.delete(admin, "second", "admin")
        for token in (False, True):
            key = hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": token}).handle
            hsm.keys.set_attributes(user, key, {"LABEL": "named"})
            hsm.keys.destroy(user, key)
            public, private = hsm.keys.generate_pair(user, "EC_KEY_PAIR_GEN", {"TOKEN": token}, {"TOKEN": token})
            hsm.keys.destroy(user, public.handle)
            hsm.keys.destroy(user, private.handle)
            hsm.keys.destroy(user, take_secret(hsm, user, "AES", AES_KEY, TOKEN=token).handle)
        for call in (
            lambda: hsm.keys.destroy(user, 4711),
            lambda: hsm.users.create(user, "mine", "admin", ADMIN_PASSWORD),
            lambda: hsm.keys.generate(user, "AES_KEY_GEN", {"SIZE": "big"}),
        ):
            with pytest.raises(HsmError):
                call()
        hsm.users.logout(made.other)
        hsm.users.abandon(user)
    return made.home


@pytest.fixture
def home(life: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(life, tmp_path / "hsm"))


def test_every_method_of_a_service_is_a_command_or_listed_as_none() -> None:
    methods = {
        f"{service}.{name}": method
        for service, kind in SERVICES.items()
        for name, method in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }
    assert methods.keys() - NOT_LOGGED == EVENTS.keys()
    ends = {"users.logout", "users.abandon", "users.close_session"}
    for name in methods.keys() - NOT_LOGGED - ends:
        assert hasattr(methods[name], "__wrapped__"), f"{name} is no command of the log"


def test_every_method_with_a_session_has_a_row_of_permissions() -> None:
    without = {"users.logout", "users.abandon", "users.close_session", "users.authorise"}
    prepared = {f"crypto.{name}" for name in ("encrypt", "decrypt", "sign", "verify")}
    continued = {f"crypto.{name}" for name in ("keep_shortcut", "update", "finish", "abort")}
    with_session = {
        f"{service}.{name}": method
        for service, kind in SERVICES.items()
        for name, method in inspect.getmembers(kind, callable)
        if not name.startswith("_") and "session" in inspect.signature(method).parameters
    }
    assert with_session.keys() - without - continued == PERMISSIONS.keys() - {"key_store"}
    for name in with_session.keys() - without - continued - prepared:
        assert hasattr(with_session[name], "__wrapped__"), f"{name} does not check the permission of its session"


def test_a_forgotten_row_is_named() -> None:
    def forgotten(service: object, session: Session) -> None:
        """Do nothing."""

    forgotten.__module__ = "hsmcore.api.keys"
    for guard in (guarded, audited):
        with pytest.raises(LookupError, match=r"table \w+ of hsmcore\.\S+ has no row 'keys\.forgotten'; add one"):
            guard(forgotten)  # type: ignore[type-var]


def test_a_life_in_the_log(life: Path) -> None:
    with Hsm.open(life) as hsm:
        log = _log(hsm)
    assert [entry.sequence for entry in log] == list(range(len(log)))
    assert [(entry.opcode, entry.user_name, entry.user_type) for entry in log[:6]] == [
        ("CN_INIT_TOKEN", "", 0), ("CN_GEN_PSWD_ENC_KEY", "", 0), ("CN_CREATE_APPLIANCE_USER", "app_user", 5),
        ("CN_INIT_DONE", "", 0), ("CN_GEN_KEY_ENC_KEY", "", 0), ("CN_CHANGE_PSWD", "admin", 6),
    ]  # fmt: skip
    assert {entry.reboot for entry in log[:6]} == {1}
    assert {entry.reboot for entry in log[6:38]} == {2}
    log = log[1:]
    assert [(entry.opcode, entry.user_name, entry.user_type, entry.response) for entry in log[5:15]] == [
        ("CN_LOGIN", "admin", 2, 0),
        ("CN_CREATE_USER", "cu1", 1, 0),
        ("CN_CREATE_USER", "cu2", 1, 0),
        ("CN_LOGIN", "cu1", 1, 0),
        ("CN_LOGIN", "cu2", 1, 0),
        ("CN_LOGIN", "cu1", 1, 163),
        ("CN_LOGIN", "", 1, 157),
        ("CN_CREATE_CO", "second", 2, 0),
        ("CN_CHANGE_PSWD", "second", 2, 0),
        ("CN_DELETE_USER", "second", 2, 0),
    ]
    kinds = [
        ["CN_GENERATE_KEY", "CN_MODIFY_OBJECT", destroy, "CN_GENERATE_KEY_PAIR", destroy, destroy, "CN_CREATE_OBJECT",
         destroy]
        for destroy in ("CN_DESTROY_OBJECT", "CN_TOMBSTONE_OBJECT")
    ]  # fmt: skip
    assert [entry.opcode for entry in log[15:31]] == kinds[0] + kinds[1]
    generate, modify, destroy, pair, public, private = log[15:21]
    assert generate.secret_handle == modify.secret_handle == destroy.secret_handle > 0
    assert (pair.secret_handle, pair.public_handle) == (private.secret_handle, public.secret_handle)
    assert public.public_handle == private.public_handle == 0
    assert [(entry.opcode, entry.response) for entry in log[31:34]] == [
        ("CN_DESTROY_OBJECT", 168), ("CN_CREATE_CO", PermissionDenied.code), ("CN_GENERATE_KEY", AttributeInvalid.code),
    ]  # fmt: skip
    assert [(entry.opcode, entry.user_name) for entry in log[34:37]] == [
        ("CN_LOGOUT", "cu2"), ("CN_APP_FINALIZE", "cu1"), ("CN_CLOSE_SESSION", "admin"),
    ]  # fmt: skip


def test_the_form_of_the_original() -> None:
    entry = AuditRow(1, 1703019677140812, 16, "CN_GENERATE_KEY", 0x1004001, 0, "MGMT_KEY_DETAILS_LOG",
                     secret_handle=262152)  # fmt: skip
    assert text_form(entry) == (
        "Time: 12/19/23 21:01:17.140812, usecs:1703019677140812\n"
        "Sequence No : 0x1\n"
        "Reboot counter : 0x10\n"
        "Command Type(hex) : CN_MGMT_CMD (0x0)\n"
        "Opcode : CN_GENERATE_KEY (0x17)\n"
        "Session Handle : 0x1004001\n"
        "Response : 0:HSM Return: SUCCESS\n"
        "Log type : MGMT_KEY_DETAILS_LOG (1)\n"
        "Priv/Secret Key Handle : 262152\n"
        "Public Key Handle : 0\n"
    )
    failed = AuditRow(2, 0, 1, "CN_LOGIN", 1, 163, "MGMT_USER_DETAILS_LOG", user_name="cu1", user_type=1)
    assert "Response : 163:HSM Error: RET_USER_LOGIN_FAILURE\n" in text_form(failed)
    assert text_form(failed).endswith("User Name : cu1\nUser Type : CN_CRYPTO_USER (1)\n")


def test_a_password_typed_as_a_name_is_not_in_the_log(home: Path) -> None:
    secret = "my-secret\nResponse : 0:HSM Return: SUCCESS\ud800" + "y" * 5000
    with Hsm.open(home) as hsm:
        admin, user = _admin(hsm), hsm.users.login("cu1", PASSWORDS["cu1"])
        key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
        before = hsm.statistics().audit_entries
        calls: list[Callable[[str], object]] = [
            lambda name: hsm.users.login(name, b"wrong-guess-01"),
            lambda name: hsm.users.login_mfa(name, b"wrong-guess-01", "admin", b"{}"),
            lambda name: hsm.users.delete(admin, name, "admin"),
            lambda name: hsm.users.change_password(admin, name, "admin", ADMIN_PASSWORD),
            lambda name: hsm.users.create(admin, name, "admin", b"short"),
            lambda name: hsm.users.register_mfa(admin, name, "admin", b"{}", b""),
            lambda name: hsm.users.deregister_mfa(admin, name, "admin"),
            lambda name: hsm.keys.share(user, key, name),
            lambda name: hsm.keys.unshare(user, key, name),
        ]
        for name in (secret, "my_secret", "My_Secret"):
            for call in calls:
                with pytest.raises(HsmError):
                    call(name)
        with pytest.raises(AuthenticationFailed):
            hsm.users.login("CU1", b"wrong-guess-01")
        entries = hsm.audit.entries(admin, before)
        assert len(entries) == 28
        assert [entry.user_name for entry in entries] == [""] * 27 + ["CU1"]
        assert not any(name in repr(entries).lower() for name in ("my_secret", "my-secret"))
    assert b"y_secret" not in (home / "hsm.db").read_bytes()
    assert _findings(home) == []


def test_each_start_counts_a_reboot_and_a_command_does_not(home: Path) -> None:
    reboots, sessions = [], []
    for start in (True, False, False, True, False):
        with Hsm.open(home, start=start) as hsm:
            last = _log(hsm)[-1]
            reboots.append(last.reboot)
            sessions.append(last.session)
    first = reboots[0]
    assert reboots == [first, first, first, first + 1, first + 1]
    assert len(set(sessions)) == 5, "two commands number their sessions alike"
    assert _findings(home) == []


def test_session_tokens_are_not_in_the_log(home: Path) -> None:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        hsm.keys.generate(session, "AES_KEY_GEN", {})
        assert all(session.token not in (entry.session, entry.secret_handle) for entry in _log(hsm))


def test_only_an_admin_reads_it(home: Path) -> None:
    with Hsm.open(home) as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        calls = (lambda session: hsm.audit.entries(session, 0), hsm.audit.verify)
        for call in calls:
            with pytest.raises(PermissionDenied):
                call(user)
        hsm.users.logout(user)
        for call in calls:
            with pytest.raises(Unauthenticated):
                call(user)


def test_commands_of_many_threads_are_one_chain(home: Path) -> None:
    with Hsm.open(home) as hsm:
        sessions = [hsm.users.login(name, PASSWORDS[name]) for name in ("cu1", "cu2") * 3]
        made: list[int] = []

        def work(session: Session, token: bool) -> None:
            for _ in range(20):
                made.append(hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": token}).handle)
                with pytest.raises(KeyNotFound):
                    hsm.keys.destroy(session, 4711)

        threads = [
            threading.Thread(target=work, args=(session, number % 3 == 0)) for number, session in enumerate(sessions)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        generated = [entry.secret_handle for entry in _log(hsm) if entry.opcode == "CN_GENERATE_KEY"]
        assert sorted(made) == sorted(generated[-len(made) :])
        assert len(made) == 120
    assert _findings(home) == []


Edit = Callable[[sqlite3.Connection], object]


def _tampered(home: Path, edit: Edit) -> list[Finding]:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        edit(connection)
    return _findings(home)


def _rows(home: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        return connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit ORDER BY sequence").fetchall()


def _one_of_each_kind(home: Path) -> list[int]:
    """Return the sequence number of one entry of each opcode and response."""
    kinds = {(row[3], row[5]): row[0] for row in _rows(home)}
    return sorted(int(str(sequence)) for sequence in kinds.values())


def test_every_field_of_every_kind_of_entry(life: Path, home: Path, tally: Tally) -> None:
    kinds = _one_of_each_kind(life)
    assert len(kinds) > 15
    tried = 0
    for column in COLUMNS:
        for change in _changes(column):
            shutil.copy(life / "hsm.db", home / "hsm.db")
            shutil.copy(life / "audit.anchor", home / "audit.anchor")
            with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
                for sequence in kinds:
                    connection.execute(f"UPDATE audit SET {column} = {change} WHERE sequence = ?", (sequence,))
            found = {finding.sequence for finding in _findings(home)}
            assert set(kinds) <= found, f"{column} = {change}"
            assert found <= set(kinds) | {max(kinds) + 1, len(_rows(life))}, f"{column} = {change}"
            tried += len(kinds)
    tally("changes to the audit log")["all found"] += tried


def _changes(column: str) -> list[str]:
    """Return SQL for other values of a column: of its own type and of another."""
    if column == "sequence":
        return []
    if column in ("previous", "hash", "seal"):
        return [f"substr({column}, 2) || x'00'", f"substr({column}, 1, 5)", "''", "7"]
    if column in ("opcode", "log_type", "user_name", "detail"):
        return [f"{column} || 'X'", "7.5", "x'41'"]
    return [f"{column} + 1", f"-1 - {column}", "'text'", "0.5"]


@pytest.mark.parametrize("sequence", [0, 7, 20])
def test_removed(home: Path, sequence: int) -> None:
    found = _tampered(home, lambda db: db.execute("DELETE FROM audit WHERE sequence = ?", (sequence,)))
    assert found == [Finding(sequence, f"entry {sequence:#x} is missing")]


def test_several_removed(home: Path) -> None:
    found = _tampered(home, lambda db: db.execute("DELETE FROM audit WHERE sequence BETWEEN 10 AND 20"))
    assert found == [Finding(10, "entries 0xa to 0x14 are missing")]


def test_reordered(home: Path) -> None:
    def swap(connection: sqlite3.Connection) -> None:
        for old, new in ((8, -1), (12, 8), (-1, 12)):
            connection.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (new, old))

    assert {finding.sequence for finding in _tampered(home, swap)} == {8, 12}


@pytest.mark.parametrize(
    "place", ["-1", "5.5", "'text'", "x'05'", "9000", str(2**63 - 1), "(SELECT max(sequence) + 1 FROM audit)"]
)
def test_duplicated(home: Path, place: str) -> None:
    others = ", ".join(COLUMNS[1:])
    end = len(_rows(home))
    found = _tampered(
        home, lambda db: db.execute(f"INSERT INTO audit SELECT hsm, {place}, {others} FROM audit WHERE sequence = 7")
    )
    assert found
    assert all(finding.sequence is None or finding.sequence >= end for finding in found)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_the_end_cut_off(home: Path, count: int) -> None:
    end = len(_rows(home))
    found = _tampered(home, lambda db: db.execute("DELETE FROM audit WHERE sequence >= ?", (end - count,)))
    assert found[0].sequence == end - count
    assert "missing" in found[0].text
    again = _findings(home)
    assert [finding.text for finding in again] == [finding.text for finding in found]


def test_all_cut_off(home: Path) -> None:
    end = len(_rows(home))
    assert _tampered(home, lambda db: db.execute("DELETE FROM audit"))[0] == Finding(
        0, f"entries 0x0 to {end - 1:#x} are missing"
    )


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE audit_head SET count = count - 1",
        "UPDATE audit_head SET reboot = reboot + 1",
        "UPDATE audit_head SET count = 'many'",
        "UPDATE audit_head SET sealed = x'00'",
        "DELETE FROM audit_head",
    ],
)
def test_the_head_changed(home: Path, edit: str) -> None:
    end = len(_rows(home))
    found = _tampered(home, lambda db: db.execute(edit))
    assert [finding.sequence for finding in found] == [end]
    assert "head" in found[0].text


def test_the_head_and_the_end_cut_off_together(home: Path) -> None:
    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit WHERE sequence > 20")
        connection.execute("DELETE FROM audit_head")

    assert Finding(21, _tampered(home, cut)[0].text) in _findings(home)


def test_an_anchor_removed(home: Path) -> None:
    (home / "audit.anchor").unlink()
    end = len(_rows(home))
    assert [finding.sequence for finding in _findings(home)] == [end]


def test_a_rolled_back_database(life: Path, home: Path) -> None:
    with Hsm.open(home) as hsm:
        hsm.keys.generate(hsm.users.login("cu1", PASSWORDS["cu1"]), "AES_KEY_GEN", {"TOKEN": True})
    before, lost = len(_rows(life)), len(_rows(home))
    shutil.copy(life / "hsm.db", home / "hsm.db")
    found = _findings(home)
    assert (found[0].sequence, found[0].text) == (before, f"entries {before:#x} to {lost - 1:#x} are missing")
    assert "rolled back" in found[1].text
    assert _findings(home) == found, "the finding stays"


def test_everything_rolled_back_is_found_with_an_anchor_kept_elsewhere(life: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(life, tmp_path / "later"))
    with Hsm.open(home) as hsm:
        anchor = hsm.audit.verify(_admin(hsm)).head.anchor()
    assert _findings(home, anchor) == []
    shutil.rmtree(home)
    shutil.copytree(life, home)
    assert _findings(home) == [], "without the anchor there is nothing to see it by"
    assert "rolled back" in _findings(home, anchor)[0].text


@pytest.mark.parametrize("anchor", ["", "12", "12:zz", "x:00", ":"])
def test_a_text_that_is_no_anchor(home: Path, anchor: str) -> None:
    with Hsm.open(home) as hsm, pytest.raises(AuditAnchorInvalid):
        hsm.audit.verify(_admin(hsm), anchor)


def test_tampering_while_the_hsm_runs(home: Path) -> None:
    with Hsm.open(home) as hsm:
        admin = _admin(hsm)
        with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
            connection.execute("UPDATE audit SET user_name = 'other' WHERE sequence = 9")
            connection.execute("UPDATE audit_head SET count = count - 1")
        assert {finding.sequence for finding in hsm.audit.verify(admin).findings} == {9, None}


def test_another_hsms_log(home: Path, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    other.hsm.close()

    def take(connection: sqlite3.Connection) -> None:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other" / "hsm.db"),))
        for table in ("audit", "audit_head"):
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")

    shutil.copy(tmp_path / "other" / "audit.anchor", home / "audit.anchor")
    assert len(_tampered(home, take)) > 5


def test_a_token_key_is_tombstoned_whatever_its_state(home: Path) -> None:
    """Damaged, and in vain, too: only a session key is destroyed (CN_DESTROY_OBJECT)."""
    with Hsm.open(home) as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        damaged, kept = (
            hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True, "DESTROYABLE": False}).handle for _ in range(2)
        )
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE keys SET material = x'00' WHERE handle = ?", (damaged,))
    with Hsm.open(home) as hsm:
        user, other = (hsm.users.login(name, PASSWORDS[name]) for name in ("cu1", "cu2"))
        with pytest.raises(StoreDamaged):
            hsm.keys.destroy(other, damaged)
        hsm.keys.destroy(user, damaged)
        with pytest.raises(KeyFunctionNotPermitted):
            hsm.keys.destroy(user, kept)
        ends = [entry for entry in _log(hsm) if entry.secret_handle in {damaged, kept} and "_OBJECT" in entry.opcode]
    assert [(entry.opcode, entry.secret_handle, entry.response != 0) for entry in ends] == [
        ("CN_TOMBSTONE_OBJECT", damaged, True), ("CN_TOMBSTONE_OBJECT", damaged, False),
        ("CN_TOMBSTONE_OBJECT", kept, True),
    ]  # fmt: skip


def test_what_cannot_be_logged_is_refused(home: Path) -> None:
    with Hsm.open(home) as hsm:
        user, other = hsm.users.login("cu1", PASSWORDS["cu1"]), hsm.users.login("cu2", PASSWORDS["cu2"])
        key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
        before = hsm.keys.find(user, {})
        with full_disk():
            for call in (
                lambda: hsm.users.login("cu1", PASSWORDS["cu1"]),
                lambda: hsm.users.login("cu1", b"wrong-guess-01"),
                lambda: hsm.users.login("nobody", b"wrong-guess-01"),
                lambda: hsm.keys.generate(user, "AES_KEY_GEN", {}),
                lambda: hsm.keys.set_attributes(user, key, {"LABEL": "new"}),
                lambda: hsm.keys.destroy(user, key),
            ):
                with pytest.raises(StoreFull):
                    call()
            assert hsm.keys.find(user, {}) == before
            assert hsm.crypto.encrypt(user, key, "AES_GCM", None, b"keys are still used")
            hsm.users.logout(other)
            assert not other.alive
        hsm.keys.generate(user, "AES_KEY_GEN", {})
        tail = [(entry.opcode, entry.user_name) for entry in _log(hsm)][-3:]
        assert tail == [("CN_LOGOUT", "cu2"), ("CN_GENERATE_KEY", ""), ("CN_LOGIN", "admin")]
    assert _findings(home) == []
