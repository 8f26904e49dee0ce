"""Active operations: encryption, decryption, signature, verification and digest, in one call or in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.cryptoki import mechanisms, parameters
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.mechanisms import MECHANISMS, Row, Use
from bridge.cryptoki.numbers import Rv
from bridge.cryptoki.parameters import GCM_IV, Fields, Prepared
from hsmcore.errors import DataLengthInvalid, HsmError, KeyNotFound

if TYPE_CHECKING:
    from bridge.cryptoki.application import Application

KINDS = {
    "Encrypt": Use.ENCRYPT, "Decrypt": Use.DECRYPT, "Sign": Use.SIGN, "Verify": Use.VERIFY, "Digest": Use.DIGEST,
}  # fmt: skip
"""The kinds of operations, as the functions name them. A session has at most one of each."""

MAX_GATHERED = 64 * 1024
"""Bytes of data of a MAC that is verified in parts; the original takes 16 KiB."""
MARGIN = 32
"""Bytes by which the output of a part can exceed its data: a block held back, and one of padding."""
_IN_PARTS = {Use.ENCRYPT: "encrypt", Use.DECRYPT: "decrypt", Use.SIGN: "sign"}


@dataclass(slots=True)
class Parts:
    """The state of a multi-part operation: a hash, or the handle of the core's operation, or the data so far.

    ``held`` is output that did not fit the caller's buffer, and ``repeated`` the data that gave it.
    """

    hash: Any = None
    handle: int = 0
    gathered: bytearray = field(default_factory=bytearray)
    held: bytes = b""
    repeated: bytes | None = None
    final: bytes | None = None


@dataclass(slots=True, eq=False)
class Operation:
    """One active operation.

    ``key`` is the core's handle, 0 for a digest; ``bits`` the size of the key. ``checked`` is set if its use
    needs a look at the cluster.
    """

    use: Use
    row: Row
    key: int
    fields: Fields
    prepared: Prepared
    bits: int = 0
    checked: bool = False
    parts: Parts | None = None

    def result_bytes(self, length: int) -> int:
        """Return an upper bound of the length of the result for data of this length."""
        fixed, scale = mechanisms.result_bytes(self.row, self.use, self.bits)
        return fixed + scale * length

    def abort(self, app: Application) -> None:
        """End the core's part of the operation."""
        if self.parts is not None and self.parts.handle and app.login is not None:
            with suppress(HsmError):
                app.hsm.crypto.abort(app.user(), self.parts.handle)


def begin(app: Application, use: Use, number: int, fields: Fields, key: int) -> Operation:
    """Begin an operation.

    Args:
        app: The application.
        use: The kind.
        number: The mechanism's number.
        fields: The mechanism's parameter.
        key: The object handle of the key, 0 for a digest.

    Raises:
        Refused: The mechanism, its parameter or the key does not fit.
    """
    row = MECHANISMS.get(number)
    if row is None or not row.uses & use:
        raise Refused(Rv.MECHANISM_INVALID)
    if use is Use.DIGEST:
        return Operation(use, row, 0, fields, parameters.prepare(row, use, fields))
    user, handle = app.user(), app.key_of(key)
    try:
        record = app.hsm.keys.get(user, handle)
    except KeyNotFound:
        raise Refused(Rv.KEY_HANDLE_INVALID) from None
    checked = app.needed_hsms > 1 and record.attributes["TOKEN"] is True
    if checked:
        app.require_available(handle)
    prepared = parameters.prepare(row, use, fields)
    if app.options.get("disable_validate_key_at_init") is not True:
        app.hsm.crypto.require(user, use.name or "", handle, prepared.mechanism)
    size = record.attributes["SIZE"]
    return Operation(use, row, handle, fields, prepared, size if isinstance(size, int) else 0, checked)


