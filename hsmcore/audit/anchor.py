"""The stored position of the audit log: the sealed head in the database, and the anchor, a copy in a file beside it.

A rollback of the database alone does not roll the anchor back.
"""

from __future__ import annotations

from hsmcore.audit.chain import Head, decoded
from hsmcore.storage.audit import StoredHead
from hsmcore.storage.database import Store
from hsmcore.storage.rows import GENESIS, AuditRow
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State


def resumed(store: Store, vault: Vault, anchor: Head | None) -> tuple[Head, str]:
    """Return the head after which the log continues, and a description of damage, empty where there is none.

    The log continues after the furthest of head, anchor and last entry. So a gap remains visible, and no sequence
    number is used twice.
    """
    in_store, last_values = store.audit_state(store.number)
    head = opened_head(in_store, vault)
    last = None if last_values is None else decoded(last_values)[0]
    reboot = max((known.reboot for known in (head, anchor) if known), default=0)
    broken = _difference(store, head, anchor, last)
    furthest = max((known for known in (anchor, head) if known), default=Head(0, 0, GENESIS))
    if last is not None and last.sequence >= furthest.count:
        furthest = Head(last.sequence + 1, 0, last.hash)
    return Head(furthest.count, reboot, furthest.hash), broken


def _difference(store: Store, head: Head | None, anchor: Head | None, last: AuditRow | None) -> str:
    if head is None:
        return "the sealed head is missing or was changed"
    if anchor is None:
        return "the anchor beside the database is missing or was changed"
    if anchor.count > head.count:
        return f"the database was rolled back; entries {head.count:#x} to {anchor.count - 1:#x} are lost"
    return _difference_of_last(head, last) or _difference_of_anchor(store, anchor)


def _difference_of_last(head: Head, last: AuditRow | None) -> str:
    if last is None or last.sequence < head.count - 1:
        return f"the last entries, up to {head.count - 1:#x}, are missing"
    if last.sequence >= head.count:
        return f"entries from {head.count:#x} on are not the HSM's"
    return "" if last.hash == head.hash else f"entry {last.sequence:#x} is not the one that the head seals"


def _difference_of_anchor(store: Store, anchor: Head) -> str:
    rows = store.audit_rows(anchor.count - 1, 1, store.number)
    if rows and decoded(rows[0])[0].hash == anchor.hash:
        return ""
    return f"entry {anchor.count - 1:#x} is not the one of the anchor beside the database"


def opened_head(values: StoredHead | None, vault: Vault) -> Head | None:
    """Return a stored head; ``None`` where it is missing or was changed."""
    if values is None:
        return None
    count, reboot, sealed = values
    if not (isinstance(count, int) and isinstance(reboot, int) and isinstance(sealed, bytes)):
        return None
    if not (0 <= count < 2**63 and 0 <= reboot < 2**63):
        return None
    digest = vault.open_head(count, reboot, sealed)
    return None if digest is None else Head(count, reboot, digest)


def stored(head: Head, vault: Vault) -> StoredHead:
    """Return the stored form of a head."""
    return head.count, head.reboot, vault.seal_head(head.count, head.reboot, head.hash)


def anchored(head: Head, vault: Vault) -> bytes:
    """Return the anchor's bytes: number of entries (8 bytes), reboot counter (8 bytes), the sealed head (60 bytes)."""
    numbers = head.count.to_bytes(8, "big") + head.reboot.to_bytes(8, "big")
    return numbers + vault.seal_head(head.count, head.reboot, head.hash)


def anchor_of(state: State, vault: Vault) -> Head | None:
    """Return the newest genuine anchor; ``None`` where there is none."""
    heads = [
        opened_head((int.from_bytes(place[:8], "big"), int.from_bytes(place[8:16], "big"), place[16:76]), vault)
        for place in state.read_anchors()
    ]
    return max((head for head in heads if head), default=None)
