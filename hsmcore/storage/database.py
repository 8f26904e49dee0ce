"""The HSM's database. Each change is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Self

from sqlalchemy import Connection, Engine, delete, insert, select, text, update

from hsmcore.errors import Unauthenticated
from hsmcore.storage import audit, keys, postgresql, users
from hsmcore.storage.audit import Record, StoredHead
from hsmcore.storage.cluster import Cluster
from hsmcore.storage.engine import close, connect_file, connect_memory, store_errors
from hsmcore.storage.keys import KeyQuery, Position
from hsmcore.storage.members import Codes, Member, added
from hsmcore.storage.revisions import migrate, revision_of
from hsmcore.storage.rows import QUORUM, QUORUM_TOKENS, Change, KeyRow, UserRow, key_subject
from hsmcore.storage.schema import HEAD, HSM, LOGGED, USERS
from hsmcore.storage.snapshot import HsmRow, blob, quorum
from hsmcore.storage.transactions import Transactions, is_shared

_QUORUM_TOKENS = text(
    "SELECT quorum_tokens, quorum_tokens_version,"
    " coalesce((SELECT version FROM versions WHERE subject = :subject), 0) FROM hsm"
)
FIRST_HSM = 1
"""The number of the HSM that was initialised in a database."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a new HSM: rows, and the entries of the log that name them."""

    record: Record
    users: Sequence[UserRow] = ()
    keys: Sequence[KeyRow] = ()


@dataclass(frozen=True, slots=True)
class Resealed:
    """Rows with the same content and a new seal, and new seals of entries of the log by sequence number."""

    users: Sequence[UserRow] = ()
    keys: Sequence[KeyRow] = ()
    seals: Sequence[tuple[int, bytes]] = ()


