"""Cryptography: bytes and opened keys in, bytes out. The only place that imports the package ``cryptography``.

A mechanism's row names its family; ``operation`` and ``stream`` find the family's function in a table and bind the key
to it once, so that a repeated operation does no look-ups. A function takes the protocol's parameters (null or a map)
and data; one to encrypt returns the ciphertext and the parameters that the HSM chose, or ``None``.
"""

from __future__ import annotations

from hsmcore.primitives.families import Run, Stream, operation, stream
from hsmcore.primitives.keyforms import KeyFacts, OpenedKey, type_of

__all__ = ["KeyFacts", "OpenedKey", "Run", "Stream", "operation", "stream", "type_of"]
