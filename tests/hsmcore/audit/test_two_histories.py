"""Two histories of one HSM, both genuine: a mix of them is found, at the opening and by a verification."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.audit.chain import Finding
from hsmcore.sessions.session import Session
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, make_site

ENGINES = ("sqlite",)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_site(tmp_path_factory.mktemp("histories") / "hsm")
    made.hsm.close()
    return made.home


@dataclass(frozen=True)
class Histories:
    """Two copies of an HSM and the sequence number of the first entry in which they differ."""

    home: Path
    other: Path
    first: int

    def take(self, sequence: int) -> None:
        """Put an entry of the other history in the place of the one with its number."""
        with closing(sqlite3.connect(self.home / "hsm.db")) as connection, connection:
            connection.execute("ATTACH ? AS other", (str(self.other / "hsm.db"),))
            connection.execute("DELETE FROM main.audit WHERE sequence = ?", (sequence,))
            connection.execute("INSERT INTO main.audit SELECT * FROM other.audit WHERE sequence = ?", (sequence,))

    def last(self) -> int:
        with closing(sqlite3.connect(self.home / "hsm.db")) as connection:
            return int(connection.execute("SELECT max(sequence) FROM audit").fetchone()[0])


def _opened(home: Path, *names: str) -> int:
    """Open an HSM, log these users in, and return how many entries it had before."""
    with Hsm.open(home) as hsm:
        before = hsm.statistics().audit_entries
        for name in names:
            hsm.users.login(name, PASSWORDS[name])
    return before


@pytest.fixture
def histories(closed: Path, tmp_path: Path) -> Histories:
    homes = [Path(shutil.copytree(closed, tmp_path / name)) for name in ("one", "other")]
    first = _opened(homes[0], "cu1")
    assert _opened(homes[1], "cu2", "cu2", "cu2") == first
    return Histories(homes[0], homes[1], first)


def _found(home: Path) -> tuple[bool, list[Finding]]:
    """Open an HSM; return whether the opening found it whole, and what a verification finds."""
    with Hsm.open(home) as hsm:
        healthy = bool(hsm.status()["healthy"])
        return healthy, list(hsm.audit.verify(hsm.users.login("admin", ADMIN_PASSWORD, "admin")).findings)


def test_each_history_alone_is_whole(histories: Histories) -> None:
    for home in (histories.home, histories.other):
        assert _found(home) == (True, [])


def test_an_entry_of_the_other_history_is_found(histories: Histories) -> None:
    """The entry follows the one before it. The entry after it does not follow it."""
    histories.take(histories.first)
    _, findings = _found(histories.home)
    assert [finding.sequence for finding in findings] == [histories.first + 1]


def test_the_other_historys_last_entry_is_found_at_the_opening(histories: Histories) -> None:
    histories.take(histories.last())
    healthy, findings = _found(histories.home)
    assert not healthy
    assert findings


@dataclass(frozen=True)
class Running:
    """A running HSM, a session of its admin, and a history that goes on from the HSM's last entry."""

    hsm: Hsm
    admin: Session
    histories: Histories

    def found(self) -> list[int | None]:
        return [finding.sequence for finding in self.hsm.audit.verify(self.admin).findings]


@pytest.fixture
def running(closed: Path, tmp_path: Path) -> Iterator[Running]:
    home, other = (Path(shutil.copytree(closed, tmp_path / name)) for name in ("one", "other"))
    with Hsm.open(home) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        with closing(sqlite3.connect(home / "hsm.db")) as here, closing(sqlite3.connect(other / "hsm.db")) as there:
            here.backup(there)
        shutil.copy(home / "audit.anchor", other)
        assert _opened(other, "cu2") == hsm.statistics().audit_entries
        yield Running(hsm, admin, Histories(home, other, hsm.statistics().audit_entries))


def test_a_last_entry_that_is_exchanged_while_the_hsm_runs_is_found(running: Running) -> None:
    running.hsm.users.login("cu1", PASSWORDS["cu1"])
    assert running.found() == []
    running.histories.take(running.histories.first)
    assert running.found() == [running.histories.first]


def test_entries_that_go_on_beyond_the_head_are_found(running: Running) -> None:
    assert running.found() == []
    running.histories.take(running.histories.first)
    assert running.found() == [running.histories.first]


Exchange = Callable[[Histories], object]
EXCHANGES: dict[str, Exchange] = {
    "a longer history": lambda histories: shutil.copy(histories.other / "hsm.db", histories.home),
    "a shorter history": lambda histories: shutil.copy(histories.home / "hsm.db", histories.other),
}


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_the_other_database_beside_this_anchor_is_found(histories: Histories, exchange: Exchange) -> None:
    changed = Path(str(exchange(histories))).parent
    healthy, findings = _found(changed)
    assert not healthy
    assert findings


def test_a_reboot_that_was_rolled_back_is_counted(histories: Histories) -> None:
    """No reboot counter is given twice, to the lost entries and to those after them."""
    kept = shutil.copy(histories.home / "hsm.db", histories.home / "kept.db")
    reboots = []
    for _ in range(3):
        with Hsm.open(histories.home) as hsm:
            admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
            reboots.append(hsm.audit.entries(admin, hsm.statistics().audit_entries - 1)[0].reboot)
        shutil.copy(kept, histories.home / "hsm.db")
    assert reboots == [reboots[0], reboots[0] + 1, reboots[0] + 2]
