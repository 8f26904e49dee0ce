"""Cryptography of each mechanism family; the only package of ``hsmcore`` that imports ``cryptography``.

``operation`` and ``stream`` find the function of a mechanism's family in a table and bind the key to it, so that a
repeated operation needs no look-up. A function takes the mechanism's parameters (``None`` or a map) and data. A
function that encrypts returns the ciphertext and the parameters that the HSM chose, or ``None``.
"""

from __future__ import annotations

from hsmcore.primitives.families import Run, Stream, operation, stream
from hsmcore.primitives.keyforms import KeyFacts, OpenedKey, type_of

__all__ = ["KeyFacts", "OpenedKey", "Run", "Stream", "operation", "stream", "type_of"]
