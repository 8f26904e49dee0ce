"""Key descriptions: attributes, owner, sharing, and values derived from the key material."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsmcore.errors import AttributeInvalid
from hsmcore.keys.records import NOT_SHARED, KeyEntry, KeyRecord, Sharing
from hsmcore.keys.search import SearchTemplate
from hsmcore.primitives.facts import ML_DSA_PRIVATE, check_value, public_length, public_numbers
from hsmcore.primitives.keyforms import open_public
from hsmcore.tables.attributes import PRIVATE, PUBLIC, TABLE, Value, normal

_ADDED: dict[str, type[Value]] = {"CHECK_VALUE": bytes, "KEY_LENGTH": int, "MODULUS": bytes, "EC_POINT": bytes}
DERIVED = frozenset({*_ADDED, "MODULUS_BITS", "PUBLIC_EXPONENT", "EXTRACTABLE"})
"""Names with a value that is derived and not that of a stored attribute."""


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """A record with derived values. An admin gets neither the owner nor derived values."""

    record: KeyRecord
    derived: Mapping[str, Value] = field(default_factory=dict)
    owner: str | None = None
    sharing: Sharing = NOT_SHARED

    def values(self) -> dict[str, Value]:
        """Return the attributes and the derived values."""
        return {**self.record.attributes, **self.derived}


def describe(entry: KeyEntry, sharing: Sharing, material: bytes) -> KeyDescription:
    """Describe a key to a user.

    A generic secret has no CHECK_VALUE. Both keys of an RSA pair have MODULUS, MODULUS_BITS and PUBLIC_EXPONENT, both
    of an EC pair EC_POINT. A public key is EXTRACTABLE. KEY_LENGTH is the number of bytes of a secret key, of a private
    key's PKCS #8, or of a public key as ``public_length`` counts it.

    Args:
        entry: The key.
        sharing: The part of the key's sharing that the user may see.
        material: The key's material.
    """
    attributes, info = entry.record.attributes, entry.record.public_key_info
    derived: dict[str, Value] = {"KEY_LENGTH": len(material)}
    if attributes["OBJECT_CLASS"] == PRIVATE and attributes["KEY_TYPE"] == "ML_DSA":
        derived["KEY_LENGTH"] = ML_DSA_PRIVATE[str(attributes["PARAMETER_SET"])]
    check = check_value(str(attributes["KEY_TYPE"]), material, info)
    if check is not None:
        derived["CHECK_VALUE"] = check
    if info is not None:
        public = open_public(info)
        derived |= public_numbers(public)
        if attributes["OBJECT_CLASS"] == PUBLIC:
            derived |= {"KEY_LENGTH": public_length(public), "EXTRACTABLE": True}
    return KeyDescription(entry.record, derived, entry.owner, sharing)


def search_template(attributes: Mapping[str, object]) -> SearchTemplate:
    """Return a search template of attributes as a caller gives them.

    Args:
        attributes: A value, or a sequence of accepted values, by name; a null value counts as absent.

    Raises:
        AttributeInvalid: An attribute is unknown or of the wrong type.
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
