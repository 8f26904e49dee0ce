"""The chain of the audit log's entries, as pure functions of rows, without store or clock.

Each entry has in ``previous`` the hash of the entry before it, its own ``hash`` (SHA-256 over ``previous`` and every
field), and a ``seal`` of that hash under the master key. So a single entry shows whether it was changed, and two
neighbours show whether an entry between them is missing. The sealed head has the number of entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from hsmcore.audit.events import (
    LOG_BROKEN,
    LOG_TYPES,
    OPCODES,
    RESET,
    ROWS_BOUND,
    LogType,
    command_type,
    numbered,
    response_text,
    user_type,
)
from hsmcore.storage.rows import GENESIS, AuditRow, Change, read_changes

_TYPES = tuple({"int": int, "str": str, "bytes": bytes}[str(field.type)] for field in fields(AuditRow))


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The position of the log: number of entries, reboot counter, hash of the last entry. A later one is greater."""

    count: int
    reboot: int
    hash: bytes

    def anchor(self) -> str:
        """Return the text of an anchor to keep elsewhere: the count and the hash in hexadecimal digits."""
        return f"{self.count}:{self.hash.hex()}"


FIRST_HEAD = Head(0, 1, GENESIS)
"""The head of an empty log."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of the log, with the sequence number of its entry; ``None`` for the log as a whole."""

    sequence: int | None
    text: str


class Seals(Protocol):
    """Seals the hashes of entries and checks the seals."""

    def seal_entry(self, sequence: int, digest: bytes) -> bytes:
        """Seal the hash of an entry."""

    def sealed_entry(self, sequence: int, digest: bytes, seal: bytes) -> bool:
        """Tell whether a seal belongs to an entry and its hash."""


def linked(rows: Iterable[AuditRow], head: Head, seals: Seals) -> tuple[list[AuditRow], Head]:
    """Return the entries chained to the head and sealed, and the new head."""
    chained = []
    count, last = head.count, head.hash
    for row in rows:
        bound = replace(row, sequence=count, previous=last)
        last = bound.digest()
        chained.append(replace(bound, hash=last, seal=seals.seal_entry(count, last)))
        count += 1
    return chained, Head(count, head.reboot, last)


def decoded(values: tuple[object, ...]) -> tuple[AuditRow, bool]:
    """Return a stored row as an entry, and whether every value has its original type."""
    whole = all(type(value) is kind for value, kind in zip(values, _TYPES, strict=True))
    return AuditRow(*map(_coerced, values, _TYPES)), whole


def _coerced(value: object, kind: type) -> Any:
    """Return a value of that type in place of any value of an edited row."""
    if type(value) is kind:
        return value
    return str(value) if kind is str else kind()


class Verifier:
    """Follows the chain from the first entry on and collects the faults."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self.newest: dict[str, Change] = {}
        """The newest change of each row, by subject."""
        self.whole = True
        """True until an entry is missing or was changed."""
        self.findings: list[Finding] = []
        self.expected = 0
        """Sequence number of the next entry."""
        self.last: bytes | None = GENESIS
        """Hash of the last entry; ``None`` where it was changed or is missing."""

    def take(self, values: tuple[object, ...]) -> None:
        """Verify the next stored row."""
        row, whole = decoded(values)
        if type(values[0]) is not int or row.sequence < self.expected:
            self._found(None, f"a row is out of place: its sequence number is {str(values[0])[:32]!r}")
            return
        if row.sequence > self.expected:
            self._missing(row.sequence)
        genuine = row.digest() == row.hash and self._seals.sealed_entry(row.sequence, row.hash, row.seal)
        if not whole or not genuine:
            self.whole = False
            self._found(row.sequence, "the entry was changed, or is not the HSM's")
        elif self.last is not None and row.previous != self.last:
            self._found(row.sequence, "the entry does not follow the one before it")
        elif row.opcode == LOG_BROKEN.opcode:
            self._found(row.sequence, f"an opening of the HSM found: {row.detail}")
        if whole and genuine:
            self.note(row)
        self.last = row.hash if whole and genuine else None
        self.expected = row.sequence + 1

    def note(self, row: AuditRow) -> None:
        """Take over the changes of rows that a genuine entry names."""
        changes = read_changes(row.changed)
        if row.opcode == ROWS_BOUND.opcode and any(change.subject in self.newest for change in changes):
            self._found(
                row.sequence, "the settings of an older version were put back: rows got their first version twice"
            )
        if row.opcode == RESET.opcode and changes:
            # An entry without changes is that of a refused command.
            for change in [change for change in self.newest.values() if change.live]:
                self.newest[change.subject] = Change(change.subject, change.version + 1, live=False)
        self.newest.update((change.subject, change) for change in changes)

    def end(self, head: Head) -> None:
        """Compare the last entry with the head."""
        if self.expected < head.count:
            self._missing(head.count)
        elif self.expected > head.count:
            self._found(head.count, f"entries from {head.count:#x} on are beyond the sealed head")
        elif self.last is not None and self.last != head.hash:
            self._found(head.count - 1, "the last entry is not the one that the head seals")

    def _missing(self, sequence: int) -> None:
        self.whole = False
        first, last = self.expected, sequence - 1
        what = f"entry {first:#x} is" if first == last else f"entries {first:#x} to {last:#x} are"
        self._found(first, f"{what} missing")
        self.expected, self.last = sequence, None

    def _found(self, sequence: int | None, text: str) -> None:
        self.findings.append(Finding(sequence, text))


def text_form(entry: AuditRow) -> str:
    """Return the entry as CloudHSM's audit log prints it, one line per field."""
    return "\n".join(_lines(entry)) + "\n"


def _lines(entry: AuditRow) -> Iterator[str]:
    seconds, micros = divmod(entry.time, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    yield f"Time: {moment:%m/%d/%y %H:%M:%S}.{micros:06d}, usecs:{entry.time}"
    yield f"Sequence No : {entry.sequence:#x}"
    yield f"Reboot counter : {entry.reboot:#x}"
    yield f"Command Type(hex) : {command_type(entry.opcode)}"
    yield f"Opcode : {numbered(entry.opcode, OPCODES, '#x')}"
    yield f"Session Handle : {entry.session:#x}"
    yield f"Response : {entry.response}:{response_text(entry.response)}"
    yield f"Log type : {numbered(entry.log_type, LOG_TYPES)}"
    if entry.log_type == LogType.USER.value:
        yield f"User Name : {entry.user_name}"
        yield f"User Type : {user_type(entry.user_type)}"
    elif entry.log_type == LogType.KEY.value:
        yield f"Priv/Secret Key Handle : {entry.secret_handle}"
        yield f"Public Key Handle : {entry.public_handle}"
    elif entry.detail:
        yield f"Detail : {entry.detail}"