class Store:
    """The database of one HSM. Every method raises the errors under ``StateError``, and changes nothing then.

    ``transactions`` makes each change, with the entries of the audit log, in one transaction.
    """

    def __init__(self, engine: Engine, number: int = FIRST_HSM, place: str = "") -> None:
        """Use a database.

        Args:
            engine: Its engine.
            number: The number of the HSM among those that share the database.
            place: The URL or the path of the database, for ``found`` in another process; empty in memory.
        """
        self.place = place
        self._engine = engine
        self.number = number
        self.transactions = Transactions(engine, number)

    @classmethod
    def in_file(cls, path: Path) -> Self:
        """Return the store in an SQLite file."""
        return cls(connect_file(path), place=str(path))

    @classmethod
    def in_memory(cls) -> Self:
        """Return a new store that ends with ``close``."""
        return cls(connect_memory())

    @classmethod
    def at(cls, url: str, number: int) -> Self:
        """Return the store of one HSM of a cluster, at a URL of PostgreSQL.

        Raises:
            StateError: The URL cannot be read, or the driver is not installed.
        """
        return cls(postgresql.connect(url), number, url)

    @classmethod
    def found(cls, place: str, number: int) -> Self:
        """Return the store of an HSM at the place of another ``Store``."""
        return cls.at(place, number) if place.startswith(postgresql.SCHEMES) else cls.in_file(Path(place))

    def enter_cluster(self, url: str, codes: Codes, lock: RLock) -> Cluster:
        """Enter the cluster of the database, before anything is read into memory.

        Args:
            url: The database's URL.
            codes: Makes the codes of rows.
            lock: The HSM's lock.

        Raises:
            StateError: The HSM has left the cluster.
        """
        self.transactions.cluster = cluster = Cluster(self._engine, url, codes, self.number, lock)
        cluster.enter()
        return cluster

    @property
    def cluster(self) -> Cluster | None:
        """The HSM's cluster; ``None`` for an HSM alone."""
        return self.transactions.cluster

    def add_member(self, codes: Codes) -> Member:
        """Add an HSM to the cluster of the database."""
        with store_errors(), self._engine.begin() as connection:
            return added(connection, codes)

    def settle(self) -> None:
        """Wait until no other HSM uses what this thread has changed."""
        if self.cluster is not None:
            self.cluster.settle()

    def close(self) -> None:
        """Close the connection. Every later call raises ``StateError``."""
        if self.cluster is not None:
            self.cluster.close()
        with store_errors():
            close(self._engine)

    def exists(self) -> bool:
        """Tell whether the database has an HSM.

        Raises:
            StateVersion: A newer version made it.
        """
        with self.transactions.reading() as connection:
            revision = revision_of(connection)
            if revision is None:
                return False
            return connection.execute(select(HSM.c.id)).first() is not None

    def initialize(self, hsm: HsmRow, parts: Iterable[Part]) -> None:
        """Create the tables, the HSM and its parts, of which one at a time is in memory, in one transaction."""
        with store_errors(), self._engine.begin() as connection:
            migrate(connection, hsm.quorum)
            values: dict[str, object] = {"id": 1, "master": hsm.master, "settings": hsm.settings}
            values |= {"quorum": hsm.quorum, "quorum_version": hsm.quorum_version}
            connection.execute(insert(HSM).values(values | {"serial": secrets.token_hex(8)}))
            for part in parts:
                self.transactions.append(connection, part.record)
                if part.users:
                    connection.execute(insert(USERS), [users.values(user) for user in part.users])
                if part.keys:
                    keys.add(connection, part.keys)

    def has_log(self) -> bool:
        """Tell whether the schema has an audit log."""
        with self.transactions.reading() as connection:
            return revision_of(connection) in LOGGED

    def migrate(self, quorum: bytes, settings: bytes | None = None, record: Record | None = None) -> None:
        """Migrate an older database to the newest schema, in one transaction.

        Args:
            quorum: Sealed quorum rules for a database without them.
            settings: New sealed settings; ``None`` keeps the old ones.
            record: The first entries of the log; ``None`` writes none.
        """
        with self.transactions.reading() as connection:
            current = revision_of(connection) == HEAD
        if current and settings is None:
            return
        with store_errors(), self._engine.begin() as connection:
            if not current:
                migrate(connection, quorum)
            if settings is not None:
                connection.execute(update(HSM).values(settings=settings))
            if record is not None:
                self.transactions.append(connection, record)

    def master(self) -> bytes:
        """Return the sealed master key, which every schema has."""
        with self.transactions.reading() as connection:
            return bytes(connection.execute(select(HSM.c.master)).scalar_one())

    @property
    def stored(self) -> bool:
        """False for a database in memory."""
        return bool(self.place)

    @property
    def shared(self) -> bool:
        """True for a database that several HSMs can use."""
        return is_shared(self._engine)

    def change_master(self, master: bytes) -> None:
        """Replace the sealed master key."""
        with store_errors(), self._engine.begin() as connection:
            connection.execute(update(HSM).values(master=master))

    def reseal(self, hsm: HsmRow, parts: Iterable[Resealed], head: StoredHead) -> None:
        """Replace every seal, in one transaction. The parts must not be read on the store's own connection."""
        with store_errors(), self._engine.begin() as connection:
            connection.execute(update(HSM).values(master=hsm.master, settings=hsm.settings, quorum=hsm.quorum))
            for part in parts:
                users.reseal(connection, part.users)
                keys.reseal(connection, part.keys)
                audit.reseal(connection, self.number, part.seals)
            audit.put_head(connection, self.number, head)

    def settings(self) -> bytes:
        """Return the sealed settings, which every schema has."""
        with self.transactions.reading() as connection:
            return blob(connection.execute(text("SELECT settings FROM hsm")).scalar_one())

    def quorum(self) -> tuple[bytes, int]:
        """Return the sealed quorum values and timeouts, and their version."""
        with self.transactions.reading() as connection:
            return quorum(connection)

    def change_quorum(self, quorum: bytes, version: int) -> None:
        """Replace the sealed quorum values and timeouts."""
        with self.transactions.changing(Change(QUORUM, version)) as connection:
            connection.execute(update(HSM).values(quorum=quorum, quorum_version=version))

    def quorum_tokens(self) -> tuple[bytes, int, int]:
        """Return the sealed quorum tokens of a cluster, their version, and the newest one by the index of versions."""
        with self.transactions.reading() as connection:
            sealed, version, newest = connection.execute(_QUORUM_TOKENS, {"subject": QUORUM_TOKENS}).one()
            return blob(sealed), int(version), int(newest)

    def newest(self, subject: str) -> Change | None:
        """Return the newest change of a row; ``None`` where there was none."""
        with self.transactions.reading() as connection:
            return audit.newest(connection, subject)

    def bind_rows(self, keys_: Sequence[KeyRow], users_: Sequence[UserRow]) -> None:
        """Replace rows of an older schema by rows with versions."""
        changes = [*(row.change() for row in keys_), *(row.change() for row in users_)]
        with self.transactions.changing(*changes) as connection:
            keys.change(connection, keys_)
            for user in users_:
                connection.execute(users.update_of(user).values(users.values(user)))

    def bind_settings(self, settings: bytes, quorum: bytes, version: int) -> None:
        """Replace settings and quorum values of an older schema when all other rows have versions."""
        with self.transactions.changing(Change(QUORUM, version)) as connection:
            connection.execute(update(HSM).values(settings=settings, quorum=quorum, quorum_version=version))

    def serial(self) -> str:
        """Return the HSM's serial number, 16 random hexadecimal digits."""
        with self.transactions.reading() as connection:
            return str(connection.execute(select(HSM.c.serial)).scalar_one())

    def users(self) -> list[UserRow]:
        """Return all users."""
        with self.transactions.reading() as connection:
            return users.every(connection)

    def user(self, username: str, role: str) -> UserRow | None:
        """Return a user; ``None`` where there is none."""
        with self.transactions.reading() as connection:
            return users.one(connection, username, role)

    def hold_user(self, username: str, role: str) -> None:
        """Let no other HSM add a key of a user until the turn ends."""
        if self.cluster is not None and (connection := self.cluster.turn) is not None:
            with store_errors():
                users.hold(connection, username, role)

    def key(self, handle: int) -> KeyRow | None:
        """Return a token key; ``None`` where it does not exist."""
        with self.transactions.reading() as connection:
            return keys.one(connection, handle)

    def keys_after(self, handle: int, limit: int) -> list[KeyRow]:
        """Return the token keys with the next greater handles."""
        with self.transactions.reading() as connection:
            return keys.after(connection, handle, limit)

    def find_keys(self, query: KeyQuery, offset: int, limit: int, last: Position | None = None) -> list[KeyRow]:
        """Return a page of the token keys that the query finds, oldest first.

        Args:
            query: The query.
            offset: The number of keys before the page.
            limit: The size of the page.
            last: The position after which to begin; ``None`` for the oldest.
        """
        with self.transactions.reading() as connection:
            return keys.page(connection, query, offset, limit, last)

    def labels(self, user: str | None) -> list[tuple[str, str, int]]:
        """Return each label that a user sees with an object class and the number of token keys that have both."""
        with self.transactions.reading() as connection:
            return keys.labels(connection, user)

    def shared_with(self, username: str) -> list[KeyRow]:
        """Return the token keys that are shared with a user."""
        with self.transactions.reading() as connection:
            return keys.shared_with(connection, username)

    def count_keys(self, query: KeyQuery) -> int:
        """Return the number of token keys that the query finds."""
        with self.transactions.reading() as connection:
            return keys.count(connection, query)

    def key_kinds(self) -> dict[tuple[str, str], int]:
        """Return the number of token keys by object class and key type."""
        with self.transactions.reading() as connection:
            return keys.kinds(connection)

    def newest_key(self) -> int:
        """Return the time of creation of the newest token key, in ms since 1970."""
        with self.transactions.reading() as connection:
            return keys.newest(connection)

    def owned_by(self, owner: str) -> list[int]:
        """Return the handles of the token keys that a user owns."""
        with self.transactions.reading() as connection:
            return keys.owned_by(connection, owner)

    def add_user(self, user: UserRow) -> None:
        """Add a user."""
        with self.transactions.changing(user.change()) as connection:
            connection.execute(insert(USERS), [users.values(user)])

    def change_user(self, old: UserRow, new: UserRow) -> None:
        """Replace a user's row."""
        moved = [self._gone(old.change().subject)] if old.role != new.role else []
        with self.transactions.changing(*moved, new.change()) as connection:
            connection.execute(users.update_of(old).values(users.values(new)))

    def delete_user(self, user: UserRow, unshared: Sequence[KeyRow], owned: Sequence[int]) -> None:
        """Delete a user and the keys ``owned``, and replace the rows of the keys that are no longer shared."""
        gone = [self._gone(user.change().subject), *(self._gone(key_subject(handle)) for handle in owned)]
        with self.transactions.changing(*gone, *(row.change() for row in unshared)) as connection:
            keys.change(connection, unshared)
            keys.remove(connection, owned)
            connection.execute(delete(USERS).where(USERS.c.username == user.username, USERS.c.role == user.role))

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Add keys, all or none."""
        with self.transactions.changing(*(row.change() for row in rows)) as connection:
            if self.cluster is not None:
                self._require_owners(connection, {row.owner for row in rows})
            keys.add(connection, rows)

    def _require_owners(self, connection: Connection, owners: Iterable[str]) -> None:
        """Check that the owners exist, and let none be deleted by another HSM before the end of the transaction.

        Raises:
            Unauthenticated: One was deleted, which ended the session.
        """
        for owner in owners:
            if not users.share(connection, owner):
                raise Unauthenticated(f"the crypto user {owner!r} was deleted")

    def audit_rows(self, first: int, limit: int, hsm: int) -> list[tuple[object, ...]]:
        """Return the stored rows of an HSM's log from a sequence number on, also edited ones."""
        with self.transactions.reading() as connection:
            return audit.rows(connection, hsm, first, limit)

    def audit_state(self, hsm: int) -> tuple[StoredHead | None, tuple[object, ...] | None]:
        """Return the stored head and the last stored row of an HSM's log."""
        with self.transactions.reading() as connection:
            return audit.head(connection, hsm), audit.last(connection, hsm)

    def chains(self) -> list[int]:
        """Return the numbers of the HSMs that have a log."""
        with self.transactions.reading() as connection:
            return audit.chains(connection)

    def change_key(self, row: KeyRow) -> None:
        """Replace a key's row."""
        with self.transactions.changing(row.change()) as connection:
            keys.change(connection, [row])

    def delete_keys(self, handles: Iterable[int]) -> None:
        """Delete keys, all or none."""
        handles = list(handles)
        with self.transactions.changing(*(self._gone(key_subject(handle)) for handle in handles)) as connection:
            keys.remove(connection, handles)

    def reset(self, first: Sequence[UserRow], quorum: bytes, version: int) -> None:
        """Delete every key and every user, add these users, and replace the sealed quorum values and timeouts."""
        kept = [user.change() for user in first] + [Change(QUORUM, version)]
        with self.transactions.changing(*kept) as connection:
            audit.end_others(connection, [change.subject for change in kept])
            keys.remove_all(connection)
            connection.execute(delete(USERS))
            connection.execute(insert(USERS), [users.values(user) for user in first])
            connection.execute(update(HSM).values(quorum=quorum, quorum_version=version))

    def _gone(self, subject: str) -> Change:
        newest = self.newest(subject)
        return Change(subject, newest.version + 1 if newest else 1, live=False)
