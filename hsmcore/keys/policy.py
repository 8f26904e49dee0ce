"""The rules about single keys, as pure functions without clock, store or cryptography.

``hsmcore.sessions.permissions`` checks the role first. A key that a session does not see does not exist for it. A
crypto user uses the keys that are visible, as their class, type and attributes allow. Only the owner changes, shares,
extracts, wraps or destroys a key. An admin sees the label of every token key and sets TRUSTED.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hsmcore.errors import (
    KeyFunctionNotPermitted,
    KeyNotWrappable,
    KeyTypeInconsistent,
    KeyUnextractable,
    MechanismInvalid,
    PermissionDenied,
    QuorumValueInvalid,
    SharingInvalid,
    Unauthenticated,
)
from hsmcore.keys.records import NOT_SHARED, KeyEntry, KeyRecord, Sharing
from hsmcore.sessions.session import NO_SESSION, Session
from hsmcore.tables.attributes import PRIVATE, PUBLIC, SECRET, Value
from hsmcore.tables.mechanisms import MECHANISMS, Mechanism, Operation, digest_bytes
from hsmcore.tables.quorum_services import KEY_SERVICES, MAX_APPROVALS, SERVICES
from hsmcore.tables.roles import ADMIN, CRYPTO_USER

_CLASSES = {
    Operation.ENCRYPT: (SECRET, PUBLIC),
    Operation.DECRYPT: (SECRET, PRIVATE),
    Operation.SIGN: (SECRET, PRIVATE),
    Operation.VERIFY: (SECRET, PUBLIC),
    Operation.WRAP: (SECRET, PUBLIC),
    Operation.UNWRAP: (SECRET, PRIVATE),
    Operation.DERIVE: (SECRET, PRIVATE),
}


def require_alive(session: Session) -> None:
    """Check that a session has not ended.

    Raises:
        Unauthenticated: It has.
    """
    if not session.alive:
        raise Unauthenticated(NO_SESSION)


def sees(session: Session, entry: KeyEntry) -> bool:
    """Tell whether a session sees a key.

    A crypto user sees the keys that are shared with that user, the keys of the session, the user's own token keys and
    every public token key. An admin sees every token key.
    """
    if session.role == CRYPTO_USER and session.username in entry.sharing.users:
        return True
    if entry.session is not None:
        return entry.session == session.token
    if session.role == ADMIN:
        return True
    return entry.owner == session.username or entry.record.attributes["OBJECT_CLASS"] == PUBLIC


def require_may_find(session: Session, names: Collection[str]) -> None:
    """Check that a session may search by these attributes.

    Raises:
        Unauthenticated: The session has ended.
        PermissionDenied: An admin searches by another attribute than LABEL.
    """
    require_alive(session)
    if session.role == ADMIN and set(names) - {"LABEL"}:
        raise PermissionDenied("an admin finds keys by LABEL only")


def view(session: Session, entry: KeyEntry) -> KeyRecord:
    """Return the record as the session may see it. An admin sees handle and label only."""
    if session.role == ADMIN:
        return KeyRecord(entry.handle, {"LABEL": entry.record.attributes["LABEL"]})
    return entry.record


def require_owner(session: Session, entry: KeyEntry) -> None:
    """Check that the session's user owns the key.

    Raises:
        PermissionDenied: Another user owns it.
    """
    if entry.owner != session.username:
        raise PermissionDenied(f"key {entry.handle:#018x} belongs to another user; only the owner may do this")


def require_may_share(session: Session, entry: KeyEntry) -> None:
    """Check that the session's user may share the key.

    Raises:
        PermissionDenied: Another user owns it.
        SharingInvalid: The key is public.
    """
    require_owner(session, entry)
    require_sharable(str(entry.record.attributes["OBJECT_CLASS"]))


def require_sharable(key_class: str) -> None:
    """Check that keys of a class can be shared.

    Raises:
        SharingInvalid: It is the class of public keys.
    """
    if key_class == PUBLIC:
        raise SharingInvalid("a public key is not shared: every crypto user can use it")


def sharing(owner: str, usernames: Iterable[str]) -> Sharing:
    """Return the sharing of an owner's key with these users.

    Raises:
        SharingInvalid: A user is the owner, or named twice.
    """
    names = sorted(usernames)
    if owner in names:
        raise SharingInvalid("a key is not shared with its owner")
    if len(set(names)) < len(names):
        raise SharingInvalid("a user is named twice, or has the key already")
    return Sharing(tuple(names))


def require_enough_users(entry: KeyEntry, sharing: Sharing) -> None:
    """Check that a key with this sharing has as many users as it takes approvals.

    Raises:
        SharingInvalid: It would have fewer.
    """
    needed, users = max(approvals_needed(entry, service) for service in KEY_SERVICES), 1 + len(sharing.users)
    if users < needed:
        raise SharingInvalid(f"key {entry.handle:#018x} takes the approvals of {needed} users and would have {users}")


def view_sharing(session: Session, entry: KeyEntry) -> Sharing:
    """Return the part of a key's sharing that the session may see: the owner all, others only their own name."""
    if entry.owner == session.username:
        return entry.sharing
    return Sharing((session.username,)) if session.username in entry.sharing.users else NOT_SHARED


