"""Mechanism parameters as the C library sends them, turned into parameters of the core.

The C library sends the fields of the mechanism's structure as a list; an empty list for a null pointer, and one field
of bytes for a structure of another size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.cryptoki.failures import Refused
from bridge.cryptoki.mechanisms import BLOCKS, Form, Row, Use
from bridge.cryptoki.numbers import DATA_SPECIFIED, HASH_MECHANISMS, MASKS, Rv
from hsmcore.tables.mechanisms import HASHES

Fields = Sequence[object]
"""The fields of a parameter."""
GCM_IV = 12
"""Bytes of an AES-GCM IV."""
_SPELLED = {digest: spelled for spelled, digest in HASHES.items()}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The core's mechanism and parameters. ``iv_first`` marks AES-GCM whose IV precedes the ciphertext."""

    mechanism: str
    parameters: dict[str, object] | None = None
    iv_first: bool = False


def prepare(row: Row, use: Use, fields: Fields) -> Prepared:
    """Return the core's mechanism and parameters.

    Raises:
        Refused: ``CKR_MECHANISM_PARAM_INVALID``.
    """
    return _FORMS[row.form](row, use, fields)


def fixed_fields(row: Row, use: Use) -> int:
    """Return which fields decide about an Init call: bit i stands for field i. The others only need the same length."""
    if row.form is Form.IV and not row.core.startswith("AES_KEY_WRAP"):
        return 0
    if row.form is Form.COUNTER:
        return 0b01
    if row.form is Form.GCM:
        return 0b100 if use & (Use.DECRYPT | Use.UNWRAP) else 0b101
    return (1 << 16) - 1


def _types(fields: Fields, *types: type) -> None:
    if tuple(map(type, fields)) != types:
        raise Refused(Rv.MECHANISM_PARAM_INVALID)


def _require(*conditions: bool) -> None:
    if not all(conditions):
        raise Refused(Rv.MECHANISM_PARAM_INVALID)


def _none(row: Row, use: Use, fields: Fields) -> Prepared:
    _require(not fields)
    return Prepared(row.core_for(use))


def _iv(row: Row, use: Use, fields: Fields) -> Prepared:
    wraps = row.core.startswith("AES_KEY_WRAP")
    if wraps and not fields:
        return Prepared(row.core)
    _types(fields, bytes)
    iv = fields[0]
    _require(wraps or (isinstance(iv, bytes) and len(iv) == BLOCKS[row.core[:3]]))
    return Prepared(row.core, {"iv": iv})


def _counter(row: Row, use: Use, fields: Fields) -> Prepared:
    _types(fields, int, bytes)
    _require(isinstance(fields[0], int) and 1 <= fields[0] <= 128)
    return Prepared(row.core, {"iv": fields[1]})


def _gcm(row: Row, use: Use, fields: Fields) -> Prepared:
    _types(fields, bytes, bytes, int)
    iv, aad, bits = fields
    parameters: dict[str, object] = {"aad": aad} if aad else {}
    vendor = bool(row.number & 0x80000000)
    if vendor:
        _require(iv == b"")
    if use & (Use.ENCRYPT | Use.WRAP):
        # The HSM chooses the IV and writes it over the zeros.
        _require(vendor or iv == bytes(GCM_IV), bits == 128)
        return Prepared(row.core, parameters or None, vendor)
    _require(isinstance(bits, int) and bits % 8 == 0)
    if not vendor:
        parameters["iv"] = iv
    if isinstance(bits, int) and bits != 128:
        parameters["tag_length"] = bits // 8
    return Prepared(row.core, parameters, vendor)


def _pss(row: Row, use: Use, fields: Fields) -> Prepared:
    _types(fields, int, int, int)
    digest, mask, salt = fields
    name = HASH_MECHANISMS.get(digest if isinstance(digest, int) else -1)
    _require(name is not None, MASKS.get(mask if isinstance(mask, int) else -1) == name)
    _require(not row.digest or row.digest == name)
    parameters: dict[str, object] = {"salt_length": salt}
    return Prepared(row.core, parameters if row.digest else {"hash": name, **parameters})


def _oaep(row: Row, use: Use, fields: Fields) -> Prepared:
    _types(fields, int, int, int, bytes)
    digest, mask, source, label = fields
    name = HASH_MECHANISMS.get(digest if isinstance(digest, int) else -1, "")
    _require(name != "", MASKS.get(mask if isinstance(mask, int) else -1) == name)
    _require(source in {0, DATA_SPECIFIED} and (source == DATA_SPECIFIED or not label))
    return Prepared(f"{row.core}{_SPELLED[name]}", {"label": label} if label else None)


def _rsa_aes(row: Row, use: Use, fields: Fields) -> Prepared:
    _require(bool(fields) and fields[0] in {128, 192, 256})
    # The HSM wraps with a temporary key of 256 bits and unwraps with any.
    return _oaep(row, use, fields[1:])


def _elsewhere(row: Row, use: Use, fields: Fields) -> Prepared:
    """Refuse a mechanism whose parameter ``bridge.cryptoki.derivation`` reads.

    Raises:
        Refused: ``CKR_MECHANISM_INVALID``.
    """
    raise Refused(Rv.MECHANISM_INVALID)


_FORMS: dict[Form, Callable[[Row, Use, Fields], Prepared]] = {
    Form.NONE: _none, Form.IV: _iv, Form.COUNTER: _counter, Form.GCM: _gcm, Form.PSS: _pss, Form.OAEP: _oaep,
    Form.RSA_AES: _rsa_aes, Form.ECDH: _elsewhere, Form.KDF: _elsewhere,
}  # fmt: skip
