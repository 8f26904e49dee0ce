"""The part of the door by which keys are listed and shared. ``hsmcore.Hsm`` is the whole door."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hsmcore.api.users import Administration
from hsmcore.crypto.streams import MultiPart
from hsmcore.keys import description, policy
from hsmcore.keys.description import KeyDescription
from hsmcore.keys.records import Sharing
from hsmcore.sessions.permissions import guarded
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import StateDirectory
from hsmcore.tables.attributes import Value
from hsmcore.tables.roles import CRYPTO_USER

Attributes = Mapping[str, None | Value]
Wanted = Mapping[str, None | Value | Sequence[Value]]
"""What keys are looked for; of a sequence of values any fits."""


class KeyAdministration(Administration):
    """Who may use which key, and what a key is."""

    def __init__(self, store: Store, vault: Vault, state: StateDirectory, clock: Callable[[], float]) -> None:
        super().__init__(store, vault, state, clock)
        self._multipart = MultiPart()

    @guarded
    def list_keys(
        self, session: Session, handle: int | None, attributes: Wanted, first: int, limit: int
    ) -> tuple[list[KeyDescription], int]:
        """Describe the keys that this session sees and that have all these values, oldest first, and count them.

        Of those that fit, ``limit`` (0 is none) from the ``first`` on (0 is the oldest) are described; of a sequence
        of values any fits. A handle narrows it to one key. A key whose row is damaged counts and is left out of its
        page, which is shorter then. Raises as ``find_keys``, and ``StoreDamaged`` where a label is looked for and all
        that was found is an own key that is damaged.
        """
        return self._ring.page(session, handle, description.wanted(attributes), first, limit)

    @guarded
    def share_key(self, session: Session, handle: int, username: str) -> None:
        """Let another crypto user use a key: encrypt, decrypt, sign, verify and the like, and nothing else.

        It takes approval where the key's management does. Raises ``KeyNotFound``, ``PermissionDenied``,
        ``UserNotFound``, ``SharingInvalid``, ``KeyQuorumFailed``, ``StoreFull``.
        """
        entry = self._ring.entry(session, handle)
        with self._approvals.granted_key(session, "key-management", entry), self._lock:
            self._ring.share(session, handle, self._users.known(username, CRYPTO_USER).username)

    @guarded
    def unshare_key(self, session: Session, handle: int, username: str) -> None:
        """Take the use of a key from a user; all multi-part operations with the key end. Raises as ``share_key``."""
        entry = self._ring.entry(session, handle)
        with self._approvals.granted_key(session, "key-management", entry), self._lock:
            self._ring.unshare(session, handle, self._users.known(username, CRYPTO_USER).username)
            self._multipart.drop_key(handle)

    @guarded
    def set_key_quorum(self, session: Session, handle: int, manage: int, use: int) -> None:
        """Set how many users approve the management and the use of an own key, once; 0 is none.

        The users of a key are its owner and those with whom it is shared. Raises ``KeyNotFound``, ``PermissionDenied``,
        ``QuorumValueInvalid``, ``StoreFull``.
        """
        self._ring.set_quorum(session, handle, manage, use)
        self._multipart.drop_key(handle)

    def _sharing(self, session: Session, sharing: Sharing) -> Sharing:
        """Return the sharing of a new key, checked. Raises ``UserNotFound``, ``SharingInvalid``."""
        names = [self._users.known(name, CRYPTO_USER).username for name in sharing.users]
        return policy.sharing(session.username, names)
