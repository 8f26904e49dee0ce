"""A new seal of the HSM's secret, and a new master key. Both are for an HSM that nothing else uses.

The database is read on a connection of its own while one transaction writes everything that the master key seals, so at
every moment either the old or the new key opens all of it. A row that does not open stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from hsmcore.api.core import Core
from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import decoded
from hsmcore.audit.events import MASTER_KEY_CHANGED, MASTER_KEY_RESEALED
from hsmcore.errors import MasterKeyUnavailable, StateError, StoreDamaged
from hsmcore.storage.database import Resealed
from hsmcore.storage.sealing import Vault, new_secret, open_secret, seal_secret
from hsmcore.storage.snapshot import HsmRow, Snapshot
from hsmcore.storage.state_directory import StateDirectory

_PAGE = 500


def rekey(core: Core, passphrase: bytes | None, new_passphrase: bytes | None, *, master_key: bool) -> None:
    """Seal the master key anew, and on request replace it. The HSM must be closed afterwards.

    Args:
        core: The HSM.
        passphrase: The passphrase of now; ``None`` for a key file.
        new_passphrase: The passphrase from now on; ``None`` for the key file, which is made if it is missing.
        master_key: Make a new master key, and seal everything under it.

    Raises:
        MasterKeyUnavailable: The passphrase or the key file of now is missing or wrong, or the new one is empty.
        StateError: The HSM is in memory, or of a cluster whose master key is to be replaced.
        StoreFull: The disk is full.
    """
    if new_passphrase == b"":
        raise MasterKeyUnavailable("the new passphrase is empty")
    state = core.state
    if not isinstance(state, StateDirectory):
        raise StateError("an HSM in memory has no stored master key")
    secret = open_secret(core.store.master(), passphrase, state.read_key_file)
    if master_key:
        secret = new_secret(core.vault.domain)
    file_key = state.make_key_file() if new_passphrase is None else b""
    sealed = seal_secret(secret, new_passphrase, file_key)
    if master_key:
        _change(core, secret, sealed)
    else:
        _reseal(core, sealed)


def _reseal(core: Core, sealed: bytes) -> None:
    """Replace the sealed secret, after an entry of the log.

    Raises:
        StoreFull: The disk is full.
    """
    with core.log.command(MASTER_KEY_RESEALED, {}):
        core.log.record()
    core.store.change_master(sealed)


def _change(core: Core, secret: bytes, sealed: bytes) -> None:
    """Seal everything under another master key. The HSM must be closed afterwards.

    Args:
        core: The HSM.
        secret: The new secret, with the domain key of the old one.
        sealed: The same, sealed.

    Raises:
        StateError: The HSM is of a cluster.
        StoreFull: The disk is full; nothing was changed.
    """
    if core.store.shared:
        raise StateError(
            "the master key of a cluster is not replaced in place; restore a backup into a new database, which has a "
            "new master key"
        )
    with core.log.command(MASTER_KEY_CHANGED, {}):
        core.log.record()
    head, vault = core.log.head, Vault(secret, core.store.number)
    with core.store.transactions.snapshot() as snapshot:
        copying = _Copying(snapshot, core.vault, vault)
        # Into the other slot of the anchor: whichever key the transaction leaves, one slot is sealed under it.
        core.state.write_anchor(anchored(head, vault))
        core.store.reseal(copying.hsm(sealed), copying.parts(), stored(head, vault))
    # Files are not in the transaction. One that was missed at the end of the process has a remedy in its error.
    for kind in ("request", "identity"):
        content = core.state.read_file(f"tls.{kind}")
        if content is not None:
            with suppress(StoreDamaged):
                core.state.write_file(f"tls.{kind}", vault.seal_tls(kind, core.vault.open_tls(kind, content)))


class _Copying:
    """Everything that the old key seals, sealed under the new one."""

    def __init__(self, snapshot: Snapshot, old: Vault, new: Vault) -> None:
        self._snapshot = snapshot
        self._old = old
        self._new = new

    def hsm(self, sealed: bytes) -> HsmRow:
        row = self._snapshot.hsm()
        rules = self._old.open_quorum(row.quorum, row.quorum_version)
        settings = self._new.seal_settings(self._old.open_settings(row.settings))
        return HsmRow(sealed, settings, self._new.seal_quorum(rules, row.quorum_version), row.quorum_version)

    def parts(self) -> Iterator[Resealed]:
        for user in self._snapshot.users():
            with suppress(StoreDamaged):
                yield Resealed(users=[self._new.seal_user(user, self._old.open_user(user))])
        last = 0
        while rows := self._snapshot.keys_after(last, _PAGE):
            last = rows[-1].handle
            keys = []
            for row in rows:
                with suppress(StoreDamaged):
                    keys.append(self._new.seal_key(row, self._old.open_key(row)))
            yield Resealed(keys=keys)
        yield from self._entries()

    def _entries(self) -> Iterator[Resealed]:
        first = 0
        while page := self._snapshot.audit_rows(first, _PAGE):
            seals = []
            for row, whole in map(decoded, page):
                # An entry that was changed must not get a genuine seal.
                if whole and row.digest() == row.hash and self._old.sealed_entry(row.sequence, row.hash, row.seal):
                    seals.append((row.sequence, self._new.seal_entry(row.sequence, row.hash)))
            yield Resealed(seals=seals)
            first = max(row.sequence for row, _ in map(decoded, page)) + 1
