"""Keys that leave the HSM and come back, encrypted under other keys."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from hsmcore.crypto.operations import PreparedOperations
from hsmcore.errors import (
    AttributeInvalid,
    DataLengthInvalid,
    KeyMaterialInvalid,
    KeySizeInvalid,
    PaddingInvalid,
    TagMismatch,
    TemplateInconsistent,
    WrappedKeyInvalid,
)
from hsmcore.keys import generation, policy
from hsmcore.keys.keyring import KeyRing
from hsmcore.keys.records import Entry, KeyRecord, Sharing
from hsmcore.quorum.approvals import Approvals
from hsmcore.sessions.session import Session
from hsmcore.settings import Settings
from hsmcore.tables.attributes import PRIVATE, SECRET, TYPES, Value, checked, shown
from hsmcore.tables.mechanisms import Operation


class Wrapping:
    """Wraps and unwraps keys.

    What is wrapped is a key's material: the raw bytes of a secret key, the PKCS #8 (DER) of a private key.
    """

    def __init__(self, ring: KeyRing, use: PreparedOperations, approvals: Approvals, settings: Settings) -> None:
        self._ring = ring
        self._use = use
        self._approvals = approvals
        self._settings = settings

    def wrap(
        self, session: Session, key: int, mechanism: str, parameters: Mapping[str, object] | None, target: int
    ) -> tuple[bytes, dict[str, object] | None]:
        """Return the target under the key, and the parameters to unwrap it with, if there are any.

        It takes approval of the management of both keys where they do.
        """
        with self._use.counted(Operation.WRAP, mechanism):
            run = self._use.operation(session, Operation.WRAP, key, mechanism)
            wrapping, entry = self._ring.entry(session, key), self._ring.entry(session, target)
            policy.require_wrappable(session, entry, wrapping.record.attributes)
            with self._managing(session, wrapping), self._managing(session, entry):
                result: tuple[bytes, dict[str, object] | None] = run(parameters, self._ring.material(entry))
        return result

    def unwrap(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Mapping[str, object] | None,
        wrapped: bytes,
        attributes: Mapping[str, object],
        sharing: Sharing,
    ) -> KeyRecord:
        """Take a wrapped key in, with the caller's attributes and those of the unwrapping key's UNWRAP_TEMPLATE.

        Everything that may be wrong with the bytes is one error: which check failed helps who tries out ciphertexts.
        """
        with self._use.counted(Operation.UNWRAP, mechanism):
            return self._unwrapped(session, key, mechanism, parameters, wrapped, attributes, sharing)

    def _unwrapped(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Mapping[str, object] | None,
        wrapped: bytes,
        attributes: Mapping[str, object],
        sharing: Sharing,
    ) -> KeyRecord:
        run = self._use.operation(session, Operation.UNWRAP, key, mechanism)
        unwrapping = self._ring.entry(session, key)
        wishes = _union(checked(attributes), unwrapping.record.attributes.get("UNWRAP_TEMPLATE"))
        key_class, key_type = (str(wishes.get(name)) for name in ("OBJECT_CLASS", "KEY_TYPE"))
        if key_class not in (SECRET, PRIVATE) or key_type not in TYPES[key_class]:
            raise AttributeInvalid(
                f"an unwrapped key is a {SECRET} or {PRIVATE} of a fitting KEY_TYPE, not a {key_class} {key_type}"
            )
        with self._managing(session, unwrapping):
            try:
                new = generation.read(wishes, run(parameters, wrapped), self._settings)
            except (DataLengthInvalid, PaddingInvalid, TagMismatch, KeyMaterialInvalid, KeySizeInvalid):
                raise WrappedKeyInvalid(
                    f"the bytes do not unwrap with this key and {mechanism} to a {key_class} of type {key_type}"
                ) from None
            return self._ring.add(session, [new], sharing)[0]

    def _managing(self, session: Session, entry: Entry) -> AbstractContextManager[None]:
        return self._approvals.granted_key(session, "key-management", entry)


def _union(wishes: Mapping[str, Value], template: Value | None) -> dict[str, Value]:
    """Return the caller's attributes and the template's. Raises ``TemplateInconsistent`` where they contradict."""
    if not isinstance(template, Mapping):
        return dict(wishes)
    for name, value in template.items():
        if wishes.get(name, value) != value:
            raise TemplateInconsistent(
                f"{name} is {shown(value)} for every key that this key unwraps (UNWRAP_TEMPLATE), "
                f"not {shown(wishes[name])}"
            )
    return {**wishes, **template}