def require_destroyable(entry: KeyEntry) -> None:
    """Check that a key can be destroyed.

    Raises:
        KeyFunctionNotPermitted: Its DESTROYABLE is false.
    """
    if not entry.record.attributes["DESTROYABLE"]:
        raise KeyFunctionNotPermitted(f"key {entry.handle:#018x} is not destroyable (DESTROYABLE is false)")


def require_may_change(session: Session, entry: KeyEntry, template: Mapping[str, Value]) -> None:
    """Check that the session may change these attributes: an admin only TRUSTED, the owner all others.

    Raises:
        PermissionDenied: It may not.
    """
    if session.role == ADMIN:
        if template.keys() - {"TRUSTED"}:
            raise PermissionDenied("an admin sets TRUSTED and no other attribute")
        return
    require_owner(session, entry)
    if "TRUSTED" in template:
        raise PermissionDenied("TRUSTED is set by an admin")
    if entry.record.attributes["TRUSTED"]:
        raise PermissionDenied(
            f"key {entry.handle:#018x} is trusted, and its attributes do not change until an admin sets TRUSTED to "
            "false"
        )


def as_usable(old: KeyEntry, new: KeyEntry) -> bool:
    """Tell whether every user of a key may still use it after a change, with the same approvals."""
    quorum = ("MANAGE_QUORUM", "USE_QUORUM")
    same = all(old.record.attributes.get(name) == new.record.attributes.get(name) for name in quorum)
    return same and set(old.sharing.users) <= set(new.sharing.users)


def approvals_needed(entry: KeyEntry, service: str) -> int:
    """Return the number of approvals that a key takes for a key service."""
    value = entry.record.attributes.get(SERVICES[service].attribute, 0)
    return value if isinstance(value, int) else 0


def associates(entry: KeyEntry) -> frozenset[str]:
    """Return the crypto users who can approve operations on a key: the owner and those it is shared with."""
    return frozenset({entry.owner, *entry.sharing.users})


def require_may_set_quorum(session: Session, entry: KeyEntry, manage: int, use: int) -> None:
    """Check that the session may set these quorum values of a key.

    Raises:
        PermissionDenied: Another user owns the key.
        QuorumValueInvalid: The key is public or has its values, or a value is out of range or above the number
            of users of the key.
    """
    require_owner(session, entry)
    users = len(associates(entry))
    problem = ""
    if entry.record.attributes["OBJECT_CLASS"] == PUBLIC:
        problem = "a public key takes no approval"
    elif any(approvals_needed(entry, service) for service in KEY_SERVICES):
        problem = "the values of this key are set and cannot change"
    elif not (0 <= manage <= MAX_APPROVALS and 0 <= use <= MAX_APPROVALS):
        problem = f"a value is 0 to {MAX_APPROVALS}"
    elif max(manage, use) > users:
        problem = (
            f"{max(manage, use)} is more than the {users} users of this key, the owner and those it is shared with"
        )
    if problem:
        raise QuorumValueInvalid(f"Invalid quorum value provided. {problem}")


