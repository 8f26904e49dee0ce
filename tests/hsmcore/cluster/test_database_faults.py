"""The database of a cluster ends, fails over, fills its disk, or is away for a while."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hsmcore.errors import StateError, StoreFull
from tests.conftest import Tally, repeated
from tests.hsmcore.conftest import PASSWORDS
from tests.postgresql import Server, Standby
from tests.requirements import missing

from .actor import LEASE, Actor
from .conftest import make_cluster

ENGINES = ("postgresql",)
SECONDS = repeated(3, 5)
ROUNDS = repeated(1, 2, "HSMBRIDGE_DATABASE_KILLS")
FAILOVERS = repeated(1, 2, "HSMBRIDGE_FAILOVERS")


class Load:
    """Two HSMs whose user makes, changes and destroys keys."""

    def __init__(self, homes: tuple[Path, ...]) -> None:
        self.hsms = [Actor(home) for home in homes]
        self.users = [hsm.login("cu1", PASSWORDS["cu1"]) for hsm in self.hsms]
        self.made: dict[int, str] = {}
        self.named: dict[int, str] = {}
        self.destroyed: set[int] = set()
        self.counts: Counter[str] = Counter()

    def work(self, number: int, seconds: float) -> list[threading.Thread]:
        """Begin to work at each HSM for some time."""
        threads = [
            threading.Thread(target=self._work_at, args=(at, f"{number}-{at}", seconds)) for at in range(len(self.hsms))
        ]
        for thread in threads:
            thread.start()
        return threads

    def _work_at(self, at: int, prefix: str, seconds: float) -> None:
        made, named, destroyed, counts = self.hsms[at]("work", self.users[at].number, prefix, seconds)
        self.made |= made
        self.named |= named
        self.destroyed |= destroyed
        self.counts.update(counts)

    def check(self) -> None:
        """Everything acknowledged is there, and nothing twice, at both HSMs; their logs are whole."""
        for hsm, user in zip(self.hsms, self.users, strict=True):
            found = {record.handle: record.attributes["LABEL"] for record in hsm("keys.find", user, {})}
            assert not self.destroyed & found.keys(), "a destroyed key is there"
            for handle, label in self.made.items():
                if handle not in self.destroyed:
                    assert found[handle] == self.named.get(handle, label)
            labels = Counter(found.values())
            assert max(labels.values()) == 1, labels.most_common(3)

    def close(self) -> None:
        for hsm in self.hsms:
            hsm.close()


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that the test may kill; it waits for the disk as a real one does."""
    started = Server()
    try:
        yield started
    finally:
        started.close()


def _ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(90)
        assert not thread.is_alive()


@pytest.mark.long
def test_a_database_that_is_killed_in_the_middle_of_changes(tmp_path: Path, own: Server, tally: Tally) -> None:
    """It is back after a moment, and both HSMs go on without a restart."""
    homes = (tmp_path / "one", tmp_path / "two")
    make_cluster(homes, own.url("postgres"))
    load = Load(homes)
    try:
        for number in range(ROUNDS):
            threads = load.work(number, SECONDS)
            time.sleep(SECONDS / 3)
            own.kill()
            own.start()
            _ended(threads)
            load.check()
        assert min(load.counts["made"], load.counts["destroyed"], load.counts["refused"]) > 0, load.counts
    finally:
        load.close()
    tally(f"database killed {ROUNDS} times, nothing lost").update(load.counts)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_primary_that_is_killed_and_a_standby_that_is_promoted(tmp_path: Path, tally: Tally) -> None:
    """The standby is synchronous. The HSMs find it by the other host of their URL."""
    counts: Counter[str] = Counter()
    for number in range(FAILOVERS):
        root = tmp_path / str(number)
        primary = Server()
        standby = None
        load = None
        try:
            standby = Standby(primary)
            url = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres?sslmode=disable"
            homes = (root / "one", root / "two")
            make_cluster(homes, url)
            primary.settle_on_standby()
            load = Load(homes)
            threads = load.work(number, SECONDS)
            time.sleep(SECONDS / 3)
            primary.kill()
            standby.promote()
            _ended(threads)
            # What was acknowledged before the end of the primary, and what was after.
            _ended(load.work(number + FAILOVERS, SECONDS / 2))
            load.check()
            counts.update(load.counts)
        finally:
            if load is not None:
                load.close()
            for server in (standby, primary):
                if server is not None:
                    server.close()
    assert counts["made"] > 0
    tally(f"primary killed and standby promoted {FAILOVERS} times, nothing lost").update(counts)


