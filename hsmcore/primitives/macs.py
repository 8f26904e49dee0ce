"""HMAC (FIPS 198-1) and AES-CMAC (SP 800-38B)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hmac import HMAC

from hsmcore.errors import KeyFunctionNotPermitted
from hsmcore.primitives.parameters import Parameters, hash_named
from hsmcore.tables.mechanisms import MAX_HMAC_KEY, Mechanism


class MacStream:
    """A multi-part MAC."""

    def __init__(self, context: HMAC | CMAC) -> None:
        self._context = context

    def update(self, data: bytes) -> bytes:
        """Process more data; return nothing."""
        self._context.update(data)
        return b""

    def finish(self, data: bytes) -> bytes:
        """Process the last data and return the MAC."""
        self._context.update(data)
        return self._context.finalize()


def _keyed(row: Mechanism, key: bytes) -> HMAC | CMAC:
    """Return the keyed state, which each MAC copies.

    Raises:
        KeyFunctionNotPermitted: The key is too long for an HMAC.
    """
    if not row.hash:
        return CMAC(AES(key))
    if len(key) > MAX_HMAC_KEY:
        raise KeyFunctionNotPermitted(f"an HMAC key has at most {MAX_HMAC_KEY} bytes; this one has {len(key)}")
    return HMAC(key, hash_named(row.hash))


def stream(row: Mechanism, key: bytes) -> Callable[[Parameters], tuple[MacStream, None]]:
    """Begin a multi-part MAC."""
    keyed = _keyed(row, key)
    return lambda _parameters: (MacStream(keyed.copy()), None)


def signer(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes], bytes]:
    """Compute a MAC."""
    keyed = _keyed(row, key)

    def run(parameters: Parameters, data: bytes) -> bytes:
        context = keyed.copy()
        context.update(data)
        return context.finalize()

    return run


def verifier(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes, bytes], bool]:
    """Verify a MAC in constant time."""
    keyed = _keyed(row, key)

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        context = keyed.copy()
        context.update(data)
        try:
            context.verify(signature)
        except InvalidSignature:
            return False
        return True

    return run
