"""Keys: generation, import, derivation, wrapping, search, attributes and sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.errors import KeyNotFound
from hsmcore.keys import certificates, description, generation, policy
from hsmcore.keys.description import KeyDescription
from hsmcore.keys.records import NOT_SHARED, KeyRecord, Sharing
from hsmcore.keys.search import SearchTemplate
from hsmcore.sessions.session import Session
from hsmcore.storage.keys import Position
from hsmcore.tables.attributes import PUBLIC, Value, checked
from hsmcore.tables.mechanisms import Operation
from hsmcore.tables.roles import ADMIN, CRYPTO_USER

Parameters = Mapping[str, object] | None
"""Parameters of a mechanism."""
Template = Mapping[str, None | Value]
"""Attributes; a null value counts as absent."""
Choices = Mapping[str, None | Value | Sequence[Value]]
"""A search template in which a sequence stands for any of its values."""


class KeyService:
    """Manages keys."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._turn = core.turn
        self._settings = core.settings
        self._accounts = core.accounts
        self._ring = core.ring
        self._approvals = core.approvals
        self._operations = core.operations
        self._streams = core.streams
        self._wrapping = core.wrapping

    @guarded
    def generate(
        self, session: Session, mechanism: str, template: Template, sharing: Sharing = NOT_SHARED
    ) -> KeyRecord:  # fmt: skip
        """Generate a secret key.

        Args:
            session: The session of the new key's owner.
            mechanism: A mechanism with the operation GENERATE for secret keys.
            template: The new key's attributes.
            sharing: The users who may use the key from the start.

        Raises:
            MechanismInvalid: The mechanism is unknown or generates no secret keys.
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            KeySizeInvalid: The key type has no keys of that size.
            UserNotFound: A user to share with does not exist.
            SharingInvalid: A user to share with is the owner, or named twice.
            StoreFull: The disk is full.
        """
        new = generation.generate_secret(mechanism, template, self._settings)
        return self._add(session, [new], sharing)[0]

    @guarded
    def generate_pair(
        self, session: Session, mechanism: str, public: Template, private: Template, sharing: Sharing = NOT_SHARED
    ) -> tuple[KeyRecord, KeyRecord]:
        """Generate a key pair and return its public and its private key.

        Args:
            session: The session of the new keys' owner.
            mechanism: A mechanism with the operation GENERATE for key pairs.
            public: The public key's attributes.
            private: The private key's attributes.
            sharing: The users who may use the private key from the start.

        Raises:
            MechanismInvalid: The mechanism is unknown or generates no key pairs.
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            KeySizeInvalid: The key type has no keys of that size.
            UserNotFound: A user to share with does not exist.
            SharingInvalid: A user to share with is the owner, or named twice.
            StoreFull: The disk is full.
        """
        pair = generation.generate_pair(mechanism, public, private, self._settings)
        records = self._add(session, pair, sharing)
        return records[0], records[1]

    @guarded
    def import_(
        self, session: Session, template: Template, material: bytes, sharing: Sharing = NOT_SHARED
    ) -> KeyRecord:  # fmt: skip
        """Import a key.

        Args:
            session: The session of the new key's owner.
            template: The new key's attributes; OBJECT_CLASS and KEY_TYPE are required.
            material: Raw bytes of a secret key, PKCS #8 (DER) of a private key, SubjectPublicKeyInfo (DER) of a public
                key.
            sharing: The users who may use the key from the start.

        Raises:
            KeyMaterialInvalid: The bytes are not a key of that class and type.
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            KeySizeInvalid: The key type has no keys of that size.
            UserNotFound: A user to share with does not exist.
            SharingInvalid: The key is public, or a user to share with is the owner, or named twice.
            StoreFull: The disk is full.
        """
        new = generation.read(template, material, self._settings)
        if sharing.users:
            policy.require_sharable(str(new.attributes["OBJECT_CLASS"]))
        return self._add(session, [new], sharing)[0]

    @guarded
    def store_certificate(self, session: Session, template: Template, category: int, certificate: bytes) -> KeyRecord:
        """Store a certificate, which is no key.

        Args:
            session: The session of the certificate's owner.
            template: LABEL, ID, MODIFIABLE and DESTROYABLE, each optional.
            category: The CERTIFICATE_CATEGORY of PKCS #11.
            certificate: The certificate (DER).

        Raises:
            KeyMaterialInvalid: The bytes are no certificate, or too long.
            AttributeInvalid: An attribute is of the wrong type.
            StoreFull: The disk is full.
        """
        return self._ring.add(session, [certificates.new_certificate(checked(template), category, certificate)])[0]

    @guarded
    def certificates(self, session: Session) -> list[KeyRecord]:
        """Return the records of the session's certificates, oldest first."""
        return self._ring.certificates(session)

    @guarded
    def certificate(self, session: Session, handle: int) -> bytes:
        """Return a certificate (DER).

        Raises:
            KeyNotFound: The session sees no certificate with this handle.
            StoreDamaged: The stored row is damaged.
        """
        entry = self._ring.entry(session, handle)
        if entry.record.attributes["OBJECT_CLASS"] != certificates.CERTIFICATE:
            raise KeyNotFound(f"there is no certificate {handle:#018x}")
        return self._ring.material(entry)

    def _add(self, session: Session, new: Sequence[generation.NewKey], sharing: Sharing) -> tuple[KeyRecord, ...]:
        """Store new keys. Where they are shared, the turn keeps the users from being deleted meanwhile."""
        with self._turn if sharing.users else nullcontext():
            return self._ring.add(session, new, self._checked(session, sharing))

    def _checked(self, session: Session, sharing: Sharing) -> Sharing:
        """Return the sharing of a new key with the names of users who exist."""
        names = [self._accounts.known(name, CRYPTO_USER).username for name in sharing.users]
        return policy.sharing(session.username, names)

    @guarded
    def derive(
        self, session: Session, key: int, mechanism: str, parameters: Parameters, template: Template
    ) -> KeyRecord:  # fmt: skip
        """Derive a secret key from another key.

        Args:
            session: The session of the new key's owner.
            key: The handle of the base key.
            mechanism: A mechanism with the operation DERIVE.
            parameters: The mechanism's parameters.
            template: The new key's attributes; KEY_TYPE and SIZE (bits) are required.

        Raises:
            KeyNotFound: The session sees no such key.
            KeyFunctionNotPermitted: The base key's DERIVE is false.
            KeyTypeInconsistent: The base key does not fit the mechanism.
            KeyQuorumFailed: The base key takes an approval and the session has none.
            MechanismInvalid: The mechanism is unknown or does not derive keys.
            MechanismParameterInvalid: A parameter is missing or wrong.
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            KeySizeInvalid: The key type has no keys of that size.
            StoreFull: The disk is full.
        """
        with self._operations.counted(Operation.DERIVE, mechanism):
            run = self._operations.operation(session, Operation.DERIVE, key, mechanism)
            base = self._ring.entry(session, key).record.attributes
            new = generation.derive_secret(partial(run, parameters), template, base, self._settings)
            return self._ring.add(session, [new])[0]

    @guarded
    def find(self, session: Session, template: Template, limit: int = 0) -> list[KeyRecord]:
        """Return the first page of ``find_page``, which has all keys without a limit. The errors are the same."""
        return self.find_page(session, template, limit)[0]

    @guarded
    def find_page(
        self, session: Session, template: Template, limit: int, after: Position | None = None
    ) -> tuple[list[KeyRecord], Position | None]:
        """Return the keys that the session sees and that have all these attributes, oldest first, page by page.

        The position after which there may be more follows; ``None`` at the end.

        Args:
            session: A session.
            template: The search template; an admin searches by LABEL only.
            limit: The maximum number of keys; 0 for no limit.
            after: The position that an earlier page ended with; ``None`` for the first page.

        Raises:
            AttributeInvalid: An attribute is unknown or of the wrong type.
            PermissionDenied: An admin searches by another attribute than LABEL.
            StoreDamaged: All that was found for a label is a damaged key of the user.
        """
        return self._ring.find(session, SearchTemplate.exactly(checked(template)), limit, after)

    @guarded
    def find_pair(self, session: Session, public_key_info: bytes) -> list[KeyRecord]:
        """Return the keys of a pair that the session sees.

        Args:
            session: A session.
            public_key_info: The pair's SubjectPublicKeyInfo (DER).
        """
        return self._ring.halves(session, public_key_info)

    @guarded
    def labels(self, session: Session) -> dict[str, dict[str, int]]:
        """Return the labels of the keys that the session sees, each with the number of keys by OBJECT_CLASS.

        Damaged keys are counted too.
        """
        return self._ring.labels(session)

    @guarded
    def describe(
        self, session: Session, handle: int | None, template: Choices, first: int, limit: int, *, brief: bool = False
    ) -> tuple[list[KeyDescription], int]:
        """Return a page of descriptions of the keys that the session sees, oldest first, and the number of all keys.

        A damaged key is counted and left out of its page.

        Args:
            session: A session.
            handle: The handle of the one key to describe; ``None`` for any.
            template: The search template.
            first: The number of keys before the page.
            limit: The size of the page; 0 for no limit.
            brief: Whether to leave out owner, sharing and derived values.

        Raises:
            AttributeInvalid: An attribute is unknown or of the wrong type.
            PermissionDenied: An admin searches by another attribute than LABEL.
            StoreDamaged: All that was found for a label is a damaged key of the user.
        """
        return self._ring.page(session, handle, description.search_template(template), first, limit, brief=brief)

    @guarded
    def get(self, session: Session, handle: int) -> KeyRecord:
        """Return a key's record.

        Raises:
            KeyNotFound: The session sees no such key.
            StoreDamaged: The stored key is damaged.
        """
        return policy.view(session, self._ring.entry(session, handle))

    @guarded
    def set_attributes(self, session: Session, handle: int, template: Template) -> KeyRecord:
        """Change attributes, all or none, and return the new record.

        The owner needs an approval where the key's management takes one.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user, or an attribute to another role.
            AttributeInvalid: An attribute is unknown, of the wrong type, or cannot change.
            KeyQuorumFailed: The key takes an approval and the session has none.
            StoreFull: The disk is full.
        """
        with self._turn, nullcontext() if session.role == ADMIN else self._managing(session, handle):
            return self._ring.change(session, handle, checked(template))

    @guarded
    def share(self, session: Session, handle: int, username: str) -> None:
        """Let another crypto user use a key, but not manage it. Takes an approval where the key's management does.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            UserNotFound: The crypto user does not exist.
            SharingInvalid: The key is public, or the user owns it or has it already.
            KeyQuorumFailed: The key takes an approval and the session has none.
            StoreFull: The disk is full.
        """
        with self._turn, self._managing(session, handle):
            self._ring.share(session, handle, self._accounts.known(username, CRYPTO_USER).username)

    @guarded
    def unshare(self, session: Session, handle: int, username: str) -> None:
        """Stop sharing a key with a user. Ends all multi-part operations with the key.

        Takes an approval where the key's management does.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            UserNotFound: The crypto user does not exist.
            SharingInvalid: The key is not shared with the user, or would have fewer users than it takes approvals.
            KeyQuorumFailed: The key takes an approval and the session has none.
            StoreFull: The disk is full.
        """
        with self._turn, self._managing(session, handle):
            self._ring.unshare(session, handle, self._accounts.known(username, CRYPTO_USER).username)
            self._streams.drop_key(handle)

    def _managing(self, session: Session, handle: int) -> AbstractContextManager[None]:
        return self._approvals.granted_key(session, "key-management", self._ring.entry(session, handle))

    @guarded
    def set_quorum(self, session: Session, handle: int, manage: int, use: int) -> None:
        """Set the approvals that a key takes. They can be set once.

        Args:
            session: A session of the key's owner.
            handle: The key's handle.
            manage: The approvals that managing the key takes; 0 for none.
            use: The approvals that using the key takes; 0 for none.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            QuorumValueInvalid: The key is public or has its values, or a value is out of range or above the number of
                users of the key.
            StoreFull: The disk is full.
        """
        self._ring.set_quorum(session, handle, manage, use)
        self._streams.drop_key(handle)

    @guarded
    def destroy(self, session: Session, handle: int) -> None:
        """Destroy a key.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            KeyFunctionNotPermitted: The key's DESTROYABLE is false.
            StoreDamaged: The stored key is damaged and names another owner.
            StoreFull: The disk is full.
        """
        self._ring.destroy(session, handle)
        self._streams.drop_key(handle)
        self._approvals.quorum_tokens.drop_key(handle)

    @guarded
    def clear_value(self, session: Session, handle: int) -> bytes | None:
        """Return a key's material in clear, or ``None`` where settings, attributes or ownership forbid it.

        Returns:
            The bytes that ``import_`` takes.

        Raises:
            KeyNotFound: The session sees no such key.
            StoreDamaged: The stored key is damaged.
        """
        entry = self._ring.entry(session, handle)
        extraction = self._settings.clear_key_extraction
        allowed = policy.may_extract(session, entry, clear_key_extraction=extraction)
        if not allowed or entry.record.attributes["OBJECT_CLASS"] == PUBLIC:
            self._log.concerns_nothing()
        return self._ring.material(entry) if allowed else None

    @guarded
    def wrap(
        self, session: Session, key: int, mechanism: str, parameters: Parameters, target: int
    ) -> tuple[bytes, dict[str, object] | None]:
        """Encrypt a key under another key. Takes an approval where the management of either key does.

        Args:
            session: A session of the target's owner.
            key: The handle of the wrapping key.
            mechanism: A mechanism with the operation WRAP.
            parameters: The mechanism's parameters.
            target: The handle of the key to wrap.

        Returns:
            The wrapped key, and the parameters that ``unwrap`` needs if there are any.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The target belongs to another user.
            KeyUnextractable: The target's EXTRACTABLE is false.
            KeyNotWrappable: The target is public, or does not allow this wrapping key.
            KeyFunctionNotPermitted: The wrapping key's WRAP is false.
            KeyTypeInconsistent: The wrapping key does not fit the mechanism.
            KeyQuorumFailed: A key takes an approval and the session has none.
            MechanismInvalid: The mechanism is unknown or does not wrap.
            MechanismParameterInvalid: A parameter is missing or wrong.
            DataLengthInvalid: The mechanism cannot wrap a key of that length.
        """
        return self._wrapping.wrap(session, key, mechanism, parameters, target)

    @guarded
    def unwrap(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Parameters,
        wrapped: bytes,
        template: Template,
        sharing: Sharing = NOT_SHARED,
    ) -> KeyRecord:
        """Decrypt a wrapped key and store it. Takes an approval where the management of the unwrapping key does.

        Args:
            session: The session of the new key's owner.
            key: The handle of the unwrapping key.
            mechanism: A mechanism with the operation UNWRAP.
            parameters: The mechanism's parameters.
            wrapped: The wrapped key.
            template: The new key's attributes; OBJECT_CLASS and KEY_TYPE are required.
            sharing: The users who may use the key from the start.

        Raises:
            KeyNotFound: The session sees no such key.
            WrappedKeyInvalid: The bytes do not unwrap to such a key.
            TemplateInconsistent: An attribute contradicts the unwrapping key's UNWRAP_TEMPLATE.
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            KeyFunctionNotPermitted: The unwrapping key's UNWRAP is false.
            KeyTypeInconsistent: The unwrapping key does not fit the mechanism.
            KeyQuorumFailed: The unwrapping key takes an approval and the session has none.
            MechanismInvalid: The mechanism is unknown or does not unwrap.
            MechanismParameterInvalid: A parameter is missing or wrong.
            UserNotFound: A user to share with does not exist.
            SharingInvalid: A user to share with is the owner, or named twice.
            StoreFull: The disk is full.
        """
        with self._wrapping.unwrapped(session, key, mechanism, parameters, wrapped, template) as new:
            return self._add(session, [new], sharing)[0]
