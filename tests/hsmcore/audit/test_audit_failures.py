"""The audit log after a write that failed or was interrupted, and its anchor after one that was torn."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.audit.chain import Finding
from hsmcore.errors import StoreFull
from hsmcore.sessions.session import Session
from hsmcore.storage.transactions import Transactions
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.disk import full_disk

ENGINES = ("sqlite",)

ANCHOR_BYTES = 128
"""Length of each of the anchor file's two places."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = make_site(tmp_path / "hsm")
    with made.hsm:
        yield made


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_site(tmp_path_factory.mktemp("anchored") / "hsm")
    made.hsm.close()
    return made.home


@pytest.fixture
def home(closed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(closed, tmp_path / "hsm"))


def _findings(hsm: Hsm, admin: Session) -> list[Finding]:
    return list(hsm.audit.verify(admin).findings)


def _labels(hsm: Hsm, user: Session) -> set[object]:
    return {record.attributes["LABEL"] for record in hsm.keys.find(user, {})}


@contextmanager
def _interrupted_after_commit() -> Iterator[None]:
    """Interrupt this thread, as Ctrl-C may, when the database has written a transaction and before anyone notes it."""

    def interrupt(frame: object, kind: str, argument: object) -> None:
        if kind == "c_return" and getattr(argument, "__name__", "") == "commit":
            sys.setprofile(None)
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("token", [True, False], ids=["token key", "session key"])
def test_an_entry_that_was_written_unnoticed_is_not_written_over(site: Site, token: bool) -> None:
    hsm, user = site.hsm, site.user
    before = hsm.statistics().audit_entries
    with _interrupted_after_commit():
        hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": token, "LABEL": "interrupted"})
    assert hsm.statistics().troubles
    assert not hsm.status()["healthy"]
    hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": token, "LABEL": "next"})
    entries = hsm.audit.entries(site.admin, before)
    assert [(entry.sequence, entry.opcode) for entry in entries] == [
        (before, "CN_GENERATE_KEY"),
        (before + 1, "CN_GENERATE_KEY"),
    ]
    assert not hsm.statistics().troubles
    assert hsm.status()["healthy"]
    assert _findings(hsm, site.admin) == []
    assert _labels(hsm, user) == ({"interrupted", "next"} if token else {"next"})


def test_a_failed_write_is_reported_until_the_next_one_succeeds(site: Site) -> None:
    hsm = site.hsm
    before = hsm.statistics().audit_entries
    with full_disk(), pytest.raises(StoreFull):
        hsm.keys.generate(site.user, "AES_KEY_GEN", {})
    assert (hsm.status()["healthy"], hsm.statistics().audit_entries) == (False, before)
    hsm.keys.generate(site.user, "AES_KEY_GEN", {})
    assert (hsm.status()["healthy"], hsm.statistics().audit_entries) == (True, before + 1)
    assert _findings(hsm, site.admin) == []


def test_a_head_that_was_changed_meanwhile_does_not_lead_the_log_back(site: Site) -> None:
    """After a failed write the store is asked where the log stands: an answer that is not sealed counts for nothing."""
    hsm = site.hsm
    with full_disk(), pytest.raises(StoreFull):
        hsm.keys.generate(site.user, "AES_KEY_GEN", {})
    before = hsm.statistics().audit_entries
    with closing(sqlite3.connect(site.home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE audit_head SET count = count + 5")
    hsm.keys.generate(site.user, "AES_KEY_GEN", {})
    assert hsm.statistics().audit_entries == before + 1
    assert _findings(hsm, site.admin) == []


def _places(home: Path) -> list[bytes]:
    content = (home / "audit.anchor").read_bytes()
    assert len(content) == 2 * ANCHOR_BYTES
    return [content[:ANCHOR_BYTES], content[ANCHOR_BYTES:]]


def test_each_command_writes_the_place_of_the_older_anchor(site: Site) -> None:
    before, written = _places(site.home), []
    for _ in range(4):
        site.hsm.keys.generate(site.user, "AES_KEY_GEN", {})
        after = _places(site.home)
        written.append([old != new for old, new in zip(before, after, strict=True)])
        before = after
    assert written[0] != written[1]
    assert written == written[:2] * 2
    assert sorted(written[:2]) == [[False, True], [True, False]]


@pytest.mark.parametrize("commands", [1, 2])
@pytest.mark.parametrize("place", [0, 1])
def test_an_anchor_that_was_torn_leaves_the_one_before(home: Path, commands: int, place: int) -> None:
    with Hsm.open(home) as hsm:
        for _ in range(commands):
            hsm.users.login("cu1", PASSWORDS["cu1"])
    with (home / "audit.anchor").open("r+b") as file:
        file.seek(place * ANCHOR_BYTES + 40)
        file.write(bytes(ANCHOR_BYTES - 40))
    with Hsm.open(home) as hsm:
        assert hsm.status()["healthy"]
        assert _findings(hsm, hsm.users.login("admin", ADMIN_PASSWORD, "admin")) == []


def test_damage_found_while_the_disk_is_full_is_entered_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise StoreFull("the disk is full")

    (home / "audit.anchor").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Transactions, "append_audit", full)
        hsm = Hsm.open(home)
    with hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        opcodes = [entry.opcode for entry in hsm.audit.entries(admin, 1)]
        assert opcodes[-2:] == ["HSM_LOG_BROKEN", "CN_LOGIN"]
        assert [finding.sequence for finding in _findings(hsm, admin)] == [len(opcodes) - 1]
