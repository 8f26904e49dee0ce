"""What a session may do to which key: pure functions of records, without clock, store or cryptography.

``hsmcore.sessions.permissions`` decides first which role may call an operation. The rules here, in order: a session
sees
a key or it does not exist for it; a crypto user uses what is visible, where the key's class, type and attributes allow;
only the owner changes, shares, extracts, wraps out or destroys; an admin sees the label of every token key and sets
TRUSTED.
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
)
from hsmcore.keys.records import NOT_SHARED, Entry, KeyRecord, Sharing
from hsmcore.sessions.session import Session, ended
from hsmcore.tables.attributes import PRIVATE, PUBLIC, SECRET, Value
from hsmcore.tables.mechanisms import DIGEST_BYTES, MECHANISMS, Mechanism, Operation
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
    """Raise ``Unauthenticated`` for a session that has ended."""
    if not session.alive:
        raise ended()


def sees(session: Session, entry: Entry) -> bool:
    """Tell whether a key exists for this session.

    A crypto user sees the keys that are shared with the user. A session key belongs to its session otherwise; of token
    keys, a crypto user sees the own ones and every public key, an admin all.
    """
    if session.role == CRYPTO_USER and session.username in entry.sharing.users:
        return True
    if entry.session is not None:
        return entry.session == session.token
    if session.role == ADMIN:
        return True
    return entry.owner == session.username or entry.record.attributes["OBJECT_CLASS"] == PUBLIC


def require_may_find(session: Session, names: Collection[str]) -> None:
    """Raise unless a crypto user looks for keys by any attributes, or an admin by LABEL alone."""
    require_alive(session)
    if session.role == ADMIN and set(names) - {"LABEL"}:
        raise PermissionDenied("an admin finds keys by LABEL only")


def view(session: Session, entry: Entry) -> KeyRecord:
    """Return the record as this session may see it: an admin sees handle and label only."""
    if session.role == ADMIN:
        return KeyRecord(entry.handle, {"LABEL": entry.record.attributes["LABEL"]})
    return entry.record


def require_owner(session: Session, entry: Entry) -> None:
    """Raise ``PermissionDenied`` where the key is visible but another crypto user's."""
    if entry.owner != session.username:
        raise PermissionDenied(f"key {entry.handle} belongs to another user; only the owner may do this")


def require_may_share(session: Session, entry: Entry) -> None:
    """Raise ``PermissionDenied`` unless the session is the owner's, ``SharingInvalid`` for a public key."""
    require_owner(session, entry)
    require_sharable(str(entry.record.attributes["OBJECT_CLASS"]))


def require_sharable(key_class: str) -> None:
    """Raise ``SharingInvalid`` for the class of public keys."""
    if key_class == PUBLIC:
        raise SharingInvalid("a public key is not shared: every crypto user can use it")


def sharing(owner: str, usernames: Iterable[str]) -> Sharing:
    """Return the sharing of an owner's key with these users. Raises ``SharingInvalid`` for the owner, or one twice."""
    names = sorted(usernames)
    if owner in names:
        raise SharingInvalid("a key is shared with other users than its owner")
    if len(set(names)) < len(names):
        raise SharingInvalid("a key is shared with each user once; one is named twice, or has the key already")
    return Sharing(tuple(names))


def require_enough_users(entry: Entry, sharing: Sharing) -> None:
    """Raise ``SharingInvalid`` where a key would have fewer users than it takes approvals."""
    needed, users = max(approvals_needed(entry, service) for service in KEY_SERVICES), 1 + len(sharing.users)
    if users < needed:
        raise SharingInvalid(f"key {entry.handle} takes the approvals of {needed} users and would have {users}")


def view_sharing(session: Session, entry: Entry) -> Sharing:
    """Return with whom a key is shared, as a crypto user may know: the owner everybody, another user the own name."""
    if entry.owner == session.username:
        return entry.sharing
    return Sharing((session.username,)) if session.username in entry.sharing.users else NOT_SHARED


def require_destroyable(entry: Entry) -> None:
    """Raise ``KeyFunctionNotPermitted`` for a key with DESTROYABLE false."""
    if not entry.record.attributes["DESTROYABLE"]:
        raise KeyFunctionNotPermitted(f"key {entry.handle} is not destroyable (DESTROYABLE is false)")


def require_may_change(session: Session, entry: Entry, wishes: Mapping[str, Value]) -> None:
    """Raise ``PermissionDenied`` unless an admin changes TRUSTED alone, or the owner anything else."""
    if session.role == ADMIN:
        if wishes.keys() - {"TRUSTED"}:
            raise PermissionDenied("an admin sets TRUSTED and no other attribute")
        return
    require_owner(session, entry)
    if "TRUSTED" in wishes:
        raise PermissionDenied("TRUSTED is set by an admin")


def approvals_needed(entry: Entry, service: str) -> int:
    """Return the approvals that a key takes for a key service, 0 for none."""
    value = entry.record.attributes.get(SERVICES[service].attribute, 0)
    return value if isinstance(value, int) else 0


