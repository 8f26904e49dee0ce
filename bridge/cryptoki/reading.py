"""Search for objects, and their attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.cryptoki import attributes, certificates, templates
from bridge.cryptoki.application import Application
from bridge.cryptoki.attributes import COLUMN_OF
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.numbers import KEY_TYPES, ObjectClass, Rv
from hsmcore.errors import AttributeInvalid, KeyNotFound
from hsmcore.keys.description import KeyDescription
from hsmcore.keys.records import KeyRecord
from hsmcore.tables.attributes import TABLE
from hsmcore.tables.attributes import Value as CoreValue

_DERIVED = {"CHECK_VALUE", "MODULUS", "MODULUS_BITS", "PUBLIC_EXPONENT", "EC_POINT"}
"""Attributes that the core derives from a key's material or public key."""
_NO_OBJECT = {Rv.ATTRIBUTE_TYPE_INVALID, Rv.ATTRIBUTE_VALUE_INVALID}
"""Faults of a search template that no object has, so that a search finds nothing."""
_CORE_NAMES = {"CLASS": "OBJECT_CLASS", "VALUE_LEN": "SIZE"}


def search(app: Application, encoded: object) -> list[int]:
    """Return the handles of the objects that a search template selects: keys, oldest first, then certificates.

    Raises:
        Refused: The list is not a template.
    """
    try:
        template = templates.decode(encoded)
    except Refused as refused:
        if refused.rv in _NO_OBJECT:
            return []
        raise
    if template.get("CLASS") == ObjectClass.CERTIFICATE:
        return certificates.search(app, template)
    found = _keys(app, template)
    return found if "CLASS" in template else found + certificates.search(app, template)


def _keys(app: Application, template: templates.Template) -> list[int]:
    core = _search_template(template)
    if core is None:
        return []
    user = app.user()
    try:
        if core.keys() & _DERIVED:
            page, _ = app.hsm.keys.describe(user, None, core, 0, 0)
            return [description.record.handle for description in page]
        return [record.handle for record in app.hsm.keys.find(user, core)]
    except AttributeInvalid:
        return []


def _search_template(template: templates.Template) -> dict[str, CoreValue] | None:
    """Return the core's search template; ``None`` where no key has the attributes.

    Raises:
        Refused: A value of the template does not decode.
    """
    core: dict[str, CoreValue] = {}
    try:
        for name, value in template.items():
            core_name = _CORE_NAMES.get(name, name)
            if core_name not in TABLE and name not in _DERIVED:
                return None
            if isinstance(value, dict):
                core[core_name] = templates.nested(value)
            else:
                core[core_name] = value * 8 if name == "VALUE_LEN" and type(value) is int else _plain(name, value)
    except Refused as refused:
        if refused.rv in _NO_OBJECT:
            return None
        raise
    return core


def _plain(name: str, value: object) -> CoreValue:
    value = templates.plain(name, value)
    return value.lstrip(b"\0") if name in {"PUBLIC_EXPONENT", "MODULUS"} and isinstance(value, bytes) else value


def values(app: Application, key: int, numbers: Sequence[object]) -> tuple[list[object], Rv]:
    """Return a key's values of attributes, ``None`` for one that cannot be read, and the return code.

    Raises:
        KeyNotFound: There is no such key.
    """
    names = templates.names_of(numbers)
    record = app.hsm.keys.get(app.user(), key)
    if certificates.is_certificate(record):
        read: list[object] = [certificates.value(app, record, name or "") for name in names]
        return read, Rv.ATTRIBUTE_TYPE_INVALID if None in read else Rv.OK
    described = _described(app, record, names)
    column = COLUMN_OF.get(_kind(described), "")
    read = []
    code = Rv.OK
    for name in names:
        mark = attributes.READ.get(name or "", {}).get(column, "-")
        value = _value(described, name or "") if mark == "+" else None
        if mark == "S":
            code = Rv.ATTRIBUTE_SENSITIVE
        elif value is None and code is Rv.OK:
            code = Rv.ATTRIBUTE_TYPE_INVALID
        read.append(value)
    return read, code


def _described(app: Application, record: KeyRecord, names: Sequence[str | None]) -> Mapping[str, CoreValue]:
    if not _DERIVED.intersection(name for name in names if name is not None):
        return record.attributes
    page, _ = app.hsm.keys.describe(app.user(), record.handle, {}, 0, 1)
    description: KeyDescription | None = page[0] if page else None
    if description is None:
        raise KeyNotFound("the key was destroyed meanwhile")
    return description.values()


def _kind(described: Mapping[str, CoreValue]) -> tuple[str, str]:
    return str(described["OBJECT_CLASS"]), str(described["KEY_TYPE"])


def _value(described: Mapping[str, CoreValue], name: str) -> object:
    """Return one value in the form of PKCS #11; ``None`` for a key without it."""
    if name == "CLASS":
        return int(ObjectClass[str(described["OBJECT_CLASS"])])
    if name == "KEY_TYPE":
        return KEY_TYPES[str(described["KEY_TYPE"])]
    if name in {"WRAP_TEMPLATE", "UNWRAP_TEMPLATE"}:
        template = described.get(name)
        return templates.encode(template) if isinstance(template, Mapping) else []
    value = described.get(_CORE_NAMES.get(name, name))
    if value is None and name in attributes.BOOLEANS:
        return False
    return None if value is None else templates.cryptoki_value(name, value)
