"""The CloudHSM key store: keys are in the HSM under their label, certificates in a local file.

``KeyStore`` is the door; a key store file holds certificates and never key material.
"""

from __future__ import annotations

from keystore.entries import Entry
from keystore.store import KeyStore

__all__ = ["Entry", "KeyStore"]
