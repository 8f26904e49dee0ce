"""The ``key wrap`` and ``key unwrap`` commands: one row for each of CloudHSM's eight mechanisms."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.attributes import key_object
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.handles import reference
from bridge.cloudhsm_cli.keys import NO_USES, SECRET_USES, sharing, template, with_quorum
from bridge.cloudhsm_cli.quorum import approve
from bridge.cloudhsm_cli.selecting import described, one_key
from bridge.cloudhsm_cli.table import Data, Handler, Values
from bridge.protocol.codec import Value

TAG_BITS = ("64", "96", "104", "112", "120", "128")
"""Lengths of an AES-GCM tag in bits (SP 800-38D 5.2.1.2, without the shortest)."""
KEY_CLASSES = {
    "aes": ("SECRET_KEY", "AES"),
    "des3": ("SECRET_KEY", "DESEDE"),
    "ec-private": ("PRIVATE_KEY", "EC"),
    "generic-secret": ("SECRET_KEY", "GENERIC_SECRET"),
    "rsa-private": ("PRIVATE_KEY", "RSA"),
}
_IV = 12
"""Bytes of the IV that the HSM generates for AES-GCM; ``cloudhsm-aes-gcm`` prepends it to the wrapped key."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One wrapping mechanism: its name here and in the HSM, and the options it has."""

    name: str
    mechanism: str
    gcm: bool = False
    hashed: bool = False
    iv_in_front: bool = False

    def named(self, values: Values) -> str:
        """Return the name of the HSM's mechanism for the options of a call."""
        return f"{self.mechanism}_{values.text('hash-function').upper()}" if self.hashed else self.mechanism

    def parameters(self, values: Values) -> dict[str, Value]:
        """Return the mechanism parameters for the options of a call."""
        found: dict[str, Value] = {}
        if self.hashed:
            found["mgf_hash"] = values.text("mgf").removeprefix("mgf1-").upper()
        aad = values.optional("aad") if self.gcm else None
        if aad is not None:
            found["aad"] = files.from_hex(aad, "aad")
        return found


WRAPPINGS = (
    Wrapping("aes-gcm", "AES_GCM", gcm=True),
    Wrapping("aes-no-pad", "AES_KEY_WRAP_NO_PAD"),
    Wrapping("aes-pkcs5-pad", "AES_KEY_WRAP_PKCS5_PAD"),
    Wrapping("aes-zero-pad", "AES_KEY_WRAP_ZERO_PAD"),
    Wrapping("cloudhsm-aes-gcm", "AES_GCM", gcm=True, iv_in_front=True),
    Wrapping("rsa-aes", "RSA_AES_KEY_WRAP", hashed=True),
    Wrapping("rsa-oaep", "RSA_OAEP", hashed=True),
    Wrapping("rsa-pkcs", "RSA_PKCS1"),
)


def wrap(row: Wrapping) -> Handler:
    """Return the command that wraps with a mechanism."""

    def run(context: Context, values: Values) -> Data:
        payload = one_key(context, values.texts("payload-filter"), "payload-filter")
        wrapping = one_key(context, values.texts("wrapping-filter"), "wrapping-filter")
        for option in ("wrapping-approval", "payload-approval"):
            approve(context, values, option)
        wrapped, chosen = context.call(
            "WRAP_KEY", wrapping["HANDLE"], row.named(values), row.parameters(values) or None, payload["HANDLE"]
        )
        content = wrapped if isinstance(wrapped, bytes) else b""
        iv = chosen["iv"] if isinstance(chosen, dict) else None
        if row.gcm and isinstance(iv, bytes):
            # A shorter tag is a prefix of the full tag (SP 800-38D 7.1).
            content = content[: len(content) - 16 + _tag_bytes(values)]
            content = iv + content if row.iv_in_front else content
        data: dict[str, object] = {
            "payload_key_reference": reference(payload["HANDLE"]),
            "wrapping_key_reference": reference(wrapping["HANDLE"]),
        }
        if row.gcm and not row.iv_in_front and isinstance(iv, bytes):
            data["iv"] = "0x" + iv.hex()
        path = values.optional("path")
        if path is not None:
            files.write(path, content)
        return data | {"wrapped_key_data": base64.b64encode(content).decode()}

    return run


def unwrap(row: Wrapping) -> Handler:
    """Return the command that unwraps with a mechanism."""

    def run(context: Context, values: Values) -> Data:
        inline = values.optional("data")
        content = files.read(values.text("data-path")) if inline is None else files.from_base64(inline, "data")
        parameters = row.parameters(values)
        if row.gcm:
            iv = content[:_IV] if row.iv_in_front else files.from_hex(values.text("iv"), "iv")
            content = content[_IV:] if row.iv_in_front else content
            parameters |= {"iv": iv, "tag_length": _tag_bytes(values)}
        key_class, key_type = KEY_CLASSES[values.text("key-type-class")]
        uses = SECRET_USES if key_class == "SECRET_KEY" and key_type != "DESEDE" else NO_USES
        kind: dict[str, Value] = {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type}
        attributes = template(values, "attributes", "label", uses, kind) | sharing(values)
        unwrapping = one_key(context, values.texts("filter"))
        approve(context, values)
        make: Callable[[], tuple[Value, ...]] = lambda: context.call(  # noqa: E731
            "UNWRAP_KEY", unwrapping["HANDLE"], row.named(values), parameters or None, content, attributes
        )
        (record,) = with_quorum(context, values, make)
        return {"key": key_object(described(context, record))}

    return run


def _tag_bytes(values: Values) -> int:
    bits = values.text("tag-length-bits")
    if bits not in TAG_BITS:
        raise Failure(f"a tag has one of {', '.join(TAG_BITS)} bits, not {bits}")
    return int(bits) // 8
