"""New keys, generated or imported: material and attributes together, not yet in the HSM."""

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
"""Bits of a secret key whose maker does not say, as JCA asks of every KeyGenerator."""
DEFAULT_MODULUS_BITS = 2048
DEFAULT_EXPONENT = EXPONENT.to_bytes(3, "big")
DEFAULT_CURVE = CURVES["secp256r1"]


Halves = tuple[KeyFacts, KeyFacts]
"""The public and the private half of a pair."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that no handle names yet."""

    attributes: Mapping[str, Value]
    material: bytes = field(repr=False)
    public_key_info: bytes | None = None


def _generator(name: str, family: str) -> tuple[Mechanism, str]:
    row = policy.mechanism(name, Operation.GENERATE)
    if row.family != family:
        raise MechanismInvalid(f"mechanism {name} makes no {family.replace('_', ' ')}")
    (key_type,) = row.key_types
    return row, key_type.value


def generate_secret(mechanism: str, attributes: Mapping[str, object], settings: Settings) -> NewKey:
    """Generate a secret key. Raises ``MechanismInvalid``, ``AttributeInvalid``, ``KeySizeInvalid``."""
    _, key_type = _generator(mechanism, "secret_key")
    wishes = checked(attributes)
    size = wishes.pop("SIZE", row_of(DEFAULT_SIZES, key_type, "DEFAULT_SIZES of hsmcore.keys.generation"))
    return _new(SECRET, secret_key(key_type, _number(size)), wishes, settings, generated=True)


def _rsa_pair(wishes: Mapping[str, Value]) -> Halves:
    bits = wishes.get("MODULUS_BITS", DEFAULT_MODULUS_BITS)
    return rsa_pair(_number(bits), _bytes(wishes.get("PUBLIC_EXPONENT", DEFAULT_EXPONENT)))


_MAKERS: dict[str, Callable[[Mapping[str, Value]], Halves]] = {
    KeyType.RSA: _rsa_pair,
    KeyType.EC: lambda wishes: ec_pair(_bytes(wishes.get("EC_PARAMS", DEFAULT_CURVE))),
    KeyType.EC_EDWARDS: lambda _wishes: ed25519_pair(),
    KeyType.ML_DSA: lambda wishes: ml_dsa_pair(str(wishes.get("PARAMETER_SET", ML_DSA_DEFAULT))),
}


def derive_secret(
    derive: Callable[[int], bytes], attributes: Mapping[str, object], base: Mapping[str, Value], settings: Settings
) -> NewKey:
    """Derive a secret key of the KEY_TYPE and SIZE that the attributes name; DESede has only one size.

    ``derive`` returns that many bytes; ``base`` are the attributes of the key it derives from. Raises
    ``AttributeInvalid``, ``KeySizeInvalid``.
    """
    wishes = checked(attributes)
    key_type = str(wishes.get("KEY_TYPE"))
    if key_type not in TYPES[SECRET]:
        raise AttributeInvalid(f"a derived key has a KEY_TYPE of {', '.join(TYPES[SECRET])}, not {key_type[:64]}")
    size = wishes.pop("SIZE", DEFAULT_SIZES[key_type] if key_type == KeyType.DESEDE else None)
    if size is None:
        raise AttributeInvalid("a derivation needs the attribute SIZE of the derived key, in bits")
    return _new(SECRET, secret_key(key_type, _number(size), derive), wishes, settings, generated=True, base=base)


def generate_pair(
    mechanism: str, public: Mapping[str, object], private: Mapping[str, object], settings: Settings
) -> tuple[NewKey, NewKey]:
    """Generate a key pair, public half first. Raises ``MechanismInvalid``, ``AttributeInvalid``, ``KeySizeInvalid``."""
    _, key_type = _generator(mechanism, "key_pair")
    public_wishes, private_wishes = checked(public), checked(private)
    halves = row_of(_MAKERS, key_type, "_MAKERS of hsmcore.keys.generation")(public_wishes)
    return (
        _new(PUBLIC, halves[0], public_wishes, settings, generated=True),
        _new(PRIVATE, halves[1], private_wishes, settings, generated=True),
    )


def read(attributes: Mapping[str, object], material: bytes, settings: Settings) -> NewKey:
    """Take a key from outside: raw bytes, PKCS #8 or SubjectPublicKeyInfo by OBJECT_CLASS.

    Raises ``AttributeInvalid``, ``KeyMaterialInvalid``, ``KeySizeInvalid``.
    """
    wishes = checked(attributes)
    key_class, key_type = wishes.get("OBJECT_CLASS"), wishes.get("KEY_TYPE")
    if key_class not in CLASSES or key_type not in TYPES[str(key_class)]:
        raise AttributeInvalid("an import names an OBJECT_CLASS and a KEY_TYPE that go together")
    if key_class == SECRET:
        facts = read_secret(str(key_type), material)
    else:
        facts = read_private(material) if key_class == PRIVATE else read_public(material)
    if facts.key_type != key_type:
        raise KeyMaterialInvalid(f"the bytes are a key of type {facts.key_type}, not {key_type}")
    return _new(str(key_class), facts, wishes, settings, generated=False)


def _new(
    key_class: str,
    key: KeyFacts,
    wishes: Mapping[str, Value],
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
    return NewKey(complete(wishes, origin), key.material, key.public_key_info)


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise AttributeInvalid(f"a number is needed, not {type(value).__name__}")
    return value


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise AttributeInvalid(f"bytes are needed, not {type(value).__name__}")
    return value
