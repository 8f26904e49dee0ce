"""The part of the door by which keys are used. ``hsmcore.Hsm`` is the whole door."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hsmcore.audit.log import AuditLog
from hsmcore.crypto.operations import KeyReference, KeyUse
from hsmcore.crypto.streams import MultiPart
from hsmcore.errors import MalformedRequest
from hsmcore.primitives.families import Run
from hsmcore.sessions.permissions import guarded
from hsmcore.sessions.session import Session
from hsmcore.tables.mechanisms import Operation

Parameters = Mapping[str, object] | None

_ENCRYPT, _DECRYPT, _SIGN, _VERIFY = Operation.ENCRYPT, Operation.DECRYPT, Operation.SIGN, Operation.VERIFY
_KINDS = {"encrypt": _ENCRYPT, "decrypt": _DECRYPT, "sign": _SIGN}


class Usage:
    """One-shot and multi-part operations. The whole door makes what they are done with."""

    log: AuditLog
    _use: KeyUse
    _multipart: MultiPart

    def encrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> tuple[bytes, dict[str, object] | None]:
        """Encrypt; return the ciphertext and the parameters to decrypt with, if there are any.

        Like ``decrypt``, ``sign`` and ``verify`` it raises ``Unauthenticated``, and ``KeyUseError`` and
        ``MechanismError`` with their kinds.
        """
        result: tuple[bytes, dict[str, object] | None] = self._use.run(
            session, _ENCRYPT, key, mechanism, parameters, data
        )
        return result

    def decrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Decrypt."""
        result: bytes = self._use.run(session, _DECRYPT, key, mechanism, parameters, data)
        return result

    def sign(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Sign a digest, or the data where the mechanism does not hash; or make a MAC of the data."""
        result: bytes = self._use.run(session, _SIGN, key, mechanism, parameters, data)
        return result

    def verify(
        self,
        session: Session,
        key: KeyReference,
        mechanism: str,
        parameters: Parameters,
        data: bytes,
        signature: bytes,
    ) -> bool:
        """Tell whether a signature or MAC is right; one of the wrong form is not."""
        result: bool = self._use.run(session, _VERIFY, key, mechanism, parameters, data, signature)
        return result

    def keep_shortcut(
        self, session: Session, kind: str, key: KeyReference, mechanism: str, form: Callable[[Run], Run]
    ) -> int:  # fmt: skip
        """Keep a use that has been allowed in ``session.shortcuts``, as ``form`` makes it, for as long as it is.

        Return its number there, or 0 where the use is not kept.
        """
        return self._use.keep_shortcut(session, Operation(kind), key, mechanism, form)

    @guarded
    def begin(
        self, session: Session, kind: str, key: KeyReference, mechanism: str, parameters: Parameters
    ) -> tuple[int, dict[str, object] | None]:
        """Begin a multi-part operation of a kind (``encrypt``, ``decrypt``, ``sign``).

        Return its handle and parameters as ``encrypt`` does. Raises as ``encrypt``, and ``OperationLimit``.
        """
        operation = _KINDS.get(kind)
        if operation is None:
            raise MalformedRequest(f"a multi-part operation is one of {', '.join(_KINDS)}, not {kind[:32]!r}")
        stream, chosen = self._use.stream(session, operation, key, mechanism)(parameters)
        return self._multipart.begin(session, key, stream), chosen

    def update(self, session: Session, operation: int, data: bytes) -> bytes:
        """Give more data to a multi-part operation, return the output that is ready. Raises ``OperationNotFound``."""
        return self._multipart.update(session, operation, data)

    def finish(self, session: Session, operation: int, data: bytes) -> bytes:
        """Give the last data to a multi-part operation, return the rest of the output; the operation is over."""
        return self._multipart.finish(session, operation, data)

    def abort(self, session: Session, operation: int) -> None:
        """End a multi-part operation without its result. Raises ``OperationNotFound``."""
        self._multipart.abort(session, operation)
