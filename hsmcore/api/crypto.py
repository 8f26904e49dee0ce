"""Cryptographic operations with keys, in one call or in parts, and random bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.crypto.operations import KeyReference
from hsmcore.errors import DataLengthInvalid, HsmError, MalformedRequest, OperationNotFound
from hsmcore.primitives.families import Run
from hsmcore.primitives.secrecy import random_bytes
from hsmcore.sessions.session import Session
from hsmcore.tables.mechanisms import Operation

Parameters = Mapping[str, object] | None
"""Parameters of a mechanism."""

MAX_RANDOM = 65536
"""Random bytes in one request (SP 800-90A table 3: 2 to the power of 19 bits)."""

_ENCRYPT, _DECRYPT, _SIGN, _VERIFY = Operation.ENCRYPT, Operation.DECRYPT, Operation.SIGN, Operation.VERIFY
_IN_PARTS = {"encrypt": _ENCRYPT, "decrypt": _DECRYPT, "sign": _SIGN}


class CryptoService:
    """Computes with keys.

    ``encrypt``, ``decrypt``, ``sign`` and ``verify`` take a key's handle, or the SubjectPublicKeyInfo (DER) of a public
    key from outside the HSM. They raise ``Unauthenticated``, and the errors under ``KeyUseError``, ``MechanismError``
    and ``QuorumError``. The role is authorised once per session, key, mechanism and operation.
    """

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._operations = core.operations
        self._streams = core.streams
        self._ring = core.ring
        self._lock = core.lock
        self._sessions = core.sessions
        # Bound once, since it runs on every operation.
        self._run = core.operations.run

    def encrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> tuple[bytes, dict[str, object] | None]:
        """Encrypt; return the ciphertext, and the parameters that ``decrypt`` needs if there are any."""
        result: tuple[bytes, dict[str, object] | None] = self._run(session, _ENCRYPT, key, mechanism, parameters, data)
        return result

    def decrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Decrypt a ciphertext."""
        result: bytes = self._run(session, _DECRYPT, key, mechanism, parameters, data)
        return result

    def sign(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Sign data, or a digest with a mechanism that does not hash; or compute a MAC of the data."""
        result: bytes = self._run(session, _SIGN, key, mechanism, parameters, data)
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
        """Tell whether a signature or MAC of the data is right; ``False`` for a malformed one."""
        result: bool = self._run(session, _VERIFY, key, mechanism, parameters, data, signature)
        return result

    @guarded
    def require(self, session: Session, kind: str, key: KeyReference, mechanism: str) -> None:
        """Check that a session may run an operation, without running it.

        Args:
            session: A session.
            kind: ENCRYPT, DECRYPT, SIGN or VERIFY.
            key: The key.
            mechanism: The mechanism.
        """
        self._operations.operation(session, Operation(kind), key, mechanism)

    def keep_shortcut(
        self,
        session: Session,
        kind: str,
        key: KeyReference,
        mechanism: str,
        form: Callable[[Run], Run],
        variant: object = None,
    ) -> int:
        """Add an operation that was permitted to ``session.shortcuts``, until its permission changes.

        Args:
            session: The session that ran the operation.
            kind: ENCRYPT, DECRYPT, SIGN or VERIFY.
            key: The key of that operation.
            mechanism: The mechanism of that operation.
            form: Makes the shortcut of the prepared operation.
            variant: Tells forms of the same operation apart.

        Returns:
            The shortcut's number; 0 where the operation takes an approval each time or is not prepared any more.
        """
        return self._operations.keep_shortcut(session, Operation(kind), key, mechanism, form, variant)

    def drop_shortcuts(self) -> None:
        """Make every client send whole requests again, in place of the number of a prepared operation."""
        with self._lock:
            for session in self._sessions.all():
                session.clear_shortcuts()

    @guarded
    def begin(
        self, session: Session, kind: str, key: KeyReference, mechanism: str, parameters: Parameters
    ) -> tuple[int, dict[str, object] | None]:
        """Begin a multi-part operation.

        Args:
            session: The session that continues the operation.
            kind: ``encrypt``, ``decrypt`` or ``sign``.
            key: A handle, or a public key from outside.
            mechanism: The mechanism.
            parameters: The mechanism's parameters.

        Returns:
            The operation's handle, and the parameters that ``decrypt`` needs if there are any.

        Raises:
            MalformedRequest: There is no such kind.
            OperationLimit: The session has as many unfinished operations as it can have.
            KeyNotFound: The session sees no such key.
            KeyFunctionNotPermitted: An attribute of the key forbids the operation.
            KeyTypeInconsistent: The key does not fit the mechanism.
            KeyQuorumFailed: The key takes an approval and the session has none.
            MechanismInvalid: The mechanism is unknown or does not do this in parts.
            MechanismParameterInvalid: A parameter is missing or wrong.
        """
        operation = _IN_PARTS.get(kind)
        if operation is None:
            raise MalformedRequest(f"a multi-part operation is one of {', '.join(_IN_PARTS)}, not {kind[:32]!r}")
        stream, chosen = self._operations.stream(session, operation, key, mechanism)(parameters)
        handle = self._streams.begin(session, key, stream)
        if isinstance(key, int):
            self._require_key(session, key, handle)
        return handle, chosen

    def _require_key(self, session: Session, key: int, operation: int) -> None:
        """Check that the key was not destroyed or unshared before its operation began; abort it otherwise.

        Raises:
            HsmError: It was (``KeyNotFound``), or it cannot be read.
        """
        try:
            self._ring.entry(session, key)
        except HsmError:
            with suppress(OperationNotFound):
                self._streams.abort(session, operation)
            raise

    def update(self, session: Session, operation: int, data: bytes) -> bytes:
        """Add data to a multi-part operation and return the output that is ready.

        Raises:
            OperationNotFound: The operation is finished, aborted or expired.
        """
        period = self._log.period
        output = self._streams.update(session, operation, data)
        self._log.require_current(period)
        return output

    def finish(self, session: Session, operation: int, data: bytes) -> bytes:
        """Add the last data to a multi-part operation, end it and return the rest of the output.

        Raises:
            OperationNotFound: The operation is finished, aborted or expired.
        """
        period = self._log.period
        output = self._streams.finish(session, operation, data)
        self._log.require_current(period)
        return output

    def abort(self, session: Session, operation: int) -> None:
        """End a multi-part operation without a result.

        Raises:
            OperationNotFound: The operation is finished, aborted or expired.
        """
        self._streams.abort(session, operation)

    @guarded
    def random(self, session: Session, length: int) -> bytes:
        """Return random bytes.

        Args:
            session: A session.
            length: The number of bytes, at most ``MAX_RANDOM``.

        Raises:
            DataLengthInvalid: The number is out of range.
        """
        if not 0 <= length <= MAX_RANDOM:
            raise DataLengthInvalid(f"one request draws 0 to {MAX_RANDOM} random bytes, not {length}")
        return random_bytes(length)
