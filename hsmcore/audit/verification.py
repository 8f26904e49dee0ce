"""Verification of the audit log: every entry, the stored rows, and the logs of the other HSMs of a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import RLock

from hsmcore.audit.anchor import anchor_of, opened_head
from hsmcore.audit.chain import Finding, Head, Verifier, decoded
from hsmcore.audit.stored_rows import StoredRows
from hsmcore.errors import AuditAnchorInvalid
from hsmcore.storage.database import Store
from hsmcore.storage.rows import Change
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State

PAGE = 1000
"""Entries in one read."""

_ANCHOR = re.compile(r"[0-9]{1,18}:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of ``verify``: the faults, and the head, whose anchor can be kept elsewhere."""

    head: Head
    findings: Sequence[Finding]


class LogCheck:
    """One verification. ``head`` returns the head of the HSM's log, under its ``lock``."""

    def __init__(
        self, store: Store, vault: Vault, state: State, lock: RLock, head: Callable[[], Head]
    ) -> None:  # fmt: skip
        self._store = store
        self._vault = vault
        self._state = state
        self._lock = lock
        self._head = head
        self._chains: dict[int, Verifier] = {}
        """The entries of each HSM's log that were read, by its number."""

    def verify(self, anchor: str | None) -> Verification:
        """Verify every entry.

        Args:
            anchor: An anchor that was kept elsewhere, with which the log is compared too.

        Raises:
            AuditAnchorInvalid: The text is not an anchor.
        """
        kept = _kept(anchor)
        own = self._store.number
        verifier = self._chains[own] = Verifier(self._vault)
        with self._lock:
            head = self._head()
            in_store = opened_head(self._store.audit_state(own)[0], self._vault)
            beside = anchor_of(self._state, self._vault)
        if in_store != head:
            verifier.findings.append(Finding(None, "the head in the database is not the one that the HSM sealed last"))
        if beside != head:
            verifier.findings.append(Finding(None, "the anchor beside the database is not the one written last"))
        for row in self._all_rows(own, head.count):
            verifier.take(row)
        verifier.end(head)
        findings = [*verifier.findings, *self._of_others(), *self._damaged_rows()]
        if kept is not None and not self._has(kept):
            text = "the log was changed or rolled back since the anchor was made"
            findings.append(Finding(kept.count - 1, text))
        return Verification(head, findings)

    def _of_others(self) -> Iterator[Finding]:
        """Verify the logs of the other HSMs up to their heads of this moment, which have no anchor here."""
        for hsm in self._store.chains():
            if hsm in self._chains:
                continue
            vault = self._vault.of(hsm)
            verifier = self._chains[hsm] = Verifier(vault)
            head = opened_head(self._store.audit_state(hsm)[0], vault)
            if head is None:
                verifier.whole = False
                yield Finding(None, f"HSM {hsm}: the sealed head is missing or was changed")
                continue
            for row in self._all_rows(hsm, head.count):
                verifier.take(row)
            verifier.end(head)
            yield from (replace(finding, text=f"HSM {hsm}: {finding.text}") for finding in verifier.findings)

    def _damaged_rows(self) -> list[Finding]:
        """Compare the stored rows with the changes that the logs name."""
        rows = StoredRows(self._store, self._vault)
        suspects = rows.faults(self._newest())
        if not suspects:
            return []
        with self._lock, self._store.transactions.frozen():
            # Rows may have changed since the heads were read. No row changes under this lock, or in the snapshot.
            for hsm, verifier in self._chains.items():
                for row in self._rows_from(hsm, verifier.expected):
                    verifier.note(decoded(row)[0])
            faults = rows.faults(self._newest(), suspects)
        return [Finding(None, text) for text in faults.values()]

    def _newest(self) -> Mapping[str, Change] | None:
        """Return the newest change of each row in all logs; ``None`` where an entry is missing or was changed."""
        if not all(verifier.whole for verifier in self._chains.values()):
            return None
        newest: dict[str, Change] = {}
        for verifier in self._chains.values():
            for subject, change in verifier.newest.items():
                if subject not in newest or change.version > newest[subject].version:
                    newest[subject] = change
        return newest

    def _rows_from(self, hsm: int, first: int) -> Iterator[tuple[object, ...]]:
        while page := self._store.audit_rows(first, PAGE, hsm):
            yield from page
            first += len(page)

    def _all_rows(self, hsm: int, count: int) -> Iterator[tuple[object, ...]]:
        """Yield the stored rows before entry ``count``, and rows that are out of place."""
        first = -(2**63)
        while True:
            page = self._store.audit_rows(first, PAGE, hsm)
            for row in page:
                if type(row[0]) is int and row[0] >= count and self._written_since(hsm, row[0]):
                    return
                yield row
            if len(page) < PAGE or type(page[-1][0]) is not int:
                return
            first = page[-1][0] + 1

    def _written_since(self, hsm: int, sequence: int) -> bool:
        """Tell whether an HSM has written an entry since its head was read."""
        if hsm == self._store.number:
            with self._lock:
                return sequence < self._head().count
        head = opened_head(self._store.audit_state(hsm)[0], self._vault.of(hsm))
        return head is not None and sequence < head.count

    def _has(self, anchor: Head) -> bool:
        if anchor.count == 0:
            return True
        rows = self._store.audit_rows(anchor.count - 1, 1, self._store.number)
        return bool(rows) and decoded(rows[0])[0].sequence == anchor.count - 1 and rows[0][-2] == anchor.hash


def _kept(anchor: str | None) -> Head | None:
    if anchor is None:
        return None
    if not _ANCHOR.fullmatch(anchor):
        raise AuditAnchorInvalid("an anchor is a number, a colon and 64 hexadecimal digits, as verify prints it")
    count, _, digest = anchor.partition(":")
    return Head(int(count), 0, bytes.fromhex(digest))
