"""A loaded key store: the HSM's keys, found by label, together with the certificates of a file.

The rules are those of the CloudHSM key store: ``setKeyEntry`` refuses an alias that names another object, an ambiguous
alias is an error, and ``store`` makes new keys persistent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from hsmcore.errors import HsmError, KeyAmbiguous, KeyNotFound, KeyStoreEntry, KeyStorePassword
from keystore import file as key_store_file
from keystore.certificates import checked_chain, public_key_of
from keystore.entries import Entry, FileEntry, Kind

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.keys.records import KeyRecord
    from hsmcore.sessions.session import Session
    from hsmcore.tables.attributes import Value

_PRIVATE, _PUBLIC = "PRIVATE_KEY", "PUBLIC_KEY"
_ONE, _SEVERAL = Entry(is_key=True, is_certificate=False), Entry(is_key=False, is_certificate=False)
"""Entries of labels that are not in the file: with one key, and with several."""


class KeyStore:
    """One key store, loaded for one session.

    It is not safe for use by several threads. A refused change (``KeyStoreEntry``) changes nothing.
    """

    def __init__(self, hsm: Hsm, session: Session, entries: dict[str, FileEntry], *, opened: bool = True) -> None:
        self._hsm = hsm
        self._session = session
        self._entries = entries
        self._opened = opened
        self._links: dict[str, int] = {}
        self._to_persist: dict[str, list[int]] = {}

    @classmethod
    def load(cls, hsm: Hsm, session: Session, file: bytes | None, password: str | None) -> Self:
        """Open a file, or create an empty key store if ``file`` is ``None``.

        Without a password only the format of the file is checked: its entries are unknown, and ``save`` refuses.

        Raises:
            KeyStoreDamaged: The file is not a CloudHSM key store, is truncated or has a newer format.
            KeyStorePassword: The password is wrong, or the file was changed.
        """
        if file is None:
            return cls(hsm, session, {})
        if password is None:
            key_store_file.check_form(file)
            return cls(hsm, session, {}, opened=False)
        return cls(hsm, session, key_store_file.read(file, password))

    def aliases(self) -> list[str]:
        """List the file's aliases in their order, then the labels of keys in the HSM, each once."""
        labels = self._hsm.keys.labels(self._session)
        return [*self._entries, *sorted(labels.keys() - self._entries.keys())]

    def entries(self) -> dict[str, Entry]:
        """Return every entry as ``entry`` does, in the order of ``aliases``.

        This takes one query. It opens no key, so it does not find damaged rows.
        """
        labels = self._hsm.keys.labels(self._session)
        described = {}
        for alias, held in self._entries.items():
            if held.kind is Kind.TRUSTED or alias in self._links or not _usable(labels.get(alias, {})):
                described[alias] = self._described(alias, held)
            else:
                described[alias] = _of_key(held, _usable(labels[alias]))
        for alias in sorted(labels.keys() - self._entries.keys()):
            counts = labels[alias]
            found = _usable(counts) or counts[_PUBLIC]
            described[alias] = _ONE if found == 1 else _SEVERAL
        return described

    def entry(self, alias: str) -> Entry | None:
        """Return one entry, or ``None`` if neither the file nor the HSM knows the alias."""
        held = self._entries.get(alias)
        if held is not None:
            return self._described(alias, held)
        candidates = self._candidates(alias)
        if not candidates:
            return None
        return _ONE if len(candidates) == 1 else _SEVERAL

    def _described(self, alias: str, held: FileEntry) -> Entry:
        if held.kind is Kind.TRUSTED:
            return Entry(is_key=False, is_certificate=True, chain=held.chain, created=held.created)
        return _of_key(held, len(self._candidates(alias)))

    def get_key(self, alias: str) -> KeyRecord | None:
        """Return the key with this alias, or ``None``.

        Raises:
            KeyAmbiguous: Several keys have this alias.
        """
        held = self._entries.get(alias)
        if held is not None and held.kind is Kind.TRUSTED:
            return None
        candidates = self._candidates(alias)
        if len(candidates) > 1:
            raise KeyAmbiguous(f"KeyStore should return only one key for the provided alias {alias}")
        return candidates[0] if candidates else None

    def set_key(self, alias: str, handle: int, chain: Sequence[bytes]) -> None:
        """Add an entry for a key of the HSM; a private key needs its certificate chain.

        A key without a label gets the alias as its label, as does its public half. ``save`` makes the key persistent.

        Raises:
            KeyNotFound: The session cannot see a key with this handle.
            KeyStoreEntry: The alias is empty or names another object, or the chain does not belong to the key.
        """
        record = self._hsm.keys.get(self._session, handle)
        _check_alias(alias)
        checked = _chain_for(record, chain)
        self._check_free(alias, handle)
        public_halves = self._unlabelled_public_halves(record)
        if not self._label(record, alias):
            self._links[alias] = handle
        for public in public_halves:
            self._label(public, alias)
        self._to_persist[alias] = [handle, *(public.handle for public in public_halves)]
        self._enter(alias, checked)

    def import_key(
        self, alias: str, attributes: Mapping[str, Value], material: bytes, chain: Sequence[bytes]
    ) -> KeyRecord:
        """Import a software key with the alias as its label, and add an entry for it.

        The key is a session key until ``save``. The HSM's settings decide the default of EXTRACTABLE.

        Args:
            attributes: As for ``Hsm.import_key``.
            material: As for ``Hsm.import_key``.

        Raises:
            KeyStoreEntry: The alias is empty or names another object, or the chain does not belong to the key.
            HsmError: The HSM refused the key.
        """
        _check_alias(alias)
        checked_chain(chain)
        self._check_free(alias, None)
        defaults = {"EXTRACTABLE": self._hsm.settings.extractable_default}
        record = self._hsm.keys.import_(
            self._session, {**defaults, **attributes, "LABEL": alias, "TOKEN": False}, material
        )
        try:
            checked = _chain_for(record, chain)
        except HsmError:
            self._hsm.keys.destroy(self._session, record.handle)
            raise
        self._to_persist[alias] = [record.handle]
        self._enter(alias, checked)
        return record

    def set_certificate(self, alias: str, certificate: bytes) -> None:
        """Add a trusted certificate (DER) under an unused alias.

        Raises:
            KeyStoreEntry: The alias is empty or in use, or the bytes are not a certificate.
        """
        _check_alias(alias)
        if self.entry(alias) is not None:
            raise KeyStoreEntry(
                f"alias {alias} already names a key or a certificate; delete it first, or set the key with its chain"
            )
        chain = checked_chain([certificate])
        self._entries[alias] = FileEntry(Kind.TRUSTED, chain, _now())

    def delete(self, alias: str) -> None:
        """Remove an alias from the file. Keys remain in the HSM, and with them the aliases that are their labels."""
        self._entries.pop(alias, None)
        self._links.pop(alias, None)
        self._to_persist.pop(alias, None)

    def find_certificate(self, certificate: bytes) -> str | None:
        """Return the alias of the first entry with this certificate (DER), or ``None``."""
        return next((alias for alias, held in self._entries.items() if held.chain[0] == certificate), None)

    def save(self, password: str | None) -> bytes:
        """Make added keys persistent and return the encoded file.

        Raises:
            KeyStorePassword: The password is empty, or the key store was loaded without one.
        """
        if not self._opened:
            raise KeyStorePassword("the key store was loaded without its password; saving it would lose its entries")
        file = key_store_file.write(self._entries, password)
        for handles in self._to_persist.values():
            for handle in handles:
                self._persist(handle)
        self._to_persist.clear()
        return file

    def _candidates(self, alias: str) -> list[KeyRecord]:
        """Return the keys with this alias: private and secret keys, or public keys if there are no others.

        The label decides. A key with another label is found through its certificate in the file.
        """
        if alias in self._links:
            return self._by_handle(self._links[alias])
        labelled = self._hsm.keys.find(self._session, {"LABEL": alias}) if alias else []
        usable = [record for record in labelled if record.attributes["OBJECT_CLASS"] != _PUBLIC]
        if alias in self._entries:
            return usable or self._certified(self._entries[alias])
        return usable or labelled

    def _by_handle(self, handle: int) -> list[KeyRecord]:
        try:
            return [self._hsm.keys.get(self._session, handle)]
        except KeyNotFound:
            return []

    def _certified(self, held: FileEntry) -> list[KeyRecord]:
        public_key = public_key_of(held.chain[0])
        halves = self._hsm.keys.find_pair(self._session, public_key) if public_key else []
        return [record for record in halves if record.attributes["OBJECT_CLASS"] == _PRIVATE]

    def _check_free(self, alias: str, handle: int | None) -> None:
        """Check that the alias is unused, or names the key with this handle.

        Raises:
            KeyStoreEntry: The alias names another key or a certificate.
        """
        held = self._entries.get(alias)
        if held is not None and held.kind is Kind.TRUSTED:
            raise KeyStoreEntry(f"alias {alias} names a trusted certificate; delete it first")
        candidates = self._candidates(alias)
        taken = [record for record in candidates if record.attributes["OBJECT_CLASS"] != _PUBLIC]
        if any(record.handle != handle for record in taken):
            raise KeyStoreEntry(f"alias {alias} names another key in the HSM, which is not overwritten")

    def _unlabelled_public_halves(self, record: KeyRecord) -> list[KeyRecord]:
        if record.attributes["OBJECT_CLASS"] != _PRIVATE or record.public_key_info is None:
            return []
        halves = self._hsm.keys.find_pair(self._session, record.public_key_info)
        publics = (half for half in halves if half.attributes["OBJECT_CLASS"] == _PUBLIC)
        return [public for public in publics if not public.attributes.get("LABEL")]

    def _label(self, record: KeyRecord, alias: str) -> bool:
        """Set the label of a key that has none; return whether the key has this label now."""
        if not record.attributes.get("LABEL") and record.attributes.get("MODIFIABLE", True):
            self._hsm.keys.set_attributes(self._session, record.handle, {"LABEL": alias})
            return True
        return record.attributes.get("LABEL") == alias

    def _enter(self, alias: str, chain: tuple[bytes, ...]) -> None:
        if chain:
            self._entries[alias] = FileEntry(Kind.KEY, chain, _now())
        else:
            self._entries.pop(alias, None)

    def _persist(self, handle: int) -> None:
        for record in self._by_handle(handle):
            if not record.attributes["TOKEN"]:
                self._hsm.keys.set_attributes(self._session, handle, {"TOKEN": True})


