"""An open HSM with one user, and what tests of the key store do with them most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.pytest_plugin import USER
from hsmcore import Hsm
from hsmcore.keys.records import KeyRecord
from hsmcore.sessions.session import Session
from hsmcore.tables.attributes import Value
from keystore import Entered, Entry, KeyStore
from keystore import file as key_store_file
from keystore.entries import Kind

PASSWORD = "keystore-pass-1"
P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve's object identifier 1.2.840.10045.3.1.7, DER."""


class Loaded:
    """A key store as a client has it: the entries, and the HSM's rules asked with each of them."""

    def __init__(self, bench: Bench, entries: dict[str, Entry]) -> None:
        self._bench = bench
        self._to_persist: dict[str, Sequence[int]] = {}
        self.entries = entries

    def _rules(self) -> KeyStore:
        return KeyStore(self._bench.hsm, self._bench.session)

    def aliases(self) -> list[str]:
        return list(self.listing())

    def listing(self) -> dict[str, str]:
        keys = {alias: entry for alias, entry in self.entries.items() if entry.kind is Kind.KEY}
        trusted = {alias: "" for alias, entry in self.entries.items() if entry.kind is Kind.TRUSTED}
        told = self._rules().listing(keys) | trusted
        return {alias: told[alias] for alias in dict.fromkeys([*self.entries, *told])}

    def is_key(self, alias: str) -> bool | None:
        return self._rules().is_key(alias, self.entries.get(alias))

    def chain(self, alias: str) -> tuple[bytes, ...]:
        return self.entries[alias].chain if alias in self.entries else ()

    def get_key(self, alias: str) -> KeyRecord | None:
        return self._rules().get_key(alias, self.entries.get(alias))

    def set_key(self, alias: str, handle: int, chain: Sequence[bytes]) -> None:
        self._enter(alias, self._rules().set_key(alias, self.entries.get(alias), handle, chain))

    def import_key(
        self, alias: str, attributes: Mapping[str, Value], material: bytes, chain: Sequence[bytes]
    ) -> KeyRecord:
        record, entered = self._rules().import_key(alias, self.entries.get(alias), attributes, material, chain)
        self._enter(alias, entered)
        return record

    def set_certificate(self, alias: str, certificate: bytes) -> None:
        self.entries[alias] = self._rules().set_certificate(alias, self.entries.get(alias), certificate)

    def delete(self, alias: str) -> None:
        self.entries.pop(alias, None)
        self._to_persist.pop(alias, None)

    def save(self, password: str | None) -> bytes:
        file = key_store_file.encode(self.entries, password)
        self._rules().persist(self._to_persist)
        return file

    def _enter(self, alias: str, entered: Entered) -> None:
        self.entries.pop(alias, None)
        if entered.entry is not None:
            self.entries[alias] = entered.entry
        self._to_persist[alias] = entered.to_persist


@dataclass
class Bench:
    """An open HSM, its user's session, and what a test does with them most."""

    home: Path
    hsm: Hsm
    session: Session

    def store(self, file: bytes | None = None, password: str | None = None) -> Loaded:
        return Loaded(self, {} if file is None else key_store_file.decode(file, password).entries)

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
