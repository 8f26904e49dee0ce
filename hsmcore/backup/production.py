"""The production of one backup file: written from the rows of one moment, synced to the disk, and read back.

This process does it, or a process of its own (``hsmcore.backup.worker``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from hsmcore.backup.content import ContentWriter, Totals
from hsmcore.backup.format import Header, PartWriter, read_digest, read_header
from hsmcore.backup.identity import Identity
from hsmcore.backup.opening import open_in_domain, wrapped
from hsmcore.errors import BackupDamaged
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault


@dataclass(frozen=True, slots=True)
class Order:
    """The backup to produce.

    ``key`` is that of the content; ``passphrase`` is ``None`` for that of the HSM. ``identity`` is the HSM's TLS
    certificate with its key.
    """

    name: str
    reason: str
    serial: str
    key: bytes = field(repr=False)
    passphrase: bytes | None = field(default=None, repr=False)
    identity: Identity = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Product:
    """The numbers of a backup that was written and read back. ``anchor`` is that of the HSM's log at the time."""

    totals: Totals
    anchor: str


def produce(file: BinaryIO, store: Store, vault: Vault, order: Order, step: Callable[[], None]) -> Product:
    """Write a backup to an empty file, and compare what the disk has with it.

    Args:
        file: The file.
        store: The database.
        vault: The vault of its master key.
        order: The backup.
        step: Called after each row and each part.

    Raises:
        BackupDamaged: The disk did not return what was written.
        StoreDamaged: Settings or quorum values do not open.
    """
    with store.transactions.snapshot() as snapshot:
        opening = wrapped(order.key, order.name, vault.domain, snapshot.hsm().master, order.passphrase)
        header = Header.of({
            "name": order.name, "created": time.time_ns() // 1_000_000, "reason": order.reason,
            "serial": order.serial, **opening,
        })  # fmt: skip
        file.write(header.encoded)
        parts = PartWriter(file, header, order.key)
        writer = ContentWriter(parts, vault, step, order.identity)
        totals = writer.write(snapshot)
    file.flush()
    os.fsync(file.fileno())
    _read_back(file, vault, parts.digest, step)
    return Product(totals, writer.anchor)


def _read_back(file: BinaryIO, vault: Vault, digest: bytes, step: Callable[[], None]) -> None:
    """Read what the disk has, with the key that a restore gets from the header, and compare it.

    Raises:
        BackupDamaged: It is not what was written.
    """
    # The pages in memory would prove nothing about the disk.
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    file.seek(0)
    header = read_header(file)
    if read_digest(file, header, open_in_domain(header, vault.domain), step) != digest:
        raise BackupDamaged("the backup that was read back is not the one that was written")
