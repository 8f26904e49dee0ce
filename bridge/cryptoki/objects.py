"""The functions about objects: creation, destruction, search, reading, and keys from keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.cryptoki import attributes, certificates, parameters, reading, templates
from bridge.cryptoki.application import Application, CryptokiSession
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.mechanisms import MECHANISMS, Row, Use
from bridge.cryptoki.numbers import ObjectClass, Rv
from hsmcore.errors import DataLengthInvalid, KeyNotFound, KeySizeInvalid, PermissionDenied
from hsmcore.keys.records import KeyRecord
from hsmcore.primitives import components
from hsmcore.tables.attributes import Value as CoreValue

Outputs = list[object]
Core = dict[str, CoreValue]


def _row(number: int, use: Use) -> Row:
    row = MECHANISMS.get(number)
    if row is None or not row.uses & use:
        raise Refused(Rv.MECHANISM_INVALID)
    return row


def _type(row: Row) -> str:
    return "" if row.key_type is None else row.key_type.value


def require_writable(app: Application, session: CryptokiSession, *made: Core) -> None:
    """Check that a session may make keys with these templates.

    Raises:
        Refused: For a token key: ``CKR_SESSION_READ_ONLY`` in a read-only session, or ``CKR_FUNCTION_FAILED`` where too
            few HSMs are alive.
    """
    if any(template.get("TOKEN") for template in made):
        if not session.read_write:
            raise Refused(Rv.SESSION_READ_ONLY)
        app.require_available()


def require_key(app: Application, key: int, code: Rv) -> KeyRecord:
    """Return the record of a key that may be used now.

    Raises:
        Refused: ``code`` where there is no such key, or ``CKR_FUNCTION_FAILED`` where too few HSMs are alive for it.
    """
    try:
        record = app.hsm.keys.get(app.user(), key)
    except KeyNotFound:
        raise Refused(code) from None
    if record.attributes["TOKEN"]:
        app.require_available(key)
    return record


def entered(app: Application, session: CryptokiSession, *records: KeyRecord) -> Outputs:
    """Return the object handles of new keys; session keys end with the Cryptoki session."""
    session.objects.update(record.handle for record in records if not record.attributes["TOKEN"])
    return [app.object_of(record.handle) for record in records]


def generate_key(app: Application, handle: int, number: int, fields: list[object], template: list[object]) -> Outputs:
    """``C_GenerateKey``."""
    with app.session(handle) as session:
        row = _row(number, Use.GENERATE)
        mechanism = parameters.prepare(row, Use.GENERATE, fields).mechanism
        core = templates.new_key(templates.decode(template), attributes.GENERATE, "SECRET_KEY", _type(row))
        require_writable(app, session, core)
        return entered(app, session, app.hsm.keys.generate(app.user(), mechanism, core))


def generate_key_pair(
    app: Application, handle: int, number: int, fields: list[object], public: list[object], private: list[object]
) -> Outputs:
    """``C_GenerateKeyPair``.

    Raises:
        Refused: ``CKR_CURVE_NOT_SUPPORTED`` or a code of the template.
    """
    with app.session(handle) as session:
        row = _row(number, Use.GENERATE_KEY_PAIR)
        mechanism = parameters.prepare(row, Use.GENERATE_KEY_PAIR, fields).mechanism
        made = [
            templates.new_key(templates.decode(template), attributes.GENERATE_PAIR, key_class, _type(row))
            for template, key_class in ((public, "PUBLIC_KEY"), (private, "PRIVATE_KEY"))
        ]
        require_writable(app, session, *made)
        try:
            pair = app.hsm.keys.generate_pair(app.user(), mechanism, made[0], made[1])
        except KeySizeInvalid:
            raise Refused(Rv.CURVE_NOT_SUPPORTED if "EC_PARAMS" in made[0] else Rv.KEY_SIZE_RANGE) from None
        return entered(app, session, *pair)


def create_object(app: Application, handle: int, encoded: list[object]) -> Outputs:
    """``C_CreateObject``.

    Raises:
        Refused: The template names no class or type, or breaks a rule.
    """
    with app.session(handle) as session:
        user = app.user()
        template = templates.decode(encoded)
        if template.get("CLASS") == ObjectClass.CERTIFICATE:
            return [app.object_of(certificates.create(app, session, template).handle)]
        key_class, key_type = templates.class_and_type(template)
        if not key_class or not key_type:
            raise Refused(Rv.TEMPLATE_INCOMPLETE)
        core = templates.new_key(template, attributes.CREATE, key_class, key_type)
        require_writable(app, session, core)
        material = _MATERIAL[key_class, key_type](template)
        return entered(app, session, app.hsm.keys.import_(user, _without_material(core), material))


def _without_material(core: Core) -> Core:
    return {name: value for name, value in core.items() if name not in {"PUBLIC_EXPONENT", "EC_PARAMS"}}


def _secret(template: Mapping[str, Any]) -> bytes:
    value: bytes = template["VALUE"]
    return value


def _rsa_private(template: Mapping[str, Any]) -> bytes:
    primes = None
    if "PRIME_1" in template and "PRIME_2" in template:
        primes = (template["PRIME_1"], template["PRIME_2"])
    return components.rsa_private(
        template["MODULUS"], template["PUBLIC_EXPONENT"], template["PRIVATE_EXPONENT"], primes
    )  # fmt: skip


_MATERIAL: dict[tuple[str, str], Callable[[Mapping[str, Any]], bytes]] = {
    ("SECRET_KEY", "AES"): _secret,
    ("SECRET_KEY", "DESEDE"): _secret,
    ("SECRET_KEY", "GENERIC_SECRET"): _secret,
    ("PRIVATE_KEY", "RSA"): _rsa_private,
    ("PUBLIC_KEY", "RSA"): lambda one: components.rsa_public(one["MODULUS"], one["PUBLIC_EXPONENT"]),
    ("PRIVATE_KEY", "EC"): lambda one: components.ec_private(one["EC_PARAMS"], one["VALUE"]),
    ("PUBLIC_KEY", "EC"): lambda one: components.ec_public(one["EC_PARAMS"], one["EC_POINT"]),
}


def destroy_object(app: Application, handle: int, target: int) -> Outputs:
    """``C_DestroyObject``.

    Raises:
        Refused: ``CKR_OBJECT_HANDLE_INVALID``, or ``CKR_ACTION_PROHIBITED`` for a key that must stay.
    """
    with app.session(handle) as session:
        key = app.key_of(target)
        try:
            if not session.read_write and app.hsm.keys.get(app.user(), key).attributes["TOKEN"]:
                raise Refused(Rv.SESSION_READ_ONLY)
            app.hsm.keys.destroy(app.user(), key)
        except KeyNotFound:
            raise Refused(Rv.OBJECT_HANDLE_INVALID) from None
        except PermissionDenied:
            raise Refused(Rv.ACTION_PROHIBITED) from None
        session.objects.discard(key)
        return []


def find_init(app: Application, handle: int, encoded: list[object]) -> Outputs:
    """``C_FindObjectsInit``. A search without login finds nothing, since every key is private.

    Raises:
        Refused: ``CKR_OPERATION_ACTIVE``, or a code of the template.
    """
    with app.session(handle) as session:
        if session.found is not None:
            raise Refused(Rv.OPERATION_ACTIVE)
        session.found = [] if app.login is None else reading.search(app, encoded)
        session.found.reverse()
        return []


def find(app: Application, handle: int, count: int, peek: bool) -> Outputs:
    """``C_FindObjects``. With ``peek`` the objects are found again by the next call, as in the original without buffer.

    Raises:
        Refused: ``CKR_OPERATION_NOT_INITIALIZED``.
    """
    with app.session(handle) as session:
        if session.found is None:
            raise Refused(Rv.OPERATION_NOT_INITIALIZED)
        found: list[int] = []
        while session.found and len(found) < count:
            found.append(session.found.pop())
        if peek:
            session.found += reversed(found)
        return [[app.object_of(key) for key in found]]


def find_final(app: Application, handle: int) -> Outputs:
    """``C_FindObjectsFinal``.

    Raises:
        Refused: ``CKR_OPERATION_NOT_INITIALIZED``.
    """
    with app.session(handle) as session:
        if session.found is None:
            raise Refused(Rv.OPERATION_NOT_INITIALIZED)
        session.found = None
        return []


def get_attributes(app: Application, handle: int, target: int, numbers: list[object]) -> Outputs:
    """``C_GetAttributeValue``: the values, ``None`` for what has none, and the return code for the worst of them.

    Raises:
        Refused: ``CKR_OBJECT_HANDLE_INVALID``.
    """
    with app.session(handle):
        try:
            values, code = reading.values(app, app.key_of(target), numbers)
        except KeyNotFound:
            raise Refused(Rv.OBJECT_HANDLE_INVALID) from None
        return [values, int(code)]


def wrap_key(
    app: Application, handle: int, number: int, fields: list[object], wrapping: int, target: int, capacity: int | None
) -> Outputs:
    """``C_WrapKey``: the wrapped key, its length, the IV that the HSM chose.

    Raises:
        Refused: A handle is wrong, or the key cannot be wrapped.
    """
    with app.session(handle):
        prepared = parameters.prepare(_row(number, Use.WRAP), Use.WRAP, fields)
        user, key, wrapped_key = app.user(), app.key_of(wrapping), app.key_of(target)
        require_key(app, key, Rv.WRAPPING_KEY_HANDLE_INVALID)
        require_key(app, wrapped_key, Rv.KEY_HANDLE_INVALID)
        try:
            wrapped, chosen = app.hsm.keys.wrap(user, key, prepared.mechanism, prepared.parameters, wrapped_key)
        except DataLengthInvalid:
            raise Refused(Rv.KEY_SIZE_RANGE) from None
        iv = chosen.get("iv") if chosen else None
        iv = iv if isinstance(iv, bytes) and prepared.mechanism == "AES_GCM" else b""
        if prepared.iv_first:
            wrapped, iv = iv + wrapped, b""
        if capacity is None or len(wrapped) > capacity:
            return [None, len(wrapped), b""]
        return [wrapped, len(wrapped), iv]


def unwrap_key(
    app: Application, handle: int, number: int, fields: list[object], unwrapping: int, wrapped: bytes,
    encoded: list[object],
) -> Outputs:  # fmt: skip
    """``C_UnwrapKey``.

    Raises:
        Refused: A handle or the template is wrong, or the bytes do not unwrap.
    """
    with app.session(handle) as session:
        prepared = parameters.prepare(_row(number, Use.UNWRAP), Use.UNWRAP, fields)
        user, key = app.user(), app.key_of(unwrapping)
        unwraps = require_key(app, key, Rv.UNWRAPPING_KEY_HANDLE_INVALID)
        template = templates.decode(encoded)
        key_class, key_type = templates.class_and_type(template)
        if not key_class or not key_type:
            raise Refused(Rv.TEMPLATE_INCOMPLETE)
        core = templates.new_key(template, attributes.UNWRAP, key_class, key_type)
        require_writable(app, session, core)
        given = prepared.parameters
        if prepared.iv_first:
            given, wrapped = {**(given or {}), "iv": wrapped[: parameters.GCM_IV]}, wrapped[parameters.GCM_IV :]
        core = _without_overridden_defaults(core, template, unwraps.attributes.get("UNWRAP_TEMPLATE"))
        return entered(app, session, app.hsm.keys.unwrap(user, key, prepared.mechanism, given, wrapped, core))


def _without_overridden_defaults(core: Core, template: Mapping[str, object], fixed: CoreValue | None) -> Core:
    """Leave out the defaults that the unwrapping key's template replaces: the caller did not ask for them."""
    if not isinstance(fixed, Mapping):
        return core
    given = set(template) | {"OBJECT_CLASS", "KEY_TYPE"}
    return {name: value for name, value in core.items() if name in given or name not in fixed}
