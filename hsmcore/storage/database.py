"""The HSM's database. Each change is one transaction."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import URL, Connection, Update, delete, insert, inspect, select, text, update

from hsmcore.errors import StateVersion
from hsmcore.storage import audit, keys
from hsmcore.storage.audit import Record, StoredHead
from hsmcore.storage.engine import close, connect, store_errors
from hsmcore.storage.keys import KeyQuery
from hsmcore.storage.rows import QUORUM, UNKNOWN, Change, KeyRow, UserRow, key_subject
from hsmcore.storage.schema import HEAD, HSM, KNOWN, LOGGED, METADATA, USERS


@dataclass(frozen=True, slots=True)
class HsmRow:
    """The stored row of the HSM itself: sealed master key, settings, quorum values and timeouts."""

    master: bytes = field(repr=False)
    settings: bytes
    quorum: bytes
    quorum_version: int


class Journal(Protocol):
    """The source of the audit log's entries for each transaction."""

    def changing(self, changes: Sequence[Change] = ()) -> AbstractContextManager[Record | None]:
        """Yield the entries to write. They count as written when the block ends without an error.

        Args:
            changes: The changes of rows in the transaction, which the entry of the command in progress names.
        """


class Store:
    """The database of one HSM. Every method raises the errors under ``StateError``, and changes nothing then.

    Each change writes the entries of the ``journal``, if there is one, in its transaction.
    """

    def __init__(self, url: str | URL) -> None:
        self._engine = connect(url)
        self._undurable = self._engine.execution_options(durable=False)
        self._log = audit.Appender(self._engine.dialect)
        self.journal: Journal | None = None

    @classmethod
    def in_file(cls, path: Path) -> Self:
        """Return the store in an SQLite file."""
        # Not as text, where ? and # in the path have a meaning.
        return cls(URL.create("sqlite", database=str(path)))

    def close(self) -> None:
        """Close the connection. Every later call raises ``StateError``."""
        with store_errors():
            close(self._engine)

    def exists(self) -> bool:
        """Tell whether the database has an HSM.

        Raises:
            StateVersion: A newer version made it.
        """
        with store_errors(), self._engine.connect() as connection:
            revision = _revision(connection)
            if revision is None:
                return False
            return connection.execute(select(HSM.c.id)).first() is not None

    @classmethod
    def in_memory(cls) -> Self:
        """Return a new store that ends with ``close``."""
        return cls(URL.create("sqlite"))

    def initialize(self, hsm: HsmRow, users: Sequence[UserRow], record: Record) -> None:
        """Create the tables, the HSM, its first users and the first entries of the log, in one transaction."""
        with store_errors(), self._engine.begin() as connection:
            if _revision(connection) is None:
                _create(connection)
            else:
                _migrate(connection, hsm.quorum)
            self._log.append(connection, record)
            values: dict[str, object] = {"id": 1, "master": hsm.master, "settings": hsm.settings}
            values |= {"quorum": hsm.quorum, "quorum_version": hsm.quorum_version}
            connection.execute(insert(HSM).values(values | {"serial": secrets.token_hex(8)}))
            connection.execute(insert(USERS), [_user_values(user) for user in users])

    def has_log(self) -> bool:
        """Tell whether the schema has an audit log."""
        with store_errors(), self._engine.connect() as connection:
            return _revision(connection) in LOGGED

    def migrate(self, quorum: bytes, settings: bytes | None = None, record: Record | None = None) -> None:
        """Migrate an older database to the newest schema, in one transaction.

        Args:
            quorum: Sealed quorum rules for a database without them.
            settings: New sealed settings; ``None`` keeps the old ones.
            record: The first entries of the log; ``None`` writes none.
        """
        with store_errors(), self._engine.connect() as connection:
            current = _revision(connection) == HEAD
        if current and settings is None:
            return
        with store_errors(), self._engine.begin() as connection:
            if not current:
                _migrate(connection, quorum)
            if settings is not None:
                connection.execute(update(HSM).values(settings=settings))
            if record is not None:
                self._log.append(connection, record)

    def master(self) -> bytes:
        """Return the sealed master key, which every schema has."""
        with store_errors(), self._engine.connect() as connection:
            return bytes(connection.execute(select(HSM.c.master)).scalar_one())

    def settings(self) -> bytes:
        """Return the sealed settings, which every schema has."""
        with store_errors(), self._engine.connect() as connection:
            return _blob(connection.execute(text("SELECT settings FROM hsm")).scalar_one())

    def quorum(self) -> tuple[bytes, int]:
        """Return the sealed quorum values and timeouts, and their version."""
        with store_errors(), self._engine.connect() as connection:
            sealed, version = connection.execute(text("SELECT quorum, quorum_version FROM hsm")).one()
            return _blob(sealed), version if isinstance(version, int) and 0 <= version < 2**63 else 0

    def change_quorum(self, quorum: bytes, version: int) -> None:
        """Replace the sealed quorum values and timeouts."""
        with self._changing(Change(QUORUM, version)) as connection:
            connection.execute(update(HSM).values(quorum=quorum, quorum_version=version))

    def newest(self, subject: str) -> Change | None:
        """Return the newest change of a row; ``None`` where there was none."""
        with store_errors(), self._engine.connect() as connection:
            return audit.newest(connection, subject)

    def bind_rows(self, keys_: Sequence[KeyRow], users: Sequence[UserRow]) -> None:
        """Replace rows of an older schema by rows with versions."""
        changes = [*(row.change() for row in keys_), *(row.change() for row in users)]
        with self._changing(*changes) as connection:
            keys.change(connection, keys_)
            for user in users:
                connection.execute(_where(user).values(_user_values(user)))

    def bind_settings(self, settings: bytes, quorum: bytes, version: int) -> None:
        """Replace settings and quorum values of an older schema when all other rows have versions."""
        with self._changing(Change(QUORUM, version)) as connection:
            connection.execute(update(HSM).values(settings=settings, quorum=quorum, quorum_version=version))

    def serial(self) -> str:
        """Return the HSM's serial number, 16 random hexadecimal digits."""
        with store_errors(), self._engine.connect() as connection:
            return str(connection.execute(select(HSM.c.serial)).scalar_one())

    def users(self) -> list[UserRow]:
        """Return all users."""
        with store_errors(), self._engine.connect() as connection:
            return [_user_row(*row) for row in connection.execute(_ALL_USERS)]

    def key(self, handle: int) -> KeyRow | None:
        """Return a token key; ``None`` where it does not exist."""
        with store_errors(), self._engine.connect() as connection:
            return keys.one(connection, handle)

    def keys_after(self, handle: int, limit: int) -> list[KeyRow]:
        """Return the token keys with the next greater handles."""
        with store_errors(), self._engine.connect() as connection:
            return keys.after(connection, handle, limit)

    def find_keys(self, query: KeyQuery, offset: int, limit: int, last: KeyRow | None = None) -> list[KeyRow]:
        """Return a page of the token keys that the query finds, oldest first.

        Args:
            query: The query.
            offset: The number of keys before the page.
            limit: The size of the page.
            last: The key after which to begin; ``None`` for the oldest.
        """
        with store_errors(), self._engine.connect() as connection:
            return keys.page(connection, query, offset, limit, last)

    def labels(self, user: str | None) -> list[tuple[str, str, int]]:
        """Return each label that a user sees with an object class and the number of token keys that have both."""
        with store_errors(), self._engine.connect() as connection:
            return keys.labels(connection, user)

    def shared_with(self, username: str) -> list[KeyRow]:
        """Return the token keys that are shared with a user."""
        with store_errors(), self._engine.connect() as connection:
            return keys.shared_with(connection, username)

    def count_keys(self, query: KeyQuery) -> int:
        """Return the number of token keys that the query finds."""
        with store_errors(), self._engine.connect() as connection:
            return keys.count(connection, query)

    def key_kinds(self) -> dict[tuple[str, str], int]:
        """Return the number of token keys by object class and key type."""
        with store_errors(), self._engine.connect() as connection:
            return keys.kinds(connection)

    def newest_key(self) -> int:
        """Return the time of creation of the newest token key, in ms since 1970."""
        with store_errors(), self._engine.connect() as connection:
            return keys.newest(connection)

    def owned_by(self, owner: str) -> list[int]:
        """Return the handles of the token keys that a user owns."""
        with store_errors(), self._engine.connect() as connection:
            return keys.owned_by(connection, owner)

    def add_user(self, user: UserRow) -> None:
        """Add a user."""
        with self._changing(user.change()) as connection:
            connection.execute(insert(USERS), [_user_values(user)])

    def change_user(self, old: UserRow, new: UserRow) -> None:
        """Replace a user's row."""
        moved = [self._gone(old.change().subject)] if old.role != new.role else []
        with self._changing(*moved, new.change()) as connection:
            connection.execute(_where(old).values(_user_values(new)))

    def delete_user(self, user: UserRow, unshared: Sequence[KeyRow], owned: Sequence[int]) -> None:
        """Delete a user and the keys ``owned``, and replace the rows of the keys that are no longer shared."""
        gone = [self._gone(user.change().subject), *(self._gone(key_subject(handle)) for handle in owned)]
        with self._changing(*gone, *(row.change() for row in unshared)) as connection:
            keys.change(connection, unshared)
            keys.remove(connection, owned)
            connection.execute(delete(USERS).where(USERS.c.username == user.username, USERS.c.role == user.role))

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Add keys, all or none."""
        with self._changing(*(row.change() for row in rows)) as connection:
            keys.add(connection, rows)

    def record(self) -> None:
        """Write the journal's entries and change nothing else."""
        with self._recording() as record:
            if record is not None:
                self.append_audit(record)

    def append_audit(self, record: Record) -> None:
        """Write entries of the audit log and nothing else."""
        engine = self._engine if record.durable else self._undurable
        with store_errors(), engine.begin() as connection:
            self._log.append(connection, record)

    def audit_rows(self, first: int, limit: int) -> list[tuple[object, ...]]:
        """Return the stored rows of the log from a sequence number on, also edited ones."""
        with store_errors(), self._engine.connect() as connection:
            return audit.rows(connection, first, limit)

    def audit_state(self) -> tuple[StoredHead | None, tuple[object, ...] | None]:
        """Return the stored head and the last stored row of the log."""
        with store_errors(), self._engine.connect() as connection:
            return audit.head(connection), audit.last(connection)

    def change_key(self, row: KeyRow) -> None:
        """Replace a key's row."""
        with self._changing(row.change()) as connection:
            keys.change(connection, [row])

    def delete_keys(self, handles: Iterable[int]) -> None:
        """Delete keys, all or none."""
        handles = list(handles)
        with self._changing(*(self._gone(key_subject(handle)) for handle in handles)) as connection:
            keys.remove(connection, handles)

    def reset(self, users: Sequence[UserRow], quorum: bytes, version: int) -> None:
        """Delete every key and every user, add these users, and replace the sealed quorum values and timeouts."""
        kept = [user.change() for user in users] + [Change(QUORUM, version)]
        with self._changing(*kept) as connection:
            audit.end_others(connection, [change.subject for change in kept])
            keys.remove_all(connection)
            connection.execute(delete(USERS))
            connection.execute(insert(USERS), [_user_values(user) for user in users])
            connection.execute(update(HSM).values(quorum=quorum, quorum_version=version))

    def _gone(self, subject: str) -> Change:
        newest = self.newest(subject)
        return Change(subject, newest.version + 1 if newest else 1, live=False)

    @contextmanager
    def _changing(self, *changes: Change) -> Iterator[Connection]:
        """Begin a transaction with the journal's entries, and translate its errors, also those of the commit."""
        with self._recording(changes) as record, store_errors(), self._engine.begin() as connection:
            if record is not None:
                self._log.append(connection, record)
            yield connection

    def _recording(self, changes: Sequence[Change] = ()) -> AbstractContextManager[Record | None]:
        return nullcontext() if self.journal is None else self.journal.changing(changes)