def ticket(app: Application, operation: Operation) -> list[object]:
    """Return what the C library needs to begin the same operation again without a request.

    Returns:
        The session token and the number of a REPEAT (0 where there is none), the length of the result (fixed, and per
        byte of data), the fields that decide, and whether parts of the data may come together, as a whole.
    """
    user, number = app.login, 0
    fixed = parameters.fixed_fields(operation.row, operation.use)
    if operation.use is not Use.DIGEST and not operation.checked:
        deciding = tuple(
            value if fixed >> index & 1 or not isinstance(value, bytes) else len(value)
            for index, value in enumerate(operation.fields)
        )
        number = app.hsm.crypto.keep_shortcut(
            app.user(), operation.use.name or "", operation.key, operation.prepared.mechanism,
            lambda run: _repeated(operation, fixed, run), (operation.row.number, deciding),
        )  # fmt: skip
    result = mechanisms.result_bytes(operation.row, operation.use, operation.bits)
    gathers = operation.row.parts and operation.use in {Use.SIGN, Use.VERIFY, Use.DIGEST}
    return [user.token if user else 0, number, *result, fixed, gathers]


def _repeated(operation: Operation, fixed: int, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operation in REPEAT's form. The first part of the data is the fields that do not decide."""
    row, use, iv_first = operation.row, operation.use, operation.prepared.iv_first
    data_of = _hashed(row)
    if use is Use.VERIFY:
        given = operation.prepared.parameters
        return lambda data, signature: (b"", b"\1" if run(given, data_of(data), signature) else b"\0")
    varying = any(isinstance(one, bytes) and not fixed >> index & 1 for index, one in enumerate(operation.fields))

    def values_of(first: bytes) -> Prepared:
        if not varying:
            return operation.prepared
        return parameters.prepare(row, use, _filled(operation.fields, fixed, first))

    if use is Use.ENCRYPT:

        def encrypt(first: bytes, data: bytes) -> tuple[bytes, bytes]:
            result, chosen = run(values_of(first).parameters, data)
            iv = chosen["iv"] if chosen and row.form is mechanisms.Form.GCM else b""
            return (b"", iv + result) if iv_first else (iv, result)

        return encrypt

    def simple(first: bytes, data: bytes) -> tuple[bytes, bytes]:
        given, rest = _split(values_of(first), data)
        return b"", run(given, data_of(rest))

    return simple


def _filled(fields: Fields, fixed: int, first: bytes) -> list[object]:
    """Return the fields with those that do not decide taken from ``first``, one after the other."""
    filled: list[object] = []
    at = 0
    for index, value in enumerate(fields):
        if isinstance(value, bytes) and not fixed >> index & 1:
            filled.append(first[at : at + len(value)])
            at += len(value)
        else:
            filled.append(value)
    return filled


def _split(prepared: Prepared, data: bytes) -> tuple[dict[str, object] | None, bytes]:
    """Take the IV off the beginning of a ciphertext that has it there."""
    if not prepared.iv_first:
        return prepared.parameters, data
    return {**(prepared.parameters or {}), "iv": data[:GCM_IV]}, data[GCM_IV:]


def _hashed(row: Row) -> Callable[[bytes], bytes]:
    if not row.digest:
        return lambda data: data
    name = row.digest.replace("-", "").lower()
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


def run_once(app: Application, operation: Operation, data: bytes) -> tuple[bytes, bytes]:
    """Run an operation on all its data; return the result and the IV that the HSM chose."""
    if operation.use is Use.DIGEST:
        return _hashed(operation.row)(data), b""
    return _run(app, operation, _hashed(operation.row)(data))


def _run(app: Application, operation: Operation, data: bytes) -> tuple[bytes, bytes]:
    """Run on data that is hashed where the mechanism hashes.

    Raises:
        Refused: ``CKR_ENCRYPTED_DATA_LEN_RANGE``.
    """
    crypto, prepared, user = app.hsm.crypto, operation.prepared, app.user()
    if operation.use is Use.ENCRYPT:
        result, chosen = crypto.encrypt(user, operation.key, prepared.mechanism, prepared.parameters, data)
        iv = chosen.get("iv", b"") if chosen and operation.row.form is mechanisms.Form.GCM else b""
        iv = iv if isinstance(iv, bytes) else b""
        return (iv + result, b"") if prepared.iv_first else (result, iv)
    given, rest = _split(prepared, data)
    if operation.use is Use.SIGN:
        return crypto.sign(user, operation.key, prepared.mechanism, given, rest), b""
    try:
        return crypto.decrypt(user, operation.key, prepared.mechanism, given, rest), b""
    except DataLengthInvalid:
        raise Refused(Rv.ENCRYPTED_DATA_LEN_RANGE) from None


def verify_once(app: Application, operation: Operation, data: bytes, signature: bytes) -> None:
    """Verify a signature of all the data.

    Raises:
        Refused: ``CKR_SIGNATURE_INVALID`` or ``CKR_SIGNATURE_LEN_RANGE``.
    """
    _verify(app, operation, _hashed(operation.row)(data), signature)


def _verify(app: Application, operation: Operation, data: bytes, signature: bytes) -> None:
    prepared = operation.prepared
    if len(signature) != operation.result_bytes(0):
        raise Refused(Rv.SIGNATURE_LEN_RANGE)
    user = app.user()
    if not app.hsm.crypto.verify(user, operation.key, prepared.mechanism, prepared.parameters, data, signature):
        raise Refused(Rv.SIGNATURE_INVALID)


def update(app: Application, operation: Operation, data: bytes) -> bytes:
    """Add data to a multi-part operation and return the output that is ready.

    Raises:
        Refused: ``CKR_DATA_LEN_RANGE``: the data is too long for an operation in parts that is done at its end.
    """
    parts = _parts(app, operation)
    if parts.repeated == data and parts.held:
        output, parts.held, parts.repeated = parts.held, b"", None
        return output
    if parts.hash is not None:
        parts.hash.update(data)
        return b""
    if parts.handle:
        output, parts.held = parts.held + app.hsm.crypto.update(app.user(), parts.handle, data), b""
        return output
    if len(parts.gathered) + len(data) > MAX_GATHERED:
        raise Refused(Rv.DATA_LEN_RANGE)
    parts.gathered += data
    return b""


def finish(app: Application, operation: Operation) -> bytes:
    """End a multi-part operation and return the rest of its output.

    Raises:
        Refused: ``CKR_ENCRYPTED_DATA_LEN_RANGE``.
    """
    parts = _parts(app, operation)
    if parts.final is not None:
        return parts.final
    if parts.hash is not None:
        digest: bytes = parts.hash.digest()
        return digest if operation.use is Use.DIGEST else _run(app, operation, digest)[0]
    handle, parts.handle = parts.handle, 0
    try:
        return parts.held + app.hsm.crypto.finish(app.user(), handle, b"")
    except DataLengthInvalid:
        raise Refused(Rv.ENCRYPTED_DATA_LEN_RANGE if operation.use is Use.DECRYPT else Rv.DATA_LEN_RANGE) from None


def finish_verify(app: Application, operation: Operation, signature: bytes) -> None:
    """End a verification in parts."""
    parts = _parts(app, operation)
    _verify(app, operation, parts.hash.digest() if parts.hash is not None else bytes(parts.gathered), signature)


def require_parts(operation: Operation) -> None:
    """Check that a mechanism has multi-part operations.

    Raises:
        Refused: It has none: ``CKR_MECHANISM_INVALID`` for a cipher, as in the original, else
            ``CKR_FUNCTION_NOT_SUPPORTED``.
    """
    if not operation.row.parts:
        cipher = operation.use in {Use.ENCRYPT, Use.DECRYPT}
        raise Refused(Rv.MECHANISM_INVALID if cipher else Rv.FUNCTION_NOT_SUPPORTED)


def _parts(app: Application, operation: Operation) -> Parts:
    """Return the state of a multi-part operation, which begins with its first part.

    Raises:
        Refused: The mechanism has no multi-part operations.
    """
    if operation.parts is not None:
        return operation.parts
    row = operation.row
    require_parts(operation)
    parts = Parts()
    if row.digest:
        parts.hash = hashlib.new(row.digest.replace("-", "").lower(), usedforsecurity=False)
    elif operation.use is not Use.VERIFY:
        prepared = operation.prepared
        parts.handle, _ = app.hsm.crypto.begin(
            app.user(), _IN_PARTS[operation.use], operation.key, prepared.mechanism, prepared.parameters
        )
    operation.parts = parts
    return parts