def may_extract(session: Session, entry: KeyEntry, *, clear_key_extraction: bool) -> bool:
    """Tell whether the session may read the key's material in clear: a public key's always, otherwise only the owner.

    A key that takes approvals is never read in clear, because its copy would take none.
    """
    attributes = entry.record.attributes
    if attributes["OBJECT_CLASS"] == PUBLIC:
        return True
    allowed = attributes["EXTRACTABLE"] and not attributes["WRAP_WITH_TRUSTED"]
    allowed = allowed and not any(approvals_needed(entry, service) for service in KEY_SERVICES)
    return bool(clear_key_extraction and allowed and entry.owner == session.username)


def require_wrappable(session: Session, entry: KeyEntry, wrapping: Mapping[str, Value]) -> None:
    """Check that the session may wrap the key under a key with the attributes ``wrapping``.

    Raises:
        PermissionDenied: Another user owns the key to wrap.
        KeyUnextractable: The key's EXTRACTABLE is false.
        KeyNotWrappable: The key is public, needs a trusted wrapping key, or does not match its WRAP_TEMPLATE.
    """
    require_owner(session, entry)
    attributes = entry.record.attributes
    if attributes["OBJECT_CLASS"] == PUBLIC:
        raise KeyNotWrappable(f"key {entry.handle:#018x} is public and is not wrapped; read its encoding instead")
    if not attributes["EXTRACTABLE"]:
        raise KeyUnextractable(f"key {entry.handle:#018x} does not leave the HSM (EXTRACTABLE is false)")
    if attributes["WRAP_WITH_TRUSTED"] and not wrapping["TRUSTED"]:
        raise KeyNotWrappable(f"key {entry.handle:#018x} is wrapped by a trusted key only (WRAP_WITH_TRUSTED is true)")
    template = wrapping.get("WRAP_TEMPLATE")
    if isinstance(template, Mapping):
        different = [name for name, value in template.items() if attributes.get(name) != value]
        if different:
            raise KeyNotWrappable(
                f"key {entry.handle:#018x} does not match the wrapping key's WRAP_TEMPLATE in {', '.join(different)}"
            )


def mechanism(name: str, operation: Operation) -> Mechanism:
    """Return a mechanism that has an operation.

    Raises:
        MechanismInvalid: The mechanism is unknown or lacks the operation.
    """
    row = MECHANISMS.get(name)
    if row is None:
        raise MechanismInvalid(f"there is no mechanism {name[:64]!r}")
    if operation not in row.operations:
        raise MechanismInvalid(f"mechanism {name} does not {operation.value.lower()}")
    return row


def require_usable(attributes: Mapping[str, Value], row: Mechanism, operation: Operation) -> None:
    """Check that a key with these attributes may do an operation with a mechanism.

    Raises:
        KeyTypeInconsistent: The key's class or type does not fit.
        KeyFunctionNotPermitted: An attribute forbids the operation.
    """
    key_class, key_type = str(attributes["OBJECT_CLASS"]), str(attributes["KEY_TYPE"])
    if key_type not in row.key_types or key_class not in _CLASSES[operation]:
        raise KeyTypeInconsistent(
            f"a {key_class} of type {key_type} does not {operation.value.lower()} with {row.name}"
        )
    if attributes[operation.value] is not True:
        raise KeyFunctionNotPermitted(f"the key does not {operation.value.lower()}: its {operation.value} is false")


def require_strong_hash(attributes: Mapping[str, Value], row: Mechanism) -> None:
    """Check that the hash of an ECDSA signature is not shorter than the order of the key's curve.

    SHA-512 is long enough for P-521 (SP 800-57 part 1, table 3). A mechanism without a hash is not checked.

    Raises:
        KeyFunctionNotPermitted: The hash is shorter.
    """
    bits, size = digest_bytes(row.hash) * 8 if row.hash else 0, attributes["SIZE"]
    if row.family == "ecdsa" and isinstance(size, int) and 0 < bits < min(size, 512):
        raise KeyFunctionNotPermitted(
            f"Digest security strength ({bits // 2}) is weaker than the key security strength ({min(size, 512) // 2})"
        )
