"""How the HSMs of a cluster agree: one of them changes something at a time, and none uses what another took away.

**Turn.** A command that depends on users, keys or quorum values, and changes them, takes the turn: a row lock in the
database, until its transaction ends. It first applies the changes of the others to its memory. So it decides on the
newest state, and two HSMs cannot both do what only one may.

**Lease.** An HSM may use what is in its memory until its lease ends: 10 seconds, counted from before it was renewed. A
renewal locks the HSM's row, applies the changes of the others, and writes which change was the last.

**Acknowledgement.** A command that changed something returns when every other open HSM has written that it has applied
the change, or when its lease has ended: 10 seconds have passed since this HSM first saw its last renewal. The row is
read under a lock after the commit. So a later renewal finds the change, and an earlier one counts from before that
moment. No clock of another machine is used.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Condition, RLock, Thread, get_ident, local
from typing import Any

from sqlalchemy import Connection, Engine

from hsmcore.errors import HsmError, StateError, StateLocked, StoreDamaged, StoreUnreachable
from hsmcore.storage import members, postgresql
from hsmcore.storage.engine import StoreConflict, close, store_errors
from hsmcore.storage.lease import Lease, clock
from hsmcore.storage.members import APPLIED, CHANGED, CLOSED, LEFT, OPEN, Codes, Member
from hsmcore.storage.requests import Requests
from hsmcore.storage.rows import Change
from hsmcore.storage.timings import ClusterCounts

LEASE = 10.0
"""Seconds from before a renewal of the lease until its end."""
RENEWAL = 2.0
"""Seconds between renewals."""
MARGIN = postgresql.IDLE_SECONDS + 5.0
"""Seconds beyond a lease until a command stops waiting for the other HSMs."""
_TRIES = 5
"""Attempts to take the turn where the database ends a transaction in favour of another."""
_RETRY = 0.25
"""Seconds between attempts to reach the database again."""

_PRUNED = 64
"""Renewals between removals of old requests."""

Apply = Callable[[Sequence[str] | None, bool], None]
"""Applies changes of other HSMs, each as ``Change`` prints it, to the memory; ``None`` stands for any change.

