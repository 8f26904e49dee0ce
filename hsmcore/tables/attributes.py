"""The attribute table: the attributes of keys as data, one row an attribute.

Names, types, defaults and classes are those of the CloudHSM JCE provider. They permit every operation that the key can
do, nearly the opposite of PKCS #11. A record has every attribute of its class and type; a usage that the key cannot
have is ``False``.

An unknown name, a wrong type, or a value that the row does not let the caller choose raises ``AttributeInvalid``. A
usage that does not fit the key may be ``False``; ``True`` raises ``AttributeInvalid``. A null value counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto

from hsmcore.errors import AttributeInvalid
from hsmcore.tables.mechanisms import KeyType

Plain = bool | int | str | bytes
Template = Mapping[str, Plain]
Value = Plain | Template
"""The value of an attribute. Integers have 63 bits; longer numbers are big-endian ``bytes``.

A template has attributes of another key, but no templates.
"""

MAX_BYTES = 4096
"""Maximum length of an attribute of bytes, and maximum characters of one of text but LABEL."""
MAX_LABEL = 127
"""Maximum characters of a label (CloudHSM, from Client SDK 5.11)."""

CLASSES = ("SECRET_KEY", "PUBLIC_KEY", "PRIVATE_KEY")
"""The values of OBJECT_CLASS."""
SECRET, PUBLIC, PRIVATE = CLASSES

_AES, _DES, _GENERIC = KeyType.AES.value, KeyType.DESEDE.value, KeyType.GENERIC_SECRET.value
_RSA, _EC, _EDWARDS, _ML_DSA = KeyType.RSA.value, KeyType.EC.value, KeyType.EC_EDWARDS.value, KeyType.ML_DSA.value
_PAIRS = (_RSA, _EC, _EDWARDS, _ML_DSA)
TYPES = {SECRET: (_AES, _DES, _GENERIC), PUBLIC: _PAIRS, PRIVATE: _PAIRS}
"""Key types by class."""

_ALL = TYPES
_OWN_MATERIAL = {SECRET: TYPES[SECRET], PRIVATE: TYPES[PRIVATE]}


class Set(Flag):
    """The moments at which a caller may choose an attribute's value."""

    NEVER = 0
    GENERATE = auto()
    IMPORT = auto()
    MAKE = GENERATE | IMPORT
    MATCH = auto()
    """A value in a new key's template must equal the value that the key has."""


class Change(Enum):
    """The permitted changes of an attribute of an existing key."""

    NEVER = auto()
    FREELY = auto()
    RAISE = auto()
    """From false to true only."""
    LOWER = auto()
    """From true to false only."""
    ADMIN = auto()
    """Freely, by an admin only."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row. ``fits`` maps each class to the key types that have the attribute, with the ``default``."""

    name: str
    type: type[Value]
    fits: Mapping[str, tuple[str, ...]]
    default: Value | None = None
    set: Set = Set.MAKE
    change: Change = Change.NEVER
    defaults: Mapping[str, Value] = field(default_factory=dict)

    def applies(self, key_class: str, key_type: str) -> bool:
        """Tell whether a key of this class and type has the attribute."""
        return key_type in self.fits.get(key_class, ())


def _usage(name: str, *, secret: tuple[str, ...] = (), public: tuple[str, ...] = (), private: tuple[str, ...] = (),
           default: bool = True) -> Attribute:  # fmt: skip
    return Attribute(
        name, bool, {SECRET: secret, PUBLIC: public, PRIVATE: private}, default, change=Change.FREELY
    )  # fmt: skip


_BLOCK = (_AES, _DES)
_HALVES = (PUBLIC, PRIVATE)

