"""The CloudHSM key store: keys are in the HSM under their label, certificates in a local file.

``KeyStore`` has the rules; ``keystore.file`` decodes and encodes files, which hold certificates and no key material.
"""

from __future__ import annotations

from keystore.entries import Entered, Entry
from keystore.store import KeyStore

__all__ = ["Entered", "Entry", "KeyStore"]