def _of_key(held: FileEntry, candidates: int) -> Entry:
    """Return the entry of a key with its chain; an alias of several keys is not a key."""
    return Entry(is_key=candidates < 2, is_certificate=False, chain=held.chain, created=held.created)


def _usable(counts: Mapping[str, int]) -> int:
    """Return the number of private and secret keys, given the number of keys of each class."""
    return sum(count for object_class, count in counts.items() if object_class != _PUBLIC)


def _check_alias(alias: str) -> None:
    if not alias:
        raise KeyStoreEntry("an alias has at least one character")


def _chain_for(record: KeyRecord, chain: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the chain to store for this key, after checking that it belongs to the key.

    Raises:
        KeyStoreEntry: The key is public, or the chain is empty or belongs to another key.
    """
    object_class = record.attributes["OBJECT_CLASS"]
    if object_class == _PUBLIC:
        raise KeyStoreEntry("a key store has no entries for public keys; set the certificate of the key")
    if object_class != _PRIVATE:
        return ()
    checked = checked_chain(chain)
    if not checked:
        raise KeyStoreEntry("a private key needs its certificate chain")
    if record.public_key_info is not None and public_key_of(checked[0]) != record.public_key_info:
        raise KeyStoreEntry("the first certificate of the chain is for another key")
    return checked


def _now() -> int:
    return int(time.time() * 1000)
