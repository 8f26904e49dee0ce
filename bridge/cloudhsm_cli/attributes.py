"""Key attributes in CloudHSM's command line: their names, their values, and the key object in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.handles import reference
from bridge.protocol.codec import Value
from hsmcore.tables.mechanisms import CURVES as CURVE_OIDS
from hsmcore.tables.mechanisms import ED25519

Fields = Mapping[str, Value]

CLASSES = {"SECRET_KEY": "secret-key", "PUBLIC_KEY": "public-key", "PRIVATE_KEY": "private-key"}
KEY_TYPES = {
    "AES": "aes",
    "GENERIC_SECRET": "generic-secret",
    "DESEDE": "des3",
    "RSA": "rsa",
    "EC": "ec",
    "EC_EDWARDS": "ec",
    "ML_DSA": "ml-dsa",
}
"""Names of the core's key types. Two types share a name: a new key gets the first type, a filter finds both."""
CURVES = {oid: name for name, oid in CURVE_OIDS.items()} | {ED25519: "ed25519"}
CURVE_CHOICES = ("prime256v1", *CURVES.values())
"""``prime256v1`` is another name of secp256r1."""

INCONSISTENT = "inconsistent"
"""Shown for what differs between the HSMs of a cluster."""
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


def _boolean(text: str) -> Value:
    if text.lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return text.lower() == "true"


def _bytes(text: str) -> Value:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise ValueError("hexadecimal digits") from error


def _id(text: str) -> Value:
    """Return the bytes of an ID: hexadecimal after 0x, otherwise the text itself."""
    return _bytes(text) if text.startswith("0x") else text.encode()


def _number(text: str) -> Value:
    if not _NUMBER.fullmatch(text):
        raise ValueError("a number")
    return int(text)


def _exponent(text: str) -> Value:
    """Return a public exponent, decimal or hexadecimal after 0x, as big-endian bytes."""
    if text.startswith("0x"):
        return _bytes(text)
    return _big_endian(int(str(_number(text))))


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


def _of(names: Mapping[str, str]) -> Callable[[str], Value]:
    """Return a function that maps the name of a value to the core's name; ``names`` maps the other way."""

    def read(text: str) -> Value:
        for core, name in names.items():
            if name == text:
                return core
        raise ValueError(f"one of {', '.join(names.values())}")

    return read


def curve(text: str) -> bytes:
    """Return a curve's object identifier (DER).

    Raises:
        ValueError: The curve is unknown; the message lists the known ones.
    """
    name = "secp256r1" if text == "prime256v1" else text
    oid = next((oid for oid, known in CURVES.items() if known == name), None)
    if oid is None:
        raise ValueError(f"one of {', '.join(CURVE_CHOICES)}")
    return oid


def _hex(value: Value) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _named(names: Mapping[str, str]) -> Callable[[Value], object]:
    return lambda value: names.get(str(value), value)


def _curve_name(value: Value) -> object:
    return CURVES.get(value, _hex(value)) if isinstance(value, bytes) else value


def _template(text: str) -> Value:
    """Return a template in the form ``NAME=VALUE,NAME=VALUE``; it may be empty.

    Raises:
        ValueError: The text has another form, or a value is invalid.
    """
    attributes: dict[str, Value] = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        attribute = _BY_NAME.get(name)
        if attribute is None or not equals or attribute.read is _template:
            raise ValueError("NAME=VALUE,NAME=VALUE of attributes")
        attributes[attribute.core] = attribute.read(value)
    return attributes


