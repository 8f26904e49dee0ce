"""The content of a backup: written from the rows of one moment, and read back.

The parts are, in this order: one of the HSM itself, some of users, some of keys, and the totals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hsmcore.audit.anchor import opened_head
from hsmcore.backup.format import FULL_PART, PartWriter, Record
from hsmcore.backup.identity import Identity
from hsmcore.backup.records import key_record, read_key, read_user, user_record
from hsmcore.errors import BackupDamaged, StoreDamaged
from hsmcore.primitives.secrecy import KEY_BYTES, hash_password, random_bytes
from hsmcore.quorum.rules import Rules
from hsmcore.settings import Settings
from hsmcore.storage.rows import QUORUM, UNKNOWN, KeyRow, UserRow
from hsmcore.storage.sealing import Domain, Vault
from hsmcore.storage.snapshot import Snapshot
from hsmcore.users.accounts import MAX_FAILURES

_PAGE = 100
"""Keys in one read of the database."""
_NAMED = 100
"""Maximum number of damaged keys that the totals name."""


@dataclass(slots=True)
class Totals:
    """The numbers of users and keys in a backup, and of those that were damaged.

    ``damaged_keys`` are not in the backup; ``damaged`` has the first of their handles. ``damaged_users`` are in it,
    locked and without password and keys.
    """

    users: int = 0
    keys: int = 0
    damaged_users: int = 0
    damaged_keys: int = 0
    damaged: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Whole:
    """The part of a backup about the HSM itself. ``anchor`` is that of the HSM's log at the time.

    ``identity`` is the TLS certificate with its key; older backups have none.
    """

    settings: Settings
    rules: Rules
    domain: Domain
    anchor: str
    identity: Identity


class ContentWriter:
    """Writes the content of one backup."""

    def __init__(self, parts: PartWriter, vault: Vault, step: Callable[[], None], identity: Identity) -> None:
        """Write to these parts.

        Args:
            parts: Writes the parts.
            vault: The HSM's vault.
            step: Called after each row.
            identity: The HSM's TLS certificate with its key.
        """
        self._identity = identity
        self._parts = parts
        self._vault = vault
        self._step = step
        self._totals = Totals()
        self.anchor = ""
        """The anchor of the HSM's log at the time."""

    def write(self, snapshot: Snapshot) -> Totals:
        """Write everything.

        Raises:
            StoreDamaged: Settings or quorum values do not open.
            OSError: The file system refuses.
        """
        self._parts.write(json.dumps({"hsm": self._hsm(snapshot)}))
        for part in _batches(map(self._user, snapshot.users())):
            self._totals.users += len(part)
            self._parts.write(f'{{"users":[{",".join(part)}]}}')
        for part in _batches(map(self._key, _keys(snapshot))):
            self._totals.keys += len(part)
            self._parts.write(f'{{"keys":[{",".join(part)}]}}')
        self._parts.write(json.dumps({"totals": asdict(self._totals)}), last=True)
        return self._totals

    def _hsm(self, snapshot: Snapshot) -> Record:
        row, newest = snapshot.hsm(), snapshot.newest(QUORUM)
        if newest is None or newest.version != row.quorum_version:
            raise StoreDamaged("the stored quorum values are not the newest ones; restore the state directory")
        head = opened_head(snapshot.head(), self._vault)
        self.anchor = head.anchor() if head else ""
        return {
            "settings": json.loads(self._vault.open_settings(row.settings)),
            "quorum": json.loads(self._vault.open_quorum(row.quorum, row.quorum_version)),
            "domain_key": self._vault.domain.key.hex(),
            "anchor": self.anchor,
            "tls": self._identity,
        }

    def _user(self, row: UserRow) -> str | None:
        self._step()
        try:
            if row.version == row.newest:
                return user_record(row, self._vault.open_user(row))
        except StoreDamaged:
            pass
        self._totals.damaged_users += 1
        if row.newest == UNKNOWN:
            return None
        locked = replace(row, failures=MAX_FAILURES + 1, mfa_key=None, quorum_key=None)
        return user_record(locked, hash_password(random_bytes(KEY_BYTES)))

    def _key(self, row: KeyRow) -> str | None:
        self._step()
        try:
            if row.version == row.newest:
                # The columns that repeat attributes are not in the backup, so they are not compared.
                return key_record(row, self._vault.open_key(row))
        except StoreDamaged:
            pass
        self._totals.damaged_keys += 1
        if len(self._totals.damaged) < _NAMED:
            self._totals.damaged.append(row.handle)
        return None


