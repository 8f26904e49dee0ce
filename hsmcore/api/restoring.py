"""A new HSM from a backup."""

from __future__ import annotations

from pathlib import Path

from hsmcore.api.creation import new_state, release
from hsmcore.audit.anchor import anchored
from hsmcore.audit.chain import Head
from hsmcore.backup import identity
from hsmcore.backup.directory import opened
from hsmcore.backup.opening import NO_CREDENTIALS, Credentials
from hsmcore.backup.restoring import Opened, Restored
from hsmcore.backup.restoring import restore as restore_rows
from hsmcore.storage.sealing import Vault, seal_secret


def restore(
    file: Path,
    home: Path,
    credentials: Credentials = NO_CREDENTIALS,
    *,
    passphrase: bytes | None = None,
    store: str | None = None,
) -> Restored:
    """Create an HSM in a directory from a backup. Can be repeated after an error.

    The HSM has the users, keys, settings, quorum values, trust anchors and TLS certificate of the backup, and a new
    serial number, master key and audit log. It is of the security domain of the HSM that was backed up.

    Args:
        file: The backup.
        home: The state directory of the new HSM, which is created if it is missing.
        credentials: The ways to open the backup.
        passphrase: The passphrase that seals the new master key; ``None`` seals it under a new key file.
        store: The URL of an empty database of PostgreSQL; ``None`` for a file in the directory.

    Raises:
        MasterKeyUnavailable: The backup's passphrase or key file is missing or wrong, or the new one is empty.
        BackupDamaged: The backup is cut short, or was changed, or is not a backup.
        StateVersion: A newer version made the backup.
        StateError: The directory or the database has an HSM already, or cannot be used.
        StateLocked: Another process has the directory.
        StoreFull: The disk is full.
        StoreUnreachable: The database does not answer.
    """
    with opened(file) as source:
        backup = Opened(source, credentials)
        with new_state(home, passphrase, store) as (state, database, file_key):

            def write_files(head: Head, vault: Vault) -> None:
                identity.write(state, vault, backup.hsm.identity)
                state.write_anchor(anchored(head, vault))

            restored = restore_rows(
                backup, database, lambda secret: seal_secret(secret, passphrase, file_key), write_files
            )
            state.sync()
        release(state, database)
        return restored