def _shown_template(value: Value) -> object:
    if not isinstance(value, dict):
        return value
    return {
        attribute.name: attribute.show(value[attribute.core]) for attribute in ATTRIBUTES if attribute.core in value
    }


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name here and in the core, and the functions that read and show its value."""

    name: str
    core: str
    read: Callable[[str], Value] = _boolean
    show: Callable[[Value], object] = _hex
    always: bool = True
    """True if every key object shows the attribute; a boolean that the key lacks is shown as false."""


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("key-type", "KEY_TYPE", _of(KEY_TYPES), _named(KEY_TYPES)),
    Attribute("label", "LABEL", str),
    Attribute("id", "ID", _id),
    Attribute("check-value", "CHECK_VALUE", _bytes, always=False),
    Attribute("class", "OBJECT_CLASS", _of(CLASSES), _named(CLASSES)),
    *(
        Attribute(name, name.upper().replace("-", "_"))
        for name in (
            "encrypt",
            "decrypt",
            "token",
            "always-sensitive",
            "derive",
            "destroyable",
            "extractable",
            "local",
            "modifiable",
            "never-extractable",
            "private",
            "sensitive",
            "sign",
            "trusted",
            "unwrap",
            "verify",
            "wrap",
            "wrap-with-trusted",
        )
    ),
    *(
        Attribute(name, name.upper().replace("-", "_"), _template, _shown_template, always=False)
        for name in ("wrap-template", "unwrap-template")
    ),
    Attribute("key-length-bytes", "KEY_LENGTH", _number, always=False),
    Attribute("public-exponent", "PUBLIC_EXPONENT", _exponent, always=False),
    Attribute("modulus", "MODULUS", _bytes, always=False),
    Attribute("modulus-size-bits", "MODULUS_BITS", _number, always=False),
    Attribute("ec-point", "EC_POINT", _bytes, always=False),
    Attribute("curve", "EC_PARAMS", curve, _curve_name, always=False),
    Attribute("mldsa-algorithm", "PARAMETER_SET", str, always=False),
)
"""All attributes, in the order of a key object."""

NAMES = tuple(attribute.name for attribute in ATTRIBUTES)
_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def read(name: str, value: str) -> tuple[str, Value]:
    """Return the core's name and value of an attribute.

    Raises:
        Failure: The attribute is unknown, or the value is invalid.
    """
    attribute = _BY_NAME.get(name)
    if attribute is None:
        raise Failure(f"invalid attribute '{name[:64]}'; there are {', '.join(NAMES)}")
    try:
        return attribute.core, attribute.read(value)
    except ValueError as error:
        raise Failure(f"invalid value '{value[:64]}' for the attribute {name}: it is {error}") from error


def read_pairs(words: Sequence[str], option: str, prefix: str = "") -> dict[str, Value]:
    """Return the attributes in words of the form ``NAME=VALUE``, by the core's names.

    Args:
        option: Name of the option, for error messages.
        prefix: Prefix that each word must have, such as ``attr.``.

    Raises:
        Failure: A word has another form, or an attribute is unknown, invalid or repeated.
    """
    values: dict[str, Value] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.startswith(prefix):
            raise Failure(f"invalid value '{word[:64]}' for '--{option}': it has the form {prefix}NAME=VALUE")
        core, parsed = read(name.removeprefix(prefix), value)
        if core in values:
            raise Failure(f"the attribute {name} is given more than once in '--{option}'")
        values[core] = parsed
    return values


def key_types(core: Value) -> list[Value]:
    """Return the core's key types that share a name with this one: in CloudHSM Ed25519 is a curve of type ``ec``."""
    return [other for other, name in KEY_TYPES.items() if name == KEY_TYPES[str(core)]]


def short_object(key: Fields) -> dict[str, object]:
    """Return a key as ``key list`` shows it: its reference and label."""
    return {"key-reference": reference(key["HANDLE"]), "attributes": {"label": key["LABEL"]}}


def key_object(key: Fields) -> dict[str, object]:
    """Return the key object of a key description."""
    shared = key.get("SHARED_USERS")
    differs = "inconsistent" in key
    attributes = {
        attribute.name: attribute.show(key.get(attribute.core, False))
        for attribute in ATTRIBUTES
        if attribute.always or attribute.core in key
    }
    return {
        "key-reference": reference(key["HANDLE"]),
        "key-info": {
            "key-owners": [_coverage(key.get("OWNER"), differs=differs)],
            "shared-users": [_coverage(name, differs=differs) for name in shared] if isinstance(shared, list) else [],
            "key-quorum-values": {
                "manage-key-quorum-value": key.get("MANAGE_QUORUM", 0),
                "use-key-quorum-value": key.get("USE_QUORUM", 0),
            },
            "cluster-coverage": INCONSISTENT if differs else "full" if key.get("TOKEN") else "session",
        },
        "attributes": attributes,
    }


def _coverage(username: Value, *, differs: bool) -> dict[str, object]:
    return {"username": username, "key-coverage": INCONSISTENT if differs else "full"}