ROWS: tuple[Attribute, ...] = (
    Attribute("OBJECT_CLASS", str, _ALL, set=Set.MATCH),
    Attribute("KEY_TYPE", str, _ALL, set=Set.MATCH),
    Attribute("LABEL", str, _ALL, "", change=Change.FREELY),
    Attribute("ID", bytes, _ALL, b"", change=Change.FREELY),
    Attribute("TOKEN", bool, _ALL, False, change=Change.RAISE),
    Attribute("PRIVATE", bool, _ALL, True),
    Attribute("MODIFIABLE", bool, _ALL, True, change=Change.LOWER),
    Attribute("DESTROYABLE", bool, _ALL, True, change=Change.FREELY),
    Attribute("EXTRACTABLE", bool, _OWN_MATERIAL, True),
    Attribute("SENSITIVE", bool, _OWN_MATERIAL, True, set=Set.MATCH),
    Attribute("WRAP_WITH_TRUSTED", bool, _OWN_MATERIAL, False, change=Change.RAISE),
    Attribute("TRUSTED", bool, {SECRET: TYPES[SECRET], PUBLIC: TYPES[PUBLIC]}, False, Set.MATCH, Change.ADMIN),
    Attribute("LOCAL", bool, _ALL, set=Set.NEVER),
    Attribute("ALWAYS_SENSITIVE", bool, _OWN_MATERIAL, set=Set.NEVER),
    Attribute("NEVER_EXTRACTABLE", bool, _OWN_MATERIAL, set=Set.NEVER),
    _usage("ENCRYPT", secret=_BLOCK, public=(_RSA,)),
    _usage("DECRYPT", secret=_BLOCK, private=(_RSA,)),
    _usage("SIGN", secret=TYPES[SECRET], private=TYPES[PRIVATE]),
    _usage("VERIFY", secret=TYPES[SECRET], public=TYPES[PUBLIC]),
    _usage("WRAP", secret=_BLOCK, public=(_RSA,)),
    _usage("UNWRAP", secret=_BLOCK, private=(_RSA,)),
    Attribute("WRAP_TEMPLATE", dict, {SECRET: _BLOCK, PUBLIC: (_RSA,)}, change=Change.FREELY),
    Attribute("UNWRAP_TEMPLATE", dict, {SECRET: _BLOCK, PRIVATE: (_RSA,)}, change=Change.FREELY),
    _usage("DERIVE", secret=(_AES, _GENERIC), private=(_EC,), default=False),
    Attribute("SIZE", int, _ALL, set=Set.GENERATE | Set.MATCH),
    Attribute("MODULUS_BITS", int, {PUBLIC: (_RSA,)}, set=Set.GENERATE | Set.MATCH),
    Attribute("PUBLIC_EXPONENT", bytes, {PUBLIC: (_RSA,)}, set=Set.GENERATE | Set.MATCH),
    Attribute("EC_PARAMS", bytes, dict.fromkeys(_HALVES, (_EC, _EDWARDS)), set=Set.GENERATE | Set.MATCH),
    Attribute("PARAMETER_SET", str, dict.fromkeys(_HALVES, (_ML_DSA,)), set=Set.GENERATE | Set.MATCH),
)  # fmt: skip
"""SIZE is in bits (of an ML-DSA key: its public key). PUBLIC_EXPONENT is big-endian without leading zeros. EC_PARAMS is
the curve's OID in DER (RFC 5480). PARAMETER_SET is that of FIPS 204.

A key only wraps keys that have every value of its WRAP_TEMPLATE. A key that it unwraps gets every value of its
UNWRAP_TEMPLATE. A key without a template lacks the attribute.
"""

TABLE: dict[str, Attribute] = {row.name: row for row in ROWS}
"""Every attribute by name."""


def row(name: str) -> Attribute:
    """Return the attribute's row.

    Raises:
        AttributeInvalid: The name is unknown.
    """
    known = TABLE.get(name)
    if known is None:
        raise AttributeInvalid(f"there is no attribute {name[:64]!r}; there are {', '.join(TABLE)}")
    return known


def normal(name: str, value: object) -> Value:
    """Return the value in its stored form.

    An ID of text becomes its UTF-8. PUBLIC_EXPONENT loses leading zeros, because Java's ``BigInteger`` writes one.

    Raises:
        AttributeInvalid: The name is unknown, or the type or length is wrong.
    """
    expected = row(name).type
    if name == "ID" and isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise AttributeInvalid(f"{name} is of type {expected.__name__}, not {type(value).__name__}")
    if name == "LABEL" and isinstance(value, str):
        _check_label(value)
    if isinstance(value, (bytes, str)) and len(value) > MAX_BYTES:
        raise AttributeInvalid(
            f"{name} has at most {MAX_BYTES} {'bytes' if isinstance(value, bytes) else 'characters'}, not {len(value)}"
        )
    if name == "PUBLIC_EXPONENT" and isinstance(value, bytes):
        return value.lstrip(b"\0")
    return _template(name, value) if isinstance(value, Mapping) else value


def _template(name: str, attributes: Mapping[str, object]) -> Template:
    template: dict[str, Plain] = {}
    for inner, value in checked(attributes).items():
        if isinstance(value, Mapping):
            raise AttributeInvalid(f"{name} cannot have {inner}: templates do not nest")
        template[inner] = value
    return template


