"""Restores a backup into an empty database, as an HSM with a new master key, serial number and audit log.

The HSM has the backup's security domain, so it is a clone of the one that was backed up. A row of one does not open in
the database of the other, because their master keys differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hsmcore.audit.anchor import stored
from hsmcore.audit.chain import FIRST_HEAD, Head, linked
from hsmcore.audit.commands import Command
from hsmcore.audit.events import RESTORE_BEGIN, RESTORE_END, ROWS_BOUND
from hsmcore.backup import identity
from hsmcore.backup.content import ContentReader, Totals
from hsmcore.backup.format import Header, read_header, read_parts
from hsmcore.backup.opening import Credentials, open_with
from hsmcore.primitives.tls_certificates import CertificateFacts
from hsmcore.storage.audit import Record
from hsmcore.storage.database import Part, Store
from hsmcore.storage.rows import QUORUM, Change
from hsmcore.storage.sealing import Vault, new_secret
from hsmcore.storage.snapshot import HsmRow


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore.

    ``serial`` and ``anchor`` are of the HSM that was backed up; ``head`` is of the new log. ``certificate`` is the TLS
    certificate that both have, ``None`` for none.
    """

    name: str
    created: int
    serial: str
    anchor: str
    totals: Totals
    head: Head
    certificate: CertificateFacts | None


class Opened:
    """A backup that was read once, from its first byte to its last."""

    def __init__(self, file: BinaryIO, credentials: Credentials) -> None:
        """Read the backup.

        Raises:
            MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
            BackupDamaged: It is cut short, or was changed, or is not a backup.
            StateVersion: A newer version made it.
        """
        self._file = file
        self.header: Header = read_header(file)
        self._content = file.tell()
        self._key = open_with(self.header, credentials)
        content = self.content()
        for _ in content.pages():
            pass
        self.hsm, self.totals = content.hsm, content.totals

    def content(self) -> ContentReader:
        """Return the content, from its beginning."""
        self._file.seek(self._content)
        return ContentReader(read_parts(self._file, self.header, self._key))


def restore(
    backup: Opened, store: Store, seal: Callable[[bytes], bytes], write_files: Callable[[Head, Vault], None]
) -> Restored:
    """Restore a backup into a database without an HSM, in one transaction.

    Args:
        backup: The backup.
        store: The database.
        seal: Seals the new HSM's secret.
        write_files: Writes the anchor of the new log, and the other files of the new HSM.

    Raises:
        BackupDamaged: The file has changed since it was read.
        StateError: The database cannot be written.
    """
    secret = new_secret(backup.hsm.domain)
    vault = Vault(secret)
    rules = vault.seal_quorum(backup.hsm.rules.encode(), 1)
    row = HsmRow(seal(secret), vault.seal_settings(backup.hsm.settings.encode()), rules, 1)
    loading = _Loading(backup, vault, write_files)
    store.initialize(row, loading.parts())
    header = backup.header
    return Restored(
        header.text("name"), header.number("created"), header.text("serial"), backup.hsm.anchor, backup.totals,
        loading.head, identity.facts(backup.hsm.identity),
    )  # fmt: skip


class _Loading:
    """The rows and the log of the new HSM."""

    def __init__(self, backup: Opened, vault: Vault, write_files: Callable[[Head, Vault], None]) -> None:
        self._backup = backup
        self._vault = vault
        self._write_files = write_files
        self.head = FIRST_HEAD

    def parts(self) -> Iterator[Part]:
        header = self._backup.header
        text = f"{header.text('name')} of HSM {header.text('serial')}, whose log was at {self._backup.hsm.anchor}"
        yield Part(self._record(Command(RESTORE_BEGIN, 0, detail=text), (Change(QUORUM, 1),)))
        for users, keys in self._backup.content().pages():
            user_rows = [self._vault.seal_user(row, verifier) for row, verifier in users]
            key_rows = [self._vault.seal_key(row, material) for row, material in keys]
            changes = [*(row.change() for row in user_rows), *(row.change() for row in key_rows)]
            yield Part(self._record(Command(ROWS_BOUND, 0), changes), user_rows, key_rows)
        yield Part(self._record(Command(RESTORE_END, 0, detail=header.text("name")), ()))
        # Before the commit, as at initialisation: files of an HSM that was never written do no harm.
        self._write_files(self.head, self._vault)

    def _record(self, command: Command, changes: tuple[Change, ...] | list[Change]) -> Record:
        command.changed = " ".join(map(str, changes))
        rows, self.head = linked([command.row(self.head.reboot)], self.head, self._vault)
        return Record(rows, stored(self.head, self._vault), changes=changes)
