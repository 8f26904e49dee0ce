"""Templates: attributes as the C library sends them, checked by the rules and turned into attributes of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.cryptoki import attributes
from bridge.cryptoki.attributes import BY_NUMBER, COLUMN_OF, DEFAULTS, USAGES, Kind, Rules
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.numbers import KEY_TYPES, ObjectClass, Rv
from hsmcore.tables.attributes import TABLE
from hsmcore.tables.attributes import Value as CoreValue

Template = dict[str, object]
"""Values by name; a nested template is itself one."""

MAX_ATTRIBUTES = 256
"""Attributes in one template."""
_TYPES: dict[Kind, type] = {Kind.ULONG: int, Kind.BOOL: bool, Kind.BYTES: bytes, Kind.TEMPLATE: list}
_NAMES = {number: name for name, number in KEY_TYPES.items()}
_CORE_NAMES = {"CLASS": "OBJECT_CLASS", "VALUE_LEN": "SIZE"}


def decode(encoded: object) -> Template:
    """Return a template: a list of pairs of number and value.

    Raises:
        Refused: The list is not a template, an attribute is unknown or occurs twice, or a value has another type.
    """
    template: Template = {}
    for number, value in _pairs(encoded):
        row = BY_NUMBER.get(number)
        if row is None:
            raise Refused(Rv.ATTRIBUTE_TYPE_INVALID)
        if type(value) is not _TYPES[row.kind]:
            raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)
        if row.name in template:
            raise Refused(Rv.TEMPLATE_INCONSISTENT)
        template[row.name] = decode(value) if row.kind is Kind.TEMPLATE else value
    return template


def _pairs(encoded: object) -> list[tuple[int, object]]:
    pairs = []
    for pair in encoded if isinstance(encoded, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not int:
            raise Refused(Rv.ARGUMENTS_BAD)
        pairs.append((pair[0], pair[1]))
    if len(pairs) > MAX_ATTRIBUTES:
        raise Refused(Rv.ARGUMENTS_BAD)
    return pairs


def class_and_type(template: Template) -> tuple[str, str]:
    """Return the class and type that a template names, in the core's words; empty texts for what it does not name.

    Raises:
        Refused: A class or type is none of a key.
    """
    key_class, key_type = template.get("CLASS"), template.get("KEY_TYPE")
    named_class = "" if key_class is None else _class_name(key_class)
    named_type = "" if key_type is None else _NAMES.get(_number(key_type), "?")
    if named_type == "?":
        raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)
    return named_class, named_type


def _class_name(number: object) -> str:
    if number not in set(ObjectClass) - {ObjectClass.CERTIFICATE}:
        raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)
    return ObjectClass(_number(number)).name


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def new_key(template: Template, rules: Rules, key_class: str, key_type: str) -> dict[str, CoreValue]:
    """Return the core's template of a new key, with the defaults of PKCS #11.

    Args:
        template: The caller's template.
        rules: The rules of the function.
        key_class: The class that the function makes.
        key_type: The type that the mechanism or the template gives.

    Raises:
        Refused: The template breaks a rule.
    """
    _require_match(template, key_class, key_type)
    column = COLUMN_OF.get((key_class, key_type), "")
    marks = {name: row[column] for name, row in rules.items() if column in row}
    if not marks:
        raise Refused(Rv.TEMPLATE_INCONSISTENT)
    for name, value in template.items():
        _check(marks.get(name, "-"), name, value)
    if any(mark == "2" and name not in template for name, mark in marks.items()):
        raise Refused(Rv.TEMPLATE_INCOMPLETE)
    defaults = {name: False for name in USAGES if _applies(name, key_class, key_type)}
    if rules is attributes.GENERATE:
        defaults |= {"SIGN": True, "VERIFY": True}
    given = {name: value for name, value in template.items() if name not in {"CLASS", "KEY_TYPE"}}
    core: dict[str, CoreValue] = {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type, **defaults}
    for name, value in given.items():
        core |= _core_value(name, value, key_class, key_type)
    return core


def _require_match(template: Template, key_class: str, key_type: str) -> None:
    named = class_and_type(template)
    if named[0] not in {"", key_class} or named[1] not in {"", key_type}:
        raise Refused(Rv.TEMPLATE_INCONSISTENT)


def _check(mark: str, name: str, value: object) -> None:
    if mark == "-":
        raise Refused(Rv.TEMPLATE_INCONSISTENT)
    if mark == "R":
        raise Refused(Rv.ATTRIBUTE_READ_ONLY)
    if mark == "1" and value is not DEFAULTS[name]:
        raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)


def _applies(name: str, key_class: str, key_type: str) -> bool:
    return name in TABLE and TABLE[name].applies(key_class, key_type)


def _core_value(name: str, value: object, key_class: str, key_type: str) -> dict[str, CoreValue]:
    """Return an attribute in the core's form; nothing for one that the key's type accepts and that means nothing."""
    if name == "VALUE_LEN":
        return {"SIZE": _length(value) * 8}
    core_name = _CORE_NAMES.get(name, name)
    if not _applies(core_name, key_class, key_type):
        return {}
    if isinstance(value, dict):
        return {core_name: nested(value)}
    return {core_name: plain(name, value)}


def plain(name: str, value: object) -> bool | int | str | bytes:
    """Return a value that is no template in the core's form.

    Raises:
        Refused: A label is not UTF-8, or a class or type is none of a key.
    """
    if name == "LABEL" and isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Refused(Rv.ATTRIBUTE_VALUE_INVALID) from None
    if name == "CLASS":
        return _class_name(value)
    if name == "KEY_TYPE":
        return class_and_type({"KEY_TYPE": value})[1]
    if isinstance(value, (bool, int, bytes)):
        return value
    raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)


def nested(template: Template) -> dict[str, bool | int | str | bytes]:
    """Return a wrap or unwrap template in the core's form.

    Raises:
        Refused: The core's keys do not have the attribute.
    """
    core: dict[str, bool | int | str | bytes] = {}
    for name, value in template.items():
        core_name = _CORE_NAMES.get(name, name)
        if core_name not in TABLE:
            raise Refused(Rv.TEMPLATE_INCONSISTENT)
        core[core_name] = _length(value) * 8 if name == "VALUE_LEN" else plain(name, value)
    return core


def _length(value: object) -> int:
    """Return a length in bytes. A negative or huge one becomes one that no key has."""
    length = _number(value)
    return length if 0 <= length <= 1 << 20 else 1 << 20


def encode(core: Mapping[str, CoreValue]) -> list[object]:
    """Return a core's wrap or unwrap template as the C library takes it."""
    pairs: list[object] = []
    for core_name, value in core.items():
        name = {after: before for before, after in _CORE_NAMES.items()}.get(core_name, core_name)
        pairs.append([attributes.NUMBERS[name], cryptoki_value(name, value)])
    return pairs


def cryptoki_value(name: str, value: CoreValue) -> object:
    """Return a core's value in the form of PKCS #11."""
    if name == "CLASS":
        return int(ObjectClass[str(value)])
    if name == "KEY_TYPE":
        return KEY_TYPES[str(value)]
    if isinstance(value, Mapping):
        return encode(value)
    if name == "VALUE_LEN" and isinstance(value, int):
        return value // 8
    return value.encode() if isinstance(value, str) else value


def names_of(numbers: Sequence[object]) -> list[str | None]:
    """Return the names of attributes; ``None`` for a number without a row."""
    rows = [BY_NUMBER.get(number) if isinstance(number, int) else None for number in numbers]
    return [None if row is None else row.name for row in rows]