def _keys(snapshot: Snapshot) -> Iterator[KeyRow]:
    last = 0
    while rows := snapshot.keys_after(last, _PAGE):
        yield from rows
        last = rows[-1].handle


def _batches(records: Iterable[str | None]) -> Iterator[list[str]]:
    """Yield the records that are not ``None``, as many at a time as fill a part."""
    batch: list[str] = []
    size = 0
    for record in records:
        if record is None:
            continue
        batch.append(record)
        size += len(record)
        if size >= FULL_PART:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class ContentReader:
    """Reads the content of one backup, a part at a time, and compares it with the totals at its end."""

    def __init__(self, parts: Iterator[Record]) -> None:
        """Read the first part.

        Raises:
            BackupDamaged: The part is damaged, or not of the HSM itself.
        """
        self._parts = parts
        self.hsm = _whole(_field(next(parts, {}), "hsm"))
        self.totals = Totals()
        self.keys_read = 0

    def pages(self) -> Iterator[tuple[list[tuple[UserRow, str]], list[tuple[KeyRow, bytes]]]]:
        """Yield users with their passwords' hashes and keys with their material, then set ``totals``.

        Raises:
            BackupDamaged: A part is damaged, or the parts are not all.
        """
        names: set[tuple[str, str]] = set()
        count = last = 0
        for part in self._parts:
            if "totals" in part:
                self.totals = _totals(part["totals"])
                break
            users, keys = list(map(read_user, _list(part, "users"))), list(map(read_key, _list(part, "keys")))
            names.update((row.username, row.role) for row, _ in users)
            count += len(users)
            for row, _ in keys:
                if row.handle <= last:
                    raise BackupDamaged("the keys of the backup are not in the order of their handles")
                last = row.handle
            self.keys_read += len(keys)
            yield users, keys
        whole = count == len(names) == self.totals.users and self.keys_read == self.totals.keys
        if not whole or next(self._parts, None):
            raise BackupDamaged("the backup does not have the users and keys that its end counts")


def _list(part: Record, name: str) -> list[object]:
    value = part.get(name, [])
    if not isinstance(value, list):
        raise BackupDamaged(f"a part of the backup has no list {name!r}")
    return value


def _field(part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = part.get(name)
    if not isinstance(value, dict):
        raise BackupDamaged(f"a part of the backup has no {name!r}")
    return value


def _whole(record: Mapping[str, Any]) -> Whole:
    try:
        return Whole(
            Settings.decode(json.dumps(record["settings"]).encode()),
            Rules.decode(json.dumps(record["quorum"]).encode()),
            Domain(_domain_key(record["domain_key"])),
            str(record["anchor"]),
            {name: str(text) for name, text in dict(record.get("tls", {})).items()},
        )
    except (StoreDamaged, KeyError, TypeError, ValueError) as error:
        raise BackupDamaged("the backup has settings that this version does not know") from error


def _domain_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError("a domain key has another length")
    return key


def _totals(record: object) -> Totals:
    try:
        totals = Totals(**record)  # type: ignore[arg-type]
        numbers = (totals.users, totals.keys, totals.damaged_users, totals.damaged_keys, *totals.damaged)
    except TypeError as error:
        raise BackupDamaged("the end of the backup is damaged") from error
    if all(type(number) is int and number >= 0 for number in numbers):
        return totals
    raise BackupDamaged("the end of the backup is damaged")