# As text, without conversions: one damaged value would otherwise prevent the reading of all rows.
_ALL_USERS = text(
    "SELECT number, username, role, verifier, failures, mfa_key, quorum_key, users.version,"
    " CASE WHEN live THEN versions.version END"
    " FROM users LEFT JOIN versions ON subject = 'user/' || role || '/' || username"
)


def _blob(value: object) -> bytes:
    """Return a sealed value; one of the wrong type becomes bytes that do not open."""
    return value if isinstance(value, bytes) else b""


def _user_row(
    number: object, username: object, role: object, verifier: object, failures: object, mfa: object, quorum: object,
    version: object, newest: object,
) -> UserRow:  # fmt: skip
    """Return a row; a value of the wrong type becomes one that does not open, or that locks the account."""
    return UserRow(
        number if isinstance(number, int) and 0 <= number < 2**63 else 0,
        str(username),
        str(role),
        verifier if isinstance(verifier, bytes) else b"",
        failures if isinstance(failures, int) and failures >= 0 else sys.maxsize,
        mfa if isinstance(mfa, bytes) or mfa is None else b"",
        quorum if isinstance(quorum, bytes) or quorum is None else b"",
        version if isinstance(version, int) and 0 <= version < 2**63 else 0,
        newest if isinstance(newest, int) else UNKNOWN,
    )


def _user_values(user: UserRow) -> dict[str, object]:
    values = asdict(user)
    del values["newest"]
    return values


def _where(user: UserRow) -> Update:
    return update(USERS).where(USERS.c.username == user.username, USERS.c.role == user.role)


def _revision(connection: Connection) -> str | None:
    """Return the schema's revision; ``None`` for a database without a schema.

    Raises:
        StateVersion: A newer version made the schema.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if revision is not None and revision not in KNOWN:
        raise StateVersion(
            f"the state directory has schema {revision}, which is newer than this version of hsmbridge, which knows "
            f"{HEAD}; use the newer version"
        )
    return None if revision is None else str(revision)


def _create(connection: Connection) -> None:
    """Create the newest schema, which a test compares with that of the migrations."""
    METADATA.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(connection: Connection, quorum: bytes) -> None:
    # Alembic is slow to import and only needed for another schema.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["quorum"] = quorum
    command.upgrade(config, HEAD)
