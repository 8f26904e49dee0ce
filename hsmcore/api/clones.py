"""Copies of keys and users between an HSM and its clones, as masked objects."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.backup import masked
from hsmcore.errors import KeyNotFound, PermissionDenied, ReplicaDiffers, UserNotFound
from hsmcore.keys import policy
from hsmcore.keys.records import KeyRecord, Sharing
from hsmcore.keys.token_keys import row_of
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import KeyRow
from hsmcore.tables.roles import ADMIN, CRYPTO_USER
from hsmcore.users.accounts import UserInfo


class CloneService:
    """Extracts keys and users as masked objects, and inserts those of the security domain."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._turn = core.turn
        self._vault = core.vault
        self._accounts = core.accounts
        self._approvals = core.approvals
        self._ring = core.ring

    @guarded
    def extract_key(self, session: Session, handle: int) -> bytes:
        """Return a token key as a masked object, also one whose EXTRACTABLE is false.

        The owner needs an approval where the key's management takes one; an admin needs none.

        Raises:
            KeyNotFound: The session sees no such key, or it is a session key.
            PermissionDenied: The key belongs to another user.
            KeyQuorumFailed: The key takes an approval and the session has none.
            StoreDamaged: The stored key is damaged.
        """
        entry = self._ring.entry(session, handle)
        if entry.session is not None:
            raise KeyNotFound(f"key {handle:#018x} is a session key; only token keys are copied")
        admin = session.role == ADMIN
        if not admin:
            policy.require_owner(session, entry)
        with nullcontext() if admin else self._approvals.granted_key(session, "key-management", entry):
            self._log.concerns({handle: str(entry.record.attributes["OBJECT_CLASS"])}, token_key=True)
            self._log.record()
            return masked.mask_key(self._vault.domain, row_of(entry), self._ring.material(entry))

    @guarded
    def insert_key(self, session: Session, masked_object: bytes) -> KeyRecord:
        """Insert a masked key with its handle, owner, sharing and attributes, and return its record.

        Has no effect if the HSM has the same key.

        Raises:
            MaskedObjectForeign: It was made in another security domain.
            MaskedObjectInvalid: It is not a masked key, or was changed.
            PermissionDenied: The key belongs to another user than that of the session, who is no admin.
            UserNotFound: The owner, or a user with whom the key is shared, does not exist here.
            ReplicaDiffers: The HSM has a different key with that handle.
            StoreFull: The disk is full.
        """
        row, material = masked.unmask_key(self._vault.domain, masked_object)
        if session.role != ADMIN and row.owner != session.username:
            raise PermissionDenied(f"key {row.handle:#018x} belongs to another user; the owner or an admin inserts it")
        with self._turn:
            for username in (row.owner, *Sharing.decode(row.sharing).users):
                self._accounts.known(username, CRYPTO_USER)
            existing = self._ring.present(row.handle)
            if existing is None:
                return policy.view(session, self._ring.insert(row, material))
            if _content(row_of(existing)) != _content(row) or self._ring.material(existing) != material:
                raise ReplicaDiffers(f"there is another key {row.handle:#018x} here; delete the unwanted one first")
            self._log.concerns({row.handle: row.object_class}, token_key=True)
            return policy.view(session, existing)

    @guarded
    def extract_user(self, session: Session, username: str, role: str) -> bytes:
        """Return a user as a masked object, with password, registered key and lock.

        Raises:
            UserNotFound: No user has that name and role.
            StoreDamaged: The user's row is damaged.
        """
        row = self._accounts.known(username, role)
        self._log.record()
        return masked.mask_user(self._vault.domain, row, self._vault.open_user(row))

    @guarded
    def insert_user(self, session: Session, masked_object: bytes) -> UserInfo:
        """Insert a masked user under a new number. Takes a quorum approval of the service ``user``.

        Has no effect if the HSM has the same user, with the same password, lock, quorum and second factor.

        Raises:
            MaskedObjectForeign: It was made in another security domain.
            MaskedObjectInvalid: It is not a masked user, or was changed.
            ReplicaDiffers: The HSM has a different user with that name and role.
            PublicKeyInvalid: Another user has registered the user's key.
            UserLimit: The HSM has the maximum number of users.
            UserNameInvalid: Users in that role are not copied.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        row, verifier = masked.unmask_user(self._vault.domain, masked_object)
        with self._turn:
            try:
                existing = self._accounts.known(row.username, row.role)
            except UserNotFound:
                with self._approvals.granted(session, "user"):
                    return self._accounts.insert(row, verifier)
            same = existing.mfa_key == row.mfa_key and existing.quorum_key == row.quorum_key
            if not same or self._vault.open_user(existing) != verifier or existing.failures != row.failures:
                raise ReplicaDiffers(f"there is another {row.role} {row.username!r} here; delete one of the two first")
            return self._accounts.info(existing)


def _content(row: KeyRow) -> KeyRow:
    """Return the fields that two copies of a key have in common."""
    return replace(row, sealed=b"", version=0, newest=0)