class Relay:
    """Carries connections to a server, and nothing while it is paused."""

    def __init__(self, port: int) -> None:
        self.running = threading.Event()
        self.running.set()
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.running.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.running.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.long
def test_loaded_keys_are_used_while_the_database_is_away_for_less_than_a_lease(tmp_path: Path, own: Server) -> None:
    relay = Relay(own.port)
    homes = (tmp_path / "one",)
    make_cluster(homes, own.url("postgres").replace(str(own.port), str(relay.port)))
    hsm = Actor(homes[0])
    try:
        user = hsm.login("cu1", PASSWORDS["cu1"])
        key = hsm("keys.generate", user, "AES_KEY_GEN", {"TOKEN": True}).handle
        hsm("crypto.encrypt", user, key, "AES_GCM", None, b"text")
        hsm.send("until", user.number, key, LEASE * 1.5)
        relay.running.clear()
        time.sleep(LEASE / 3)
        relay.running.set()
        assert [outcome for _, outcome in hsm.received()] == ["used"]
    finally:
        hsm.close()
        relay.close()


@pytest.fixture
def small_disk(own: Server) -> Iterator[Path]:
    """A directory with a file system of 16 MiB, which the server's user can reach."""
    folder = own.root / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        missing(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.long
def test_a_full_disk_of_the_database(tmp_path: Path, own: Server, small_disk: Path) -> None:
    """Changes are refused and say why; keys can be used; all works again when there is room."""
    own.tablespace("small", small_disk)
    homes = (tmp_path / "one", tmp_path / "two")
    make_cluster(homes, own.url("postgres").replace("?", "?options=-cdefault_tablespace%3Dsmall&"))
    hsms = [Actor(home) for home in homes]
    try:
        users = [hsm.login("cu1", PASSWORDS["cu1"]) for hsm in hsms]
        key = hsms[0]("keys.generate", users[0], "AES_KEY_GEN", {"TOKEN": True}).handle
        filler = small_disk / "filler"
        _fill(filler)
        refused: StateError | None = None
        for _ in range(400):
            try:
                hsms[0]("keys.generate", users[0], "AES_KEY_GEN", {"TOKEN": True, "LABEL": "x" * 100})
            except StateError as error:
                refused = error
                break
        assert isinstance(refused, StoreFull), refused
        for hsm, user in zip(hsms, users, strict=True):
            assert hsm("crypto.encrypt", user, key, "AES_GCM", None, b"text")
        filler.unlink()
        deadline = time.monotonic() + 30
        while True:
            try:
                hsms[1]("keys.destroy", users[1], key)
                break
            except StateError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        for hsm in hsms:
            hsm.close()


def _fill(file: Path) -> None:
    try:
        with file.open("wb") as opened:
            while True:
                opened.write(os.urandom(4096))
                opened.flush()
    except OSError:
        return


@pytest.mark.parametrize("days", [1, pytest.param(-1, marks=pytest.mark.long)])
def test_a_clock_that_jumps(tmp_path: Path, server: Server, days: int) -> None:
    """Leases and acknowledgements count on a clock that nobody sets."""
    homes = (tmp_path / "one", tmp_path / "two")
    make_cluster(homes, server.new())
    hsms = [Actor(home) for home in homes]
    try:
        users = [hsm.login("cu1", PASSWORDS["cu1"]) for hsm in hsms]
        hsms[0]("jump", days * 86400.0)
        for at in (0, 1, 0, 1):
            key = hsms[at]("keys.generate", users[at], "AES_KEY_GEN", {"TOKEN": True}).handle
            assert hsms[1 - at]("crypto.encrypt", users[1 - at], key, "AES_GCM", None, b"text")
            hsms[at]("keys.destroy", users[at], key)
        for hsm in hsms:
            assert [member.alive for member in hsm("members")] == [True, True]
    finally:
        for hsm in hsms:
            hsm.close()
