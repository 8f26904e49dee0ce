"""Generation, derivation and import of new keys, which are not yet stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hsmcore.errors import AttributeInvalid, KeyMaterialInvalid, MechanismInvalid
from hsmcore.keys import policy
from hsmcore.primitives.generators import ec_pair, ed25519_pair, ml_dsa_pair, read_secret, rsa_pair, secret_key
from hsmcore.primitives.keyforms import KeyFacts, read_private, read_public
from hsmcore.settings import Settings
from hsmcore.tables.attributes import CLASSES, PRIVATE, PUBLIC, SECRET, TYPES, Origin, Value, checked, complete
from hsmcore.tables.lookup import row_of
from hsmcore.tables.mechanisms import CURVES, EXPONENT, ML_DSA_DEFAULT, KeyType, Mechanism, Operation

DEFAULT_SIZES = {KeyType.AES.value: 256, KeyType.DESEDE.value: 192, KeyType.GENERIC_SECRET.value: 256}
"""Default size of a secret key, in bits."""
DEFAULT_MODULUS_BITS = 2048
DEFAULT_EXPONENT = EXPONENT.to_bytes(3, "big")
DEFAULT_CURVE = CURVES["secp256r1"]


Halves = tuple[KeyFacts, KeyFacts]
"""The public and the private key of a pair."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is not yet stored and has no handle."""

    attributes: Mapping[str, Value]
    material: bytes = field(repr=False)
    public_key_info: bytes | None = None


def _generator(name: str, family: str) -> tuple[Mechanism, str]:
    row = policy.mechanism(name, Operation.GENERATE)
    if row.family != family:
        raise MechanismInvalid(f"mechanism {name} generates no {family.replace('_', ' ')}")
    (key_type,) = row.key_types
    return row, key_type.value


def generate_secret(mechanism: str, attributes: Mapping[str, object], settings: Settings) -> NewKey:
    """Generate a secret key.

    Raises:
        MechanismInvalid: The mechanism is unknown or generates no secret keys.
        AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
        KeySizeInvalid: The key type has no keys of that size.
    """
    _, key_type = _generator(mechanism, "secret_key")
    template = checked(attributes)
    size = template.pop("SIZE", row_of(DEFAULT_SIZES, key_type, "DEFAULT_SIZES of hsmcore.keys.generation"))
    return _new(SECRET, secret_key(key_type, _number(size)), template, settings, generated=True)


def _rsa_pair(template: Mapping[str, Value]) -> Halves:
    bits = template.get("MODULUS_BITS", DEFAULT_MODULUS_BITS)
    return rsa_pair(_number(bits), _bytes(template.get("PUBLIC_EXPONENT", DEFAULT_EXPONENT)))


_PAIR_GENERATORS: dict[str, Callable[[Mapping[str, Value]], Halves]] = {
    KeyType.RSA: _rsa_pair,
    KeyType.EC: lambda template: ec_pair(_bytes(template.get("EC_PARAMS", DEFAULT_CURVE))),
    KeyType.EC_EDWARDS: lambda _template: ed25519_pair(),
    KeyType.ML_DSA: lambda template: ml_dsa_pair(str(template.get("PARAMETER_SET", ML_DSA_DEFAULT))),
}


def derive_secret(
    derive: Callable[[int], bytes], attributes: Mapping[str, object], base: Mapping[str, Value], settings: Settings
) -> NewKey:
    """Derive a secret key.

    Args:
        derive: Returns the requested number of bytes.
        attributes: The new key's template; KEY_TYPE and SIZE (bits) are required, SIZE not for DESede.
        base: The attributes of the base key.
        settings: The HSM's settings.

    Raises:
        AttributeInvalid: An attribute is missing, unknown, of the wrong type, or not allowed here.
        KeySizeInvalid: The key type has no keys of that size.
    """
    template = checked(attributes)
    key_type = str(template.get("KEY_TYPE"))
    if key_type not in TYPES[SECRET]:
        raise AttributeInvalid(f"a derived key has a KEY_TYPE of {', '.join(TYPES[SECRET])}, not {key_type[:64]}")
    size = template.pop("SIZE", DEFAULT_SIZES[key_type] if key_type == KeyType.DESEDE else None)
    if size is None:
        raise AttributeInvalid("a derivation needs the attribute SIZE of the derived key, in bits")
    return _new(SECRET, secret_key(key_type, _number(size), derive), template, settings, generated=True, base=base)


def generate_pair(
    mechanism: str, public: Mapping[str, object], private: Mapping[str, object], settings: Settings
) -> tuple[NewKey, NewKey]:
    """Generate a key pair and return its public and its private key.

    Raises:
        MechanismInvalid: The mechanism is unknown or generates no key pairs.
        AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
        KeySizeInvalid: The key type has no keys of that size.
        LookupError: The table of generators lacks a row for the mechanism's key type.
    """
    _, key_type = _generator(mechanism, "key_pair")
    public_template, private_template = checked(public), checked(private)
    generator = row_of(_PAIR_GENERATORS, key_type, "_PAIR_GENERATORS of hsmcore.keys.generation")
    halves = generator(public_template)
    return (
        _new(PUBLIC, halves[0], public_template, settings, generated=True),
        _new(PRIVATE, halves[1], private_template, settings, generated=True),
    )


def read(attributes: Mapping[str, object], material: bytes, settings: Settings) -> NewKey:
    """Read a key from outside.

    Args:
        attributes: The new key's template; OBJECT_CLASS and KEY_TYPE are required.
        material: Raw bytes of a secret key, PKCS #8 (DER) of a private key, SubjectPublicKeyInfo (DER) of a public key.
        settings: The HSM's settings.

    Raises:
        AttributeInvalid: An attribute is missing, unknown, of the wrong type, or not allowed here.
        KeyMaterialInvalid: The bytes are not a key of that class and type.
        KeySizeInvalid: The key type has no keys of that size.
    """
    template = checked(attributes)
    key_class, key_type = template.get("OBJECT_CLASS"), template.get("KEY_TYPE")
    if key_class not in CLASSES or key_type not in TYPES[str(key_class)]:
        raise AttributeInvalid("an import needs an OBJECT_CLASS and a KEY_TYPE that fit each other")
    if key_class == SECRET:
        facts = read_secret(str(key_type), material)
    else:
        facts = read_private(material) if key_class == PRIVATE else read_public(material)
    if facts.key_type != key_type:
        raise KeyMaterialInvalid(f"the bytes are a key of type {facts.key_type}, not {key_type}")
    return _new(str(key_class), facts, template, settings, generated=False)


def _new(
    key_class: str,
    key: KeyFacts,
    template: Mapping[str, Value],
    settings: Settings,
    *,
    generated: bool,
    base: Mapping[str, Value] | None = None,
) -> NewKey:
    facts: dict[str, Value] = {"OBJECT_CLASS": key_class, "KEY_TYPE": key.key_type, "SIZE": key.size}
    if key.curve is not None:
        facts["EC_PARAMS"] = key.curve
    if key.parameter_set is not None:
        facts["PARAMETER_SET"] = key.parameter_set
    if key_class == PUBLIC and key.exponent is not None:
        facts |= {"MODULUS_BITS": key.size, "PUBLIC_EXPONENT": key.exponent}
    origin = Origin(generated, settings.extractable_default, facts, base)
    return NewKey(complete(template, origin), key.material, key.public_key_info)


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise AttributeInvalid(f"a number is needed, not {type(value).__name__}")
    return value


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise AttributeInvalid(f"bytes are needed, not {type(value).__name__}")
    return value
