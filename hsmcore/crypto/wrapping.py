"""Keys that leave the HSM and come back, encrypted under other keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

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
from hsmcore.keys.generation import NewKey
from hsmcore.keys.keyring import KeyRing
from hsmcore.keys.records import KeyEntry
from hsmcore.quorum.approvals import Approvals
from hsmcore.sessions.session import Session
from hsmcore.settings import Settings
from hsmcore.tables.attributes import PRIVATE, SECRET, TYPES, Value, checked, shown
from hsmcore.tables.mechanisms import Operation


class Wrapping:
    """Wraps and unwraps keys: the raw bytes of a secret key, the PKCS #8 (DER) of a private key."""

    def __init__(
        self, ring: KeyRing, operations: PreparedOperations, approvals: Approvals, settings: Settings
    ) -> None:  # fmt: skip
        self._ring = ring
        self._operations = operations
        self._approvals = approvals
        self._settings = settings

    def wrap(
        self, session: Session, key: int, mechanism: str, parameters: Mapping[str, object] | None, target: int
    ) -> tuple[bytes, dict[str, object] | None]:
        """Encrypt the target under the key. Takes an approval where the management or the use of either key does.

        Returns:
            The wrapped key, and the parameters to unwrap it with if there are any.
        """
        with self._operations.counted(Operation.WRAP, mechanism):
            run = self._operations.operation(session, Operation.WRAP, key, mechanism)
            wrapping, entry = self._ring.entry(session, key), self._ring.entry(session, target)
            policy.require_wrappable(session, entry, wrapping.record.attributes)
            with self._managing(session, wrapping), self._managing(session, entry):
                result: tuple[bytes, dict[str, object] | None] = run(parameters, self._ring.material(entry))
        return result

    @contextmanager
    def unwrapped(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Mapping[str, object] | None,
        wrapped: bytes,
        template: Mapping[str, object],
    ) -> Iterator[NewKey]:
        """Yield a wrapped key, to be stored in the block, with the attributes of template and key's UNWRAP_TEMPLATE.

        Takes an approval where the management or the use of the unwrapping key does; it is used up if the block
        succeeds.

        Raises:
            AttributeInvalid: An attribute is unknown, of the wrong type, or not allowed here.
            TemplateInconsistent: An attribute contradicts the unwrapping key's UNWRAP_TEMPLATE.
            WrappedKeyInvalid: The bytes do not unwrap to such a key.
        """
        with self._operations.counted(Operation.UNWRAP, mechanism):
            run = self._operations.operation(session, Operation.UNWRAP, key, mechanism)
            unwrapping = self._ring.entry(session, key)
            union = _union(checked(template), unwrapping.record.attributes.get("UNWRAP_TEMPLATE"))
            key_class, key_type = _class_and_type(union)
            with self._managing(session, unwrapping):
                try:
                    new = generation.read(union, run(parameters, wrapped), self._settings)
                except (DataLengthInvalid, PaddingInvalid, TagMismatch, KeyMaterialInvalid, KeySizeInvalid):
                    # One error for all: a caller who tries out ciphertexts must not learn which check failed.
                    raise WrappedKeyInvalid(
                        f"the bytes do not unwrap with this key and {mechanism} to a {key_class} of type {key_type}"
                    ) from None
                yield new

    def _managing(self, session: Session, entry: KeyEntry) -> AbstractContextManager[None]:
        """Take an approval where the key's management does, else where its use does.

        A copy of a key whose use takes approvals would take none, and unwrapping decrypts as a use does.
        """
        service = "key-management" if policy.approvals_needed(entry, "key-management") else "key-usage"
        return self._approvals.granted_key(session, service, entry)


def _class_and_type(template: Mapping[str, Value]) -> tuple[str, str]:
    key_class, key_type = (str(template.get(name)) for name in ("OBJECT_CLASS", "KEY_TYPE"))
    if key_class not in (SECRET, PRIVATE) or key_type not in TYPES[key_class]:
        raise AttributeInvalid(
            f"an unwrapped key is a {SECRET} or {PRIVATE} of a fitting KEY_TYPE, not a {key_class} {key_type}"
        )
    return key_class, key_type


def _union(template: Mapping[str, Value], fixed: Value | None) -> dict[str, Value]:
    """Return the attributes of the caller's template and of the key's UNWRAP_TEMPLATE (``fixed``).

    Raises:
        TemplateInconsistent: The two contradict each other.
    """
    if not isinstance(fixed, Mapping):
        return dict(template)
    for name, value in fixed.items():
        if template.get(name, value) != value:
            raise TemplateInconsistent(
                f"{name} is {shown(value)} for every key that this key unwraps (UNWRAP_TEMPLATE), "
                f"not {shown(template[name])}"
            )
    return {**template, **fixed}