def _check_label(label: str) -> None:
    if len(label) > MAX_LABEL:
        raise AttributeInvalid(f"a LABEL has at most {MAX_LABEL} characters, not {len(label)}")
    if any("\ud800" <= character <= "\udfff" for character in label):
        raise AttributeInvalid("a LABEL is Unicode text; this one has half of a surrogate pair")


def checked(attributes: Mapping[str, object]) -> dict[str, Value]:
    """Return a template's attributes in their stored form, without null values.

    Raises:
        AttributeInvalid: An attribute is unknown or of the wrong type.
    """
    return {name: normal(name, value) for name, value in attributes.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Origin:
    """The facts that decide a new key's attributes besides its template."""

    generated: bool
    extractable_default: bool
    facts: Mapping[str, Value]
    """OBJECT_CLASS, KEY_TYPE and the attributes of the key material: SIZE, PUBLIC_EXPONENT, EC_PARAMS and the like."""
    base: Mapping[str, Value] | None = None
    """The attributes of the base key of a derivation."""


def complete(template: Mapping[str, Value], origin: Origin) -> dict[str, Value]:
    """Return all attributes of a new key. Defaults that do not fit the key are dropped.

    Args:
        template: The template, as ``checked`` returns it.
        origin: The facts about the key.

    Raises:
        AttributeInvalid: An attribute does not fit the key, or is not the caller's to choose.
    """
    key_class, key_type = str(origin.facts["OBJECT_CLASS"]), str(origin.facts["KEY_TYPE"])
    attributes: dict[str, Value] = {}
    for attribute in ROWS:
        if attribute.applies(key_class, key_type):
            value = origin.facts.get(attribute.name, attribute.default)
            if attribute.name == "EXTRACTABLE":
                value = origin.extractable_default
            if value is not None:
                attributes[attribute.name] = value
        elif attribute.type is bool:
            attributes[attribute.name] = False
    for name, value in template.items():
        _check_value(TABLE[name], value, attributes.get(name), origin)
        attributes[name] = value
    attributes["LOCAL"] = origin.generated
    attributes["ALWAYS_SENSITIVE"] = origin.generated and attributes["SENSITIVE"]
    attributes["NEVER_EXTRACTABLE"] = origin.generated and key_class != PUBLIC and not attributes["EXTRACTABLE"]
    if origin.base is not None:
        # Anybody who has seen the base key can compute this one (PKCS #11 2.40 2.42.7).
        for name in ("ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"):
            attributes[name] = attributes[name] and origin.base[name]
    return attributes


def _check_value(attribute: Attribute, value: Value, current: Value | None, origin: Origin) -> None:
    key_class, key_type = str(origin.facts["OBJECT_CLASS"]), str(origin.facts["KEY_TYPE"])
    name = attribute.name
    if not attribute.applies(key_class, key_type):
        if value is not False:
            raise AttributeInvalid(f"{name} does not fit a {key_class} of type {key_type}")
    elif attribute.set & Set.MATCH:
        if value != current:
            raise AttributeInvalid(f"{name} of this {key_type} {key_class} is {shown(current)}, not {shown(value)}")
    elif not attribute.set & (Set.GENERATE if origin.generated else Set.IMPORT):
        raise AttributeInvalid(f"{name} is set by the HSM")


def shown(value: Value | None) -> str:
    """Return a value for a message: bytes in hexadecimal, a long value truncated."""
    text = "0x" + value[:16].hex() if isinstance(value, bytes) else str(value)
    return text[:64]


def changed(current: Mapping[str, Value], template: Mapping[str, Value], *, admin: bool) -> dict[str, Value]:
    """Return an existing key's attributes after a change. Changes nothing itself.

    Raises:
        AttributeInvalid: An attribute cannot change in this way.
    """
    if not admin and not current["MODIFIABLE"]:
        raise AttributeInvalid("the key is not modifiable (MODIFIABLE is false)")
    for name, value in template.items():
        _check_change(TABLE[name], current, value)
    return {**current, **template}


def _check_change(attribute: Attribute, current: Mapping[str, Value], value: Value) -> None:
    key_class, key_type = str(current["OBJECT_CLASS"]), str(current["KEY_TYPE"])
    name, change = attribute.name, attribute.change
    if change is Change.NEVER:
        raise AttributeInvalid(f"{name} cannot change after the key is created")
    if not attribute.applies(key_class, key_type):
        if value is not False:
            raise AttributeInvalid(f"{name} does not fit a {key_class} of type {key_type}")
    elif (change is Change.RAISE and current[name] and not value) or (
        change is Change.LOWER and value and not current[name]
    ):
        raise AttributeInvalid(f"{name} is {shown(current[name])} and cannot change")