def associates(entry: Entry) -> frozenset[str]:
    """Return the crypto users who approve what a key takes approval for."""
    return frozenset({entry.owner, *entry.sharing.users})


def require_may_set_quorum(session: Session, entry: Entry, manage: int, use: int) -> None:
    """Raise ``PermissionDenied`` unless the session is the owner's, ``QuorumValueInvalid`` where values do not fit."""
    require_owner(session, entry)
    users = len(associates(entry))
    problem = ""
    if entry.record.attributes["OBJECT_CLASS"] == PUBLIC:
        problem = "a public key takes no approval"
    elif any(approvals_needed(entry, service) for service in KEY_SERVICES):
        problem = "the values of this key are set and stay so"
    elif not (0 <= manage <= MAX_APPROVALS and 0 <= use <= MAX_APPROVALS):
        problem = f"a value is 0 to {MAX_APPROVALS}"
    elif max(manage, use) > users:
        problem = (
            f"{max(manage, use)} is more than the {users} users of this key, the owner and those it is shared with"
        )
    if problem:
        raise QuorumValueInvalid(f"Invalid quorum value provided. {problem}")


def may_extract(session: Session, entry: Entry, *, clear_key_extraction: bool) -> bool:
    """Tell whether this user may read the key's material in clear: a public key's always, else only the owner.

    In the clear a key would take no approval, so one that does is not read.
    """
    attributes = entry.record.attributes
    if attributes["OBJECT_CLASS"] == PUBLIC:
        return True
    allowed = attributes["EXTRACTABLE"] and not attributes["WRAP_WITH_TRUSTED"]
    allowed = allowed and not any(approvals_needed(entry, service) for service in KEY_SERVICES)
    return bool(clear_key_extraction and allowed and entry.owner == session.username)


def require_wrappable(session: Session, entry: Entry, wrapping: Mapping[str, Value]) -> None:
    """Raise unless this user may take the key out, wrapped under a key with the attributes ``wrapping``.

    ``PermissionDenied`` unless the user owns the key, whoever owns the wrapping key; ``KeyUnextractable``;
    ``KeyNotWrappable``.
    """
    require_owner(session, entry)
    attributes = entry.record.attributes
    if attributes["OBJECT_CLASS"] == PUBLIC:
        raise KeyNotWrappable(f"key {entry.handle} is public and is not wrapped; its encoding may be read")
    if not attributes["EXTRACTABLE"]:
        raise KeyUnextractable(f"key {entry.handle} does not leave the HSM (EXTRACTABLE is false)")
    if attributes["WRAP_WITH_TRUSTED"] and not wrapping["TRUSTED"]:
        raise KeyNotWrappable(f"key {entry.handle} is wrapped by a trusted key only (WRAP_WITH_TRUSTED is true)")
    template = wrapping.get("WRAP_TEMPLATE")
    if isinstance(template, Mapping):
        different = [name for name, value in template.items() if attributes.get(name) != value]
        if different:
            raise KeyNotWrappable(
                f"key {entry.handle} does not match the wrapping key's WRAP_TEMPLATE in {', '.join(different)}"
            )


def mechanism(name: str, operation: Operation) -> Mechanism:
    """Return the mechanism. Raises ``MechanismInvalid`` for an unknown one, or one without that operation."""
    row = MECHANISMS.get(name)
    if row is None:
        raise MechanismInvalid(f"there is no mechanism {name[:64]!r}")
    if operation not in row.operations:
        raise MechanismInvalid(f"mechanism {name} does not {operation.value.lower()}")
    return row


def require_usable(attributes: Mapping[str, Value], row: Mechanism, operation: Operation) -> None:
    """Raise unless a key with these attributes may do this operation with this mechanism.

    ``KeyTypeInconsistent`` where class or type do not fit, ``KeyFunctionNotPermitted`` where an attribute forbids it.
    """
    key_class, key_type = str(attributes["OBJECT_CLASS"]), str(attributes["KEY_TYPE"])
    if key_type not in row.key_types or key_class not in _CLASSES[operation]:
        raise KeyTypeInconsistent(f"a {key_type} {key_class} does not {operation.value.lower()} with {row.name}")
    if attributes[operation.value] is not True:
        raise KeyFunctionNotPermitted(f"the key does not {operation.value.lower()}: its {operation.value} is false")


def require_strong_hash(attributes: Mapping[str, Value], row: Mechanism) -> None:
    """Raise ``KeyFunctionNotPermitted`` for an ECDSA signature over a hash shorter than the order of the key's curve.

    SHA-512 is long enough for P-521 (SP 800-57 part 1, table 3). A digest as given is not looked at.
    """
    bits, size = DIGEST_BYTES.get(row.hash, 0) * 8, attributes["SIZE"]
    if row.family == "ecdsa" and isinstance(size, int) and 0 < bits < min(size, 512):
        raise KeyFunctionNotPermitted(
            f"Digest security strength ({bits // 2}) is weaker than the key security strength ({min(size, 512) // 2})"
        )
