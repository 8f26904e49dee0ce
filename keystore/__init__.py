"""The CloudHSM key store: keys in the HSM, found by their labels, and certificates in a local file.

``KeyStore`` is the public API. A key store file holds certificates and never key material.
"""

from __future__ import annotations

from keystore.entries import Entry
from keystore.store import KeyStore

__all__ = ["Entry", "KeyStore"]
