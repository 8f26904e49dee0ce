"""``C_DeriveKey``: ECDH, and key derivation in counter mode (SP 800-108)."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cryptoki import attributes, templates
from bridge.cryptoki.application import Application
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.mechanisms import MECHANISMS, Form, Use
from bridge.cryptoki.numbers import (
    HASH_MECHANISMS,
    PART_BYTES,
    PART_CONTEXT,
    PART_COUNTER,
    PART_LABEL,
    PART_LENGTH,
    SUM_OF_KEYS,
    VENDOR,
    Rv,
)
from bridge.cryptoki.objects import entered, require_key, require_writable
from bridge.cryptoki.parameters import Fields, Prepared
from hsmcore.errors import KeyMaterialInvalid
from hsmcore.primitives import components
from hsmcore.tables.attributes import Value as CoreValue
from hsmcore.tables.mechanisms import HASHES

_NULL_KDF = 1
_X963 = {2: "SHA1", 5: "SHA224", 6: "SHA256", 7: "SHA384", 8: "SHA512"}
"""Hashes of ``CKD_SHA1_KDF`` and its like; ``CKD_CLOUDHSM_X963_SHA1_KDF`` and its like have the vendor's bit too."""
_CMAC = 0x108A
_HMACS = {number + 1: name for number, name in HASH_MECHANISMS.items()}
_SPELLED = {digest: spelled for spelled, digest in HASHES.items()}
_COUNTERS, _LENGTHS = (16, 32), (8, 16, 32, 64)
"""Widths of the counter and of the length of the key in bits, as the original has them."""


def derive_key(
    app: Application, handle: int, number: int, fields: list[object], base: int, encoded: list[object]
) -> list[object]:
    """``C_DeriveKey``.

    Raises:
        Refused: The mechanism, its parameter, the base key or the template is wrong.
    """
    with app.session(handle) as session:
        row = MECHANISMS.get(number)
        if row is None or not row.uses & Use.DERIVE:
            raise Refused(Rv.MECHANISM_INVALID)
        user, key = app.user(), app.key_of(base)
        template = templates.decode(encoded)
        key_class, key_type = templates.class_and_type(template)
        if not key_class or not key_type:
            raise Refused(Rv.TEMPLATE_INCOMPLETE)
        core = templates.new_key(template, attributes.DERIVE, key_class, key_type)
        require_writable(app, session, core)
        record = require_key(app, key, Rv.KEY_HANDLE_INVALID)
        if row.form is Form.ECDH:
            curve = record.attributes.get("EC_PARAMS")
            plain = app.options.get("enable_ecdh_without_kdf") is True
            prepared = _ecdh(fields, curve if isinstance(curve, bytes) else b"", plain=plain)
        else:
            size = core.get("SIZE", 192)
            prepared = _counter_mode(fields, size if isinstance(size, int) else 0)
        derived = app.hsm.keys.derive(user, key, prepared.mechanism, prepared.parameters, _derived(core))
        return entered(app, session, derived)


def _derived(core: dict[str, CoreValue]) -> dict[str, CoreValue]:
    return {name: value for name, value in core.items() if name != "OBJECT_CLASS"}


def _ecdh(fields: Fields, curve: bytes, *, plain: bool) -> Prepared:
    if tuple(map(type, fields)) != (int, bytes, bytes):
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    kdf, shared, point = fields
    if not curve:
        raise Refused(Rv.KEY_TYPE_INCONSISTENT)
    try:
        peer = components.ec_public(curve, point if isinstance(point, bytes) else b"")
    except KeyMaterialInvalid:
        raise Refused(Rv.MECHANISM_PARAM_INVALID) from None
    if kdf == _NULL_KDF:
        if not plain or shared:
            raise Refused(Rv.MECHANISM_PARAM_INVALID)
        return Prepared("ECDH", {"peer": peer})
    name = _X963.get(kdf & ~VENDOR if isinstance(kdf, int) else 0)
    if name is None:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    return Prepared(f"ECDH_X963_{name}", {"peer": peer, "shared_info": shared} if shared else {"peer": peer})


def _counter_mode(fields: Fields, bits: int) -> Prepared:
    """Return the derivation of a key of so many bits.

    The parts are taken in their order. A label and a context instead have the order of SP 800-108: counter, label, zero
    byte, context, length.

    Raises:
        Refused: ``CKR_MECHANISM_PARAM_INVALID``.
    """
    function, *parts = fields or [0]
    if not isinstance(function, int):
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    mechanism = "AES_CMAC_KDF" if function == _CMAC else _hmac(function)
    counter, inputs = 0, [b"", b""]
    kinds = [part[0] if isinstance(part, list) and part else 0 for part in parts]
    if PART_LABEL in kinds or PART_CONTEXT in kinds:
        parts = _standard_order(parts)
    for part in parts:
        match part:
            case [int(kind), int(width)] if kind == PART_COUNTER and width in _COUNTERS and not counter:
                counter = width
            case [int(kind), int(method), int(width)] if kind == PART_LENGTH and method == SUM_OF_KEYS:
                inputs[bool(counter)] += _length(bits, width)
            case [int(kind), bytes(data)] if kind == PART_BYTES:
                inputs[bool(counter)] += data
            case _:
                raise Refused(Rv.MECHANISM_PARAM_INVALID)
    if not counter:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    return Prepared(mechanism, {"counter_bits": counter, "prefix": inputs[0], "suffix": inputs[1]})


def _hmac(function: int) -> str:
    digest = _HMACS.get(function)
    if digest is None:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    return f"HMAC_KDF_{_SPELLED[digest]}"


def _standard_order(parts: Sequence[object]) -> list[object]:
    found: dict[int, list[object]] = {}
    for part in parts:
        if not isinstance(part, list) or not part or type(part[0]) is not int or part[0] in found:
            raise Refused(Rv.MECHANISM_PARAM_INVALID)
        found[part[0]] = part
    if found.keys() - {PART_COUNTER, PART_LABEL, PART_CONTEXT, PART_LENGTH}:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    label = found.get(PART_LABEL, [PART_LABEL, b""])
    context = found.get(PART_CONTEXT, [PART_CONTEXT, b""])
    ordered: list[object] = [found[PART_COUNTER]] if PART_COUNTER in found else []
    ordered += [[PART_BYTES, *label[1:]], [PART_BYTES, b"\0"], [PART_BYTES, *context[1:]]]
    return ordered + ([found[PART_LENGTH]] if PART_LENGTH in found else [])


def _length(bits: int, width: int) -> bytes:
    if width not in _LENGTHS or bits >> width:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)
    return bits.to_bytes(width // 8, "big")
