"""The audit log: an entry for each command, written before its effect or in the same transaction.

A command begins when a method that is ``audited`` (``hsmcore.api.guard``) is called, and has one entry: with success,
in the method's first transaction or before its result is returned; or with the error of the method. A command whose
entry cannot be written is refused. The one exception is the end of a session, which must not be delayed: its entry
waits in memory and is written with a later one.

Threads that wait for the disk at the same time write their entries together. An entry about session keys alone is
handed to the operating system without a wait for the disk, so it survives the end of this process. A power cut ends the
session keys and may lose the entry too; the anchor then shows this at the next opening.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock, local

from hsmcore.audit.anchor import anchor_of, anchored, opened_head, resumed, stored
from hsmcore.audit.chain import FIRST_HEAD, Head, decoded, linked
from hsmcore.audit.commands import Command, event_of
from hsmcore.audit.events import LOG_BROKEN, Event, LogType, response_of
from hsmcore.audit.verification import PAGE, LogCheck, Verification
from hsmcore.errors import (
    ChangeMade,
    HsmError,
    NotCaughtUp,
    RequestError,
    StateLocked,
    StoreFull,
    StoreUnreachable,
    Unauthenticated,
)
from hsmcore.sessions.session import Session, Sessions
from hsmcore.storage.audit import Record
from hsmcore.storage.database import Store
from hsmcore.storage.lease import Lease
from hsmcore.storage.rows import AuditRow, Change
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State
from hsmcore.tables.attributes import PUBLIC

_NO_COMMAND = (RequestError, Unauthenticated, StoreFull, StateLocked, StoreUnreachable, NotCaughtUp, ChangeMade)
"""Errors without an entry: requests without a session, entries that cannot be written, changes that have an entry."""

_log = logging.getLogger("hsmcore.audit.log")


class AuditLog:
    """The log of one HSM. All methods may be called from any thread."""

    def __init__(
        self, store: Store, vault: Vault, state: State, sessions: Sessions, *, start: bool
    ) -> None:  # fmt: skip
        """Continue the log of an HSM.

        Args:
            store: The database, which writes the entries.
            vault: The vault of its master key.
            state: The state directory, which has the anchor.
            sessions: The sessions, which this numbers.
            start: Count a reboot.
        """
        self._store = store
        self._vault = vault
        self._state = state
        self._sessions = sessions
        self._lock = RLock()
        self._thread = local()
        self._waiting: list[Command] = []
        self._owed: list[Command] = []
        """Commands that have ended, and whose entries could not be written yet."""
        self._in_doubt = False
        self._broken = ""
        self.lease: Lease | None = None
        """The lease of an HSM of a cluster; ``None`` for an HSM alone."""
        self.known_user: Callable[[str, str], bool] = lambda *_: False
        """Tells whether a user with a name and role exists; ``Accounts`` sets it."""
        self._head = self._opened(start)
        sessions.number_after(self._head.count)
        store.transactions.journal = self

    def _opened(self, start: bool) -> Head:
        """Return the head to continue after. Writes an entry about any damage, and counts a reboot at a start.

        The first opening is a start too: the first counter then has the entries of the initialisation only.
        """
        head, broken = resumed(self._store, self._vault, anchor_of(self._state, self._vault))
        if not start and not broken and head.reboot > FIRST_HEAD.reboot:
            return head
        head = Head(head.count, head.reboot + 1, head.hash)
        self._broken = broken
        owed = []
        if broken:
            _log.error("the audit log is not as it was left: %s", broken)
            owed = [Command(LOG_BROKEN, 0, detail=broken)]
        rows, after = linked([command.row(head.reboot) for command in owed], head, self._vault)
        try:
            self._store.transactions.append_audit(Record(rows, stored(after, self._vault)))
        except StoreFull:
            _log.warning("the audit log cannot be written; every command is refused until it can be")
            self._in_doubt = True
            self._owed.extend(owed)
            return head
        self._state.write_anchor(anchored(after, self._vault))
        return after

    @property
    def head(self) -> Head:
        """The position of the log."""
        return self._head

    @property
    def count(self) -> int:
        """The number of entries."""
        return self._head.count

    @property
    def trouble(self) -> str:
        """A description of the log's trouble; empty where there is none."""
        if self._in_doubt or self._owed:
            return "the audit log could not be written the last time"
        return f"the audit log was not as it had been left: {self._broken}" if self._broken else ""

    @contextmanager
    def command(self, event: Event, arguments: Mapping[str, object]) -> Iterator[None]:
        """Run the block as a command. A command inside another has no entry of its own.

        Args:
            event: The kind of command.
            arguments: The arguments of the method by name.

        Raises:
            HsmError: The block raised it.
        """
        if self._current() is not None:
            yield
            return
        self.require_current()
        command = self._thread.command = self._begun(event, arguments)
        try:
            yield
            self.record()
        except HsmError as error:
            if not isinstance(error, _NO_COMMAND):
                self._refused(command, error)
            raise
        finally:
            self._thread.command = None
            self._store.settle()

    @property
    def period(self) -> int:
        """The period of the lease, for ``require_current``."""
        return 0 if self.lease is None else self.lease.period

    def require_current(self, period: int | None = None) -> None:
        """Check that this HSM knows every change of its cluster.

        Args:
            period: The period of the lease at the beginning of what is checked; ``None`` for the present one.

        Raises:
            NotCaughtUp: It may not.
        """
        if self.lease is not None:
            self.lease.require(self.lease.period if period is None else period)

    def _begun(self, event: Event, arguments: Mapping[str, object]) -> Command:
        session, key = arguments.get("session"), arguments.get(event.key)
        handle = key if isinstance(key, int) and 0 < key < 2**63 else 0
        if not isinstance(session, Session):
            name, role = str(arguments.get("username", "")), str(arguments.get("role", ""))
            return Command(event, self._sessions.next_number(), name, role, handle)
        # A command about users that names none concerns the session's user.
        own = (session.username, session.role) if event.log_type is LogType.USER else ("", "")
        name, role = str(arguments.get("username", own[0])), str(arguments.get("role", own[1]))
        return Command(event, session.number, name, role, handle, by=session)

    def _refused(self, command: Command, error: HsmError) -> None:
        response = response_of(error)
        if not self.known_user(command.user_name, command.role):
            # A password may have been typed in place of a name.
            command.user_name = ""
        if command.written != response:
            command.response, command.written = response, None
            self.record()

    def refuse(self, error: HsmError) -> None:
        """Set the error of the command in progress, which changes something although it fails."""
        self._required().response = response_of(error)

    def concerns(self, handles: Mapping[int, str], *, token_key: bool) -> None:
        """Set the keys that the command in progress creates or changes.

        Args:
            handles: The OBJECT_CLASS by handle, of one key or of both keys of a pair.
            token_key: Whether one is a token key.
        """
        command = self._required()
        public = [handle for handle, object_class in handles.items() if object_class == PUBLIC]
        others = [handle for handle in handles if handle not in public]
        command.secret_handle = (others or public or [0])[0]
        command.public_handle = public[0] if public and others else 0
        command.token_key = token_key

    def describe(self, detail: str) -> None:
        """Set the detail of the command in progress."""
        self._required().detail = detail

    @contextmanager
    def separately(self) -> Iterator[None]:
        """Run the block outside the command in progress, so that commands in it have entries of their own."""
        outer, self._thread.command = self._current(), None
        try:
            yield
        finally:
            self._thread.command = outer

    def concerns_token_key(self) -> None:
        """Note that the key of the command in progress is a token key; its row is damaged."""
        self._required().token_key = True

    def concerns_nothing(self) -> None:
        """Note that the command in progress needs no entry."""
        command = self._required()
        command.written = command.response

    @property
    def session_number(self) -> int:
        """The session number of the command in progress."""
        return self._required().session

    def record(self, *, durable: bool = True) -> None:
        """Write the entry of the command in progress, unless it is written.

        Args:
            durable: Wait until the entry is on the disk.

        Raises:
            StoreFull: The disk is full.
            NotCaughtUp: This HSM may not know every change of its cluster.
        """
        command = self._required()
        command.durable = durable
        if command.written is None:
            self._waiting.append(command)
            try:
                with self._lock:
                    # Another thread may have written it in the transaction of its own entry.
                    if command.written is None:
                        self._store.transactions.record()
            finally:
                self._waiting.remove(command)
            self.require_current()

    def record_end_later(self, how: str, session: Session) -> None:
        """Write the entry of a session's end with a later entry."""
        self._owed.append(Command(event_of(how), session.number, session.username, session.role))

    def record_end(self, how: str, *sessions: Session) -> None:
        """Write the entries of the ends of sessions, now or with a later entry.

        Args:
            how: The row in ``EVENTS``.
            sessions: The sessions, at least one.
        """
        event = event_of(how)
        try:
            with self.separately(), self._lock:
                self._owed.extend(Command(event, ended.number, ended.username, ended.role) for ended in sessions)
                self._store.transactions.record()
        except HsmError as error:
            numbers = ", ".join(f"{ended.number:#x}" for ended in sessions)
            _log.error("the end of session %s is not in the audit log yet: %s", numbers, error)

    @contextmanager
    def changing(self, changes: Sequence[Change] = ()) -> Iterator[Record | None]:
        """Yield the entries of all threads that wait, for the store's next transaction; ``None`` for none.

        Args:
            changes: The changes of rows in the transaction, which the entry of the command in progress names.
        """
        with self._lock:
            commands = self._unwritten(changes)
            if self._in_doubt:
                self._head = max(
                    self._head, opened_head(self._store.audit_state(self._store.number)[0], self._vault) or self._head
                )
            rows, head = linked([command.row(self._head.reboot) for command in commands], self._head, self._vault)
            durable = any(command.durable for command in commands)
            try:
                yield Record(rows, stored(head, self._vault), durable, changes) if rows else None
            except BaseException:
                # A commit can fail after everything was written; the head is then read again from the store.
                self._in_doubt = True
                raise
            self._in_doubt = False
            for command in commands:
                command.written = command.response
            self._owed.clear()
            if rows:
                self._head = head
                self._state.write_anchor(anchored(head, self._vault))

    def _unwritten(self, changes: Sequence[Change]) -> list[Command]:
        current = self._current()
        if current is None and (changes or not self._owed):
            raise RuntimeError("a change outside a command: the table EVENTS needs a row for this method")
        if current is not None:
            current.changed = " ".join(map(str, changes))
            if changes:
                # A second transaction of the same command has an entry of its own.
                current.written = None
        commands = [*self._owed, *self._waiting]
        if current is not None and current not in commands:
            commands.append(current)
        return [command for command in commands if command.written is None]

    def _current(self) -> Command | None:
        command: Command | None = getattr(self._thread, "command", None)
        return command

    def _required(self) -> Command:
        command = self._current()
        if command is None:
            raise RuntimeError("no command is in progress: the table EVENTS needs a row for this method")
        return command

    def entries(self, first: int, limit: int) -> list[AuditRow]:
        """Return at most ``PAGE`` entries from a sequence number on; a ``limit`` above 0 is a smaller maximum."""
        size = min(limit or PAGE, PAGE)
        return [decoded(row)[0] for row in self._store.audit_rows(max(first, 0), size, self._store.number)]

    def verify(self, anchor: str | None = None) -> Verification:
        """Verify every entry, and those of the other HSMs of a cluster.

        Args:
            anchor: An anchor that was kept elsewhere, with which the log is compared too.

        Raises:
            AuditAnchorInvalid: The text is not an anchor.
        """
        return LogCheck(self._store, self._vault, self._state, self._lock, lambda: self._head).verify(anchor)
