"""An open HSM with one user, and what tests of the key store do with them most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.pytest_plugin import USER
from hsmcore import Hsm
from hsmcore.keys.records import KeyRecord
from hsmcore.sessions.session import Session
from keystore import KeyStore

PASSWORD = "keystore-pass-1"
P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve's object identifier 1.2.840.10045.3.1.7, DER."""


@dataclass
class Bench:
    """An open HSM, its user's session, and what a test does with them most."""

    home: Path
    hsm: Hsm
    session: Session

    def store(self, file: bytes | None = None, password: str | None = None) -> KeyStore:
        return KeyStore.load(self.hsm, self.session, file, password)

    def pair(self, public: str | None = None, private: str | None = None) -> KeyRecord:
        """Generate a P-256 pair of session keys with these labels and return the private half."""
        labels = [{} if label is None else {"LABEL": label} for label in (public, private)]
        return self.hsm.keys.generate_pair(
            self.session, "EC_KEY_PAIR_GEN", {"EC_PARAMS": P256, **labels[0]}, labels[1]
        )[1]

    def secret(self, label: str) -> KeyRecord:
        return self.hsm.keys.generate(self.session, "AES_KEY_GEN", {"SIZE": 256, "LABEL": label})

    def record(self, handle: int) -> KeyRecord:
        return self.hsm.keys.get(self.session, handle)

    def relogin(self) -> None:
        """End the session, with its session keys, and begin another."""
        self.hsm.users.logout(self.session)
        self.session = self.hsm.users.login(USER, PASSWORD.encode())
