"""A key as an administrator reads it: its attributes, and what follows from its material, its owner and its sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsmcore.errors import AttributeInvalid
from hsmcore.keys.records import NOT_SHARED, Entry, KeyRecord, Sharing
from hsmcore.keys.search import SearchTemplate
from hsmcore.primitives.facts import ML_DSA_PRIVATE, check_value, public_length, public_numbers
from hsmcore.tables.attributes import PRIVATE, PUBLIC, TABLE, Value, normal

_ADDED: dict[str, type[Value]] = {"CHECK_VALUE": bytes, "KEY_LENGTH": int, "MODULUS": bytes, "EC_POINT": bytes}
DERIVED = frozenset({*_ADDED, "MODULUS_BITS", "PUBLIC_EXPONENT", "EXTRACTABLE"})
"""Names whose value is not that of the stored attribute, or that no attribute has."""


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """A record with what is derived from the key. An admin is told neither owner nor anything derived."""

    record: KeyRecord
    derived: Mapping[str, Value] = field(default_factory=dict)
    owner: str | None = None
    sharing: Sharing = NOT_SHARED

    def values(self) -> dict[str, Value]:
        """Return the attributes with what is derived."""
        return {**self.record.attributes, **self.derived}


def describe(entry: Entry, sharing: Sharing, material: bytes) -> KeyDescription:
    """Describe a key to a user who may know of this sharing.

    CHECK_VALUE is absent for a generic secret. KEY_LENGTH is in bytes: of a secret key, of PKCS #8, of a public key as
    ``public_length`` counts it. Both halves of an RSA pair have MODULUS, MODULUS_BITS and PUBLIC_EXPONENT, both of an
    EC pair EC_POINT. A public key is EXTRACTABLE.
    """
    attributes, info = entry.record.attributes, entry.record.public_key_info
    derived: dict[str, Value] = {"KEY_LENGTH": len(material)}
    if attributes["OBJECT_CLASS"] == PRIVATE and attributes["KEY_TYPE"] == "ML_DSA":
        derived["KEY_LENGTH"] = ML_DSA_PRIVATE[str(attributes["PARAMETER_SET"])]
    check = check_value(str(attributes["KEY_TYPE"]), material, info)
    if check is not None:
        derived["CHECK_VALUE"] = check
    if info is not None:
        derived |= public_numbers(info)
        if attributes["OBJECT_CLASS"] == PUBLIC:
            derived |= {"KEY_LENGTH": public_length(info), "EXTRACTABLE": True}
    return KeyDescription(entry.record, derived, entry.owner, sharing)


def search_template(attributes: Mapping[str, object]) -> SearchTemplate:
    """Return what is looked for, normalised, without what is null; of a sequence of values any will do.

    Raises ``AttributeInvalid``.
    """
    return SearchTemplate({name: _choices(name, value) for name, value in attributes.items() if value is not None})


def _choices(name: str, value: object) -> tuple[Value, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return (_normal(name, value),)
    choices: list[Value] = []
    for one in value:
        choice = _normal(name, one)
        if choice not in choices:
            choices.append(choice)
    return tuple(choices)


def _normal(name: str, value: object) -> Value:
    kind = _ADDED.get(name)
    if kind is None or name in TABLE:
        return normal(name, value)
    if not isinstance(value, (int, bytes)) or type(value) is not kind:
        raise AttributeInvalid(f"{name} is of type {kind.__name__}, not {type(value).__name__}")
    return value