The second argument tells whether the lease had ended."""

_log = logging.getLogger("hsmcore.storage.cluster")


@dataclass(slots=True)
class _Seen:
    """Another HSM as it was seen last, and the time at which this renewal of its lease was first seen."""

    member: Member
    since: float


class Cluster:
    """This HSM as a member of its cluster. All methods may be called from any thread."""

    def __init__(self, engine: Engine, url: str, codes: Codes, number: int, lock: RLock) -> None:
        """Prepare the membership; ``enter`` begins it.

        Args:
            engine: The engine of the HSM's commands.
            url: The database's URL, for connections of the cluster's own.
            codes: Makes the codes of rows.
            number: The HSM's number.
            lock: The HSM's lock, which orders changes of its memory.
        """
        self.lease = Lease()
        self.counts = ClusterCounts()
        self.number = number
        self._engine = engine
        self._url = url
        # Not waiting for the disk: a renewal that a crash of the database loses only makes others wait for longer.
        self._own = postgresql.connect(url, "-c synchronous_commit=off")
        self._codes = codes
        self.requests = Requests(self._own, codes)
        self._lock = lock
        self._apply: Apply = lambda _subjects, _lapsed: None
        self._applied = 0
        self._process = secrets.token_hex(16)
        self._address: str | None = None
        self._held: Connection | None = None
        self._holder = 0
        self._pending = local()
        self._seen: dict[int, _Seen] = {}
        self._news = Condition()
        self._stopped = False
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread: Thread | None = None
        self._channel = "hsmbridge"

    def enter(self) -> None:
        """Write that this process has the HSM, before it reads anything into its memory.

        Raises:
            StateError: The HSM has left the cluster.
            StoreUnreachable: The database does not answer.
        """
        with store_errors(), self._own.begin() as connection:
            known = members.locked(connection, self._codes, self.number)
            if known is not None and known.state == LEFT:
                raise StateError("this HSM has left its cluster; `hsm join` with a new directory makes another")
            known = known or Member(self.number, members.new_name())
            entered = replace(known, process=self._process, state=OPEN, renewals=known.renewals + 1)
            members.put(connection, self._codes, entered)
        with store_errors(), self._own.begin() as connection:
            self._applied = members.last_change(connection)
            self._channel = members.channel(connection)

    def start(self, apply: Apply) -> None:
        """Take the lease, and renew it from now on.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        self._apply = apply
        self._renew()
        self._thread = Thread(target=self._follow, name="hsm-cluster", daemon=True)
        self._thread.start()

    def close(self, state: str = CLOSED) -> None:
        """End the lease and write that the HSM is closed, so that no other waits for it. Has no effect twice."""
        if self._stopped:
            return
        self._stopped = True
        os.write(self._wake_writer, b"\0")
        if self._thread is not None:
            self._thread.join(LEASE)
        self.lease.until, self.lease.reason = 0.0, "it is closed"
        with suppress(HsmError), store_errors(), self._own.begin() as connection:
            own = members.locked(connection, self._codes, self.number)
            if own is not None and own.process == self._process:
                members.put(connection, self._codes, replace(own, state=state, applied=self._applied))
                members.notify(connection, self._channel, APPLIED, self.number)
        close(self._own)
        if self._thread is None or not self._thread.is_alive():
            os.close(self._wake_reader)
            os.close(self._wake_writer)

    def members(self) -> list[Member]:
        """Return the HSMs of the cluster that have not left.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        with store_errors(), self._own.begin() as connection:
            found = members.members(connection, self._codes)
        self._note(found)
        return [member for member in found if member.state != LEFT]

    def set_address(self, address: str) -> None:
        """Tell the cluster where clients reach this HSM."""
        self._address = address
        self._renew()

    def alive(self, member: Member) -> bool:
        """Tell whether an HSM is open and has renewed its lease lately, as far as this HSM has seen."""
        if member.number == self.number:
            return clock() < self.lease.until
        seen = self._seen.get(member.number)
        return member.state == OPEN and seen is not None and clock() < seen.since + LEASE

    def known(self) -> list[tuple[Member, bool]]:
        """Return the other HSMs that have not left, as this HSM saw them last, each with ``alive``."""
        with self._news:
            seen = [one.member for one in self._seen.values() if one.member.state != LEFT]
        return [(member, self.alive(member)) for member in seen]

    def take_turn(self) -> None:
        """Wait until no other HSM changes anything, and apply what the others have changed.

        Raises:
            StoreUnreachable: The database does not answer, or another HSM has the turn for too long.
            StoreConflict: The database ends each transaction in favour of another.
        """
        for attempt in range(_TRIES):
            connection = None
            try:
                with store_errors():
                    connection = self._engine.connect()
                    connection.begin()
                    if members.take_turn(connection) != self._applied:
                        self._catch_up(connection)
            except StoreConflict:
                if connection is not None:
                    connection.close()
                if attempt == _TRIES - 1:
                    raise
                continue
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            self._held, self._holder = connection, get_ident()
            return

    @property
    def turn(self) -> Connection | None:
        """The connection whose transaction has the turn, if this thread has it."""
        return self._held if self._holder == get_ident() else None

    def give_turn(self) -> None:
        """End the turn. Has no effect after a transaction in it."""
        connection, self._held, self._holder = self._held, None, 0
        if connection is not None:
            with suppress(HsmError), store_errors():
                connection.close()

    @contextmanager
    def transaction(self, changes: Sequence[Change]) -> Iterator[Connection]:
        """Yield a connection for one transaction, that of the turn if this thread has it, and tell others of it.

        Raises:
            NotCaughtUp: The lease has ended. Nothing was changed.
            ChangeMade: This thread's request was fulfilled before. Nothing was changed.
            RuntimeError: A method changes something that others may change too, and does not take the turn.
        """
        told = " ".join(str(change) for change in changes if not change.adds_key)
        connection, period = self.turn, self.lease.period
        if connection is None:
            if told:
                raise RuntimeError("a change outside the turn: the method has to take it")
            with self.lease.hurried(), store_errors(), self._engine.begin() as connection:
                self.requests.note(connection, changes)
                yield connection
                self.lease.require(period)
            return
        try:
            with store_errors():
                self.requests.note(connection, changes)
                if told:
                    sequence = self._applied + 1
                    members.announce(connection, self._codes, self._channel, sequence, self.number, told)
                yield connection
                self.lease.require(period)
                connection.commit()
        finally:
            self.give_turn()
        if told:
            self._applied = self._pending.sequence = sequence

    def settle(self) -> None:
        """Wait until every other HSM has applied what this thread has changed, or cannot use its memory any more.

        Raises:
            StoreUnreachable: The database does not answer. The change was made.
            StoreDamaged: An HSM renews its lease without the change.
        """
        sequence: int = getattr(self._pending, "sequence", 0)
        if not sequence:
            return
        self._pending.sequence = 0
        began = clock()
        try:
            with self.lease.hurried():
                self._await(sequence, began + LEASE + MARGIN)
        finally:
            self.counts.acknowledgements.add(clock() - began)

    def _await(self, sequence: int, deadline: float) -> None:
        self._look(deadline)
        while True:
            with self._news:
                ends = [seen.since + LEASE for seen in self._seen.values() if seen.member.lacks(sequence)]
                now = clock()
                last = max(ends, default=0.0)
                if now >= last:
                    return
                if now >= deadline:
                    raise StoreDamaged("another HSM of the cluster has not confirmed the change, which was made")
                told = self._news.wait(min(last - now, RENEWAL))
            if not told:
                with suppress(StateError):
                    self.members()

    def confirm(self, changes: Sequence[Change]) -> None:
        """Wait until this HSM and every other has applied changes that another HSM has made, as ``settle`` does.

        Raises:
            StoreUnreachable: The database does not answer.
            StoreDamaged: An HSM renews its lease without the changes.
        """
        if not all(change.adds_key for change in changes):
            self._renew()
            self._pending.sequence = self._applied
            self.settle()

    def _look(self, deadline: float) -> None:
        """Read the rows of the other HSMs under a lock.

        Raises:
            StoreUnreachable: The database does not answer until the deadline.
        """
        while True:
            try:
                with store_errors(), self._own.begin() as connection:
                    found = members.others(connection, self._codes, self.number)
            except StoreUnreachable:
                if clock() >= deadline:
                    raise
                time.sleep(_RETRY)
            else:
                self._note(found)
                return

    def _note(self, found: Sequence[Member]) -> None:
        with self._news:
            now = clock()
            for member in found:
                if member.number == self.number:
                    continue
                seen = self._seen.get(member.number)
                old = seen.member if seen is not None else None
                if old is not None and (old.process, old.renewals) == (member.process, member.renewals):
                    self._seen[member.number] = _Seen(member, seen.since if seen is not None else now)
                else:
                    self._seen[member.number] = _Seen(member, now)
            self._news.notify_all()

    def _catch_up(self, connection: Connection) -> None:
        """Apply the changes of the other HSMs to the memory."""
        with self._lock:
            last, subjects = members.changes_since(connection, self._codes, self._applied)
            if subjects is None:
                _log.warning("changes of the cluster are missing; the memory is read again")
            lapsed = clock() >= self.lease.until
            self.counts.lapses += lapsed and self.lease.until > 0
            if subjects != [] or lapsed:
                self._apply(subjects, lapsed)
            self.lease.period += lapsed
            self._applied = last

    def _renew(self) -> None:
        """Renew the lease.

        Raises:
            StateLocked: Another process has the HSM.
        """
        began, period = clock(), self.lease.period
        with self.lease.hurried(), store_errors(), self._own.begin() as connection:
            own = members.locked(connection, self._codes, self.number)
            if own is None or own.process != self._process:
                # The reason first: no caller is refused without it.
                self.lease.reason, self.lease.until = f"another process has HSM {self.number}", 0.0
                raise StateLocked(f"another process has HSM {self.number} of the cluster, or its row was edited")
            self._catch_up(connection)
            applied = self._applied
            own = replace(own, address=own.address if self._address is None else self._address)
            members.renewed(connection, self._codes, own, applied)
            # A command of this HSM may have applied the changes when it took its turn, so the row tells what is news.
            if applied != own.applied:
                members.notify(connection, self._channel, APPLIED, self.number)
        if clock() >= self.lease.until and period == self.lease.period:
            # It ended in the meantime.
            self._renew()
            return
        self.counts.database.add(clock() - began)
        self.lease.since, self.lease.until, self.lease.reason = began, began + LEASE, ""

    def _follow(self) -> None:
        """Renew the lease, at once when another HSM has changed something, until ``close``."""
        told = False
        while not self._stopped:
            try:
                with postgresql.listening(self._url, self._channel) as listener:
                    self._renew()
                    told = False
                    self._listen(listener)
            except Exception as error:
                # The lease ends after any error, and the HSM refuses until a renewal succeeds.
                if not told and not self._stopped:
                    self.counts.outages += 1
                    _log.warning("the lease of this HSM cannot be renewed: %s", error)
                told, self.lease.reason = True, str(error)
                select.select([self._wake_reader], [], [], _RETRY)

    def _listen(self, listener: Any) -> None:
        due, renewals = clock() + RENEWAL, 0
        self.members()
        while not self._stopped:
            select.select([listener.fileno(), self._wake_reader], [], [], max(0.0, due - clock()))
            notes = [note.payload.split() for note in listener.notifies(timeout=0)]
            told = {kind for kind, *number in notes if number != [str(self.number)]}
            late = clock() >= due
            if CHANGED in told or late:
                self._renew()
                due, renewals = clock() + RENEWAL, renewals + 1
                if renewals % _PRUNED == 0:
                    self.requests.prune()
            # Also without news, so that ``known`` tells who is alive: each HSM renews in this time.
            if (APPLIED in told or late) and not self._stopped:
                self.members()
