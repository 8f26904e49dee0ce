"""Transactions of the HSM's database: each change with the audit log's entries, and in a cluster with the turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import local
from typing import Protocol

from sqlalchemy import Connection, Engine, text, update

from hsmcore.storage import audit
from hsmcore.storage.audit import Record
from hsmcore.storage.cluster import Cluster
from hsmcore.storage.engine import close, connect_file, store_errors
from hsmcore.storage.rows import QUORUM_TOKENS, Change
from hsmcore.storage.schema import HSM
from hsmcore.storage.snapshot import Snapshot

Seal = Callable[[], tuple[bytes, int]]
"""Returns sealed quorum tokens and their next version, under the turn."""


class Journal(Protocol):
    """The source of the audit log's entries for each transaction."""

    def changing(self, changes: Sequence[Change] = ()) -> AbstractContextManager[Record | None]:
        """Yield the entries to write. They count as written when the block ends without an error.

        Args:
            changes: The changes of rows in the transaction, which the entry of the command in progress names.
        """


class Transactions:
    """The transactions of one HSM. Each change writes the entries of the ``journal``, if there is one.

    Every method raises the errors under ``StateError``, and changes nothing then.
    """

    def __init__(self, engine: Engine, number: int) -> None:
        """Use a database.

        Args:
            engine: Its engine.
            number: The number of the HSM among those that share the database.
        """
        self._engine = engine
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT") if is_shared(engine) else engine
        self._undurable = engine.execution_options(durable=False)
        self._log = audit.Appender(engine.dialect, number)
        self._number = number
        self._thread = local()
        self.journal: Journal | None = None
        self.cluster: Cluster | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to read from."""
        frozen: Connection | None = getattr(self._thread, "frozen", None)
        with store_errors():
            if frozen is not None:
                yield frozen
                return
            with self._reader.connect() as connection:
                yield connection

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let this thread read one state of a database that several HSMs change, until the block ends."""
        if self.cluster is None:
            yield
            return
        with store_errors(), self._engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
            self._thread.frozen = connection
            try:
                yield
            finally:
                self._thread.frozen = None

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Yield the rows of one moment, on a connection of its own: changes meanwhile are neither seen nor delayed."""
        if is_shared(self._engine):
            lasting = self._engine.execution_options(isolation_level="REPEATABLE READ")
            with store_errors(), lasting.begin() as connection:
                # It holds no lock, and may be idle for longer while its rows are written elsewhere.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                yield Snapshot(connection, self._number)
            return
        engine = connect_file(Path(str(self._engine.url.database)))
        try:
            with store_errors(), engine.begin() as connection:
                yield Snapshot(connection, self._number)
        finally:
            close(engine)

    @property
    def has_turn(self) -> bool:
        """True in a thread that has the turn of the cluster."""
        return self.cluster is not None and self.cluster.turn is not None

    @contextmanager
    def with_quorum_tokens(self, seal: Seal) -> Iterator[None]:
        """Write quorum tokens in the first transaction of this thread in the block, or at its end if it has none."""
        if getattr(self._thread, "seal", None) is not None:
            yield
            return
        self._thread.seal = seal
        try:
            yield
            if self._thread.seal is not None:
                with self.changing():
                    pass
        finally:
            self._thread.seal = None

    def record(self) -> None:
        """Write the journal's entries and change nothing else."""
        with self._recording() as record:
            if record is not None:
                self.append_audit(record)

    def append(self, connection: Connection, record: Record) -> None:
        """Write entries of the audit log in the transaction of a connection."""
        self._log.append(connection, record)

    def append_audit(self, record: Record) -> None:
        """Write entries of the audit log and nothing else."""
        engine = self._engine if record.durable else self._undurable
        with store_errors(), engine.begin() as connection:
            self._log.append(connection, record)

    @contextmanager
    def changing(self, *changes: Change) -> Iterator[Connection]:
        """Begin a transaction with the journal's entries, and translate its errors, also those of the commit."""
        seal, self._thread.seal = getattr(self._thread, "seal", None), None
        tokens = None if seal is None else seal()
        if tokens is not None:
            changes = (*changes, Change(QUORUM_TOKENS, tokens[1]))
        with self._recording(changes) as record, self._transaction(changes) as connection:
            if record is not None:
                self._log.append(connection, record)
            if tokens is not None:
                connection.execute(update(HSM).values(quorum_tokens=tokens[0], quorum_tokens_version=tokens[1]))
            yield connection

    def _transaction(self, changes: Sequence[Change]) -> AbstractContextManager[Connection]:
        return self._alone() if self.cluster is None else self.cluster.transaction(changes)

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with store_errors(), self._engine.begin() as connection:
            yield connection

    def _recording(self, changes: Sequence[Change] = ()) -> AbstractContextManager[Record | None]:
        return nullcontext() if self.journal is None else self.journal.changing(changes)


def is_shared(engine: Engine) -> bool:
    """Tell whether several HSMs can use the database."""
    return engine.dialect.name != "sqlite"
