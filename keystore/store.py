"""Rules of the CloudHSM key store: the keys that an alias names, and the entries that an alias may get.

An alias is the label of a key. A client keeps the entries of a key store, which are public, and passes the entry of an
alias with each question; this package stores nothing. The rules are those of the CloudHSM key store: ``setKeyEntry``
refuses an alias that names another object, an ambiguous alias is an error, and ``store`` makes new keys persistent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hsmcore.errors import HsmError, KeyAmbiguous, KeyNotFound, KeyStoreEntry
from keystore.certificates import checked_chain, public_key_of
from keystore.entries import Entered, Entry, Kind

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.keys.records import KeyRecord
    from hsmcore.sessions.session import Session
    from hsmcore.tables.attributes import Value

NO_KEY = "none"
"""In a listing, the class of an entry whose key was destroyed."""
_PRIVATE, _PUBLIC = "PRIVATE_KEY", "PUBLIC_KEY"


class KeyStore:
    """The key store of one session. It has no state of its own, and a refused change changes nothing.

    The argument ``entry`` of each method is the client's entry with that alias, ``None`` if it has none.
    """

    def __init__(self, hsm: Hsm, session: Session) -> None:
        self._hsm = hsm
        self._session = session

    def listing(self, entries: Mapping[str, Entry], after: str = "") -> dict[str, str]:
        """Return the OBJECT_CLASS of the one key that each alias names.

        For the entries, in their order, then for the other labels in the HSM that follow ``after`` in their order. The
        value is ``NO_KEY`` for an entry whose key was destroyed, and empty where the alias names several keys or a
        trusted certificate. This takes one query for all labels. It opens no key, so it does not find damaged rows.
        """
        labels = self._hsm.keys.labels(self._session)
        named = {}
        for alias, entry in entries.items():
            counts = labels.get(alias, {})
            by_label = entry.kind is Kind.KEY and entry.key is None and _usable(counts)
            named[alias] = _only_class(counts) if by_label else self._class_of(alias, entry)
        for alias in sorted(label for label in labels.keys() - entries.keys() if label > after):
            named[alias] = _only_class(labels[alias])
        return named

    def _class_of(self, alias: str, entry: Entry) -> str:
        if entry.kind is Kind.TRUSTED:
            return ""
        candidates = self._candidates(alias, entry)
        if len(candidates) > 1:
            return ""
        return str(candidates[0].attributes["OBJECT_CLASS"]) if candidates else NO_KEY

    def is_key(self, alias: str, entry: Entry | None) -> bool | None:
        """Return whether the alias names one key, or ``None`` if neither the client nor the HSM knows it.

        The chain of a destroyed key remains a key entry. An alias of several keys is not a key, so that callers that
        need one key do not ask for it.
        """
        if entry is not None and entry.kind is Kind.TRUSTED:
            return False
        found = len(self._candidates(alias, entry))
        return None if entry is None and not found else found < 2

    def get_key(self, alias: str, entry: Entry | None) -> KeyRecord | None:
        """Return the key with this alias, or ``None``.

        Raises:
            KeyAmbiguous: Several keys have this alias.
        """
        if entry is not None and entry.kind is Kind.TRUSTED:
            return None
        candidates = self._candidates(alias, entry)
        if len(candidates) > 1:
            raise KeyAmbiguous(f"KeyStore should return only one key for the provided alias {alias}")
        return candidates[0] if candidates else None

    def set_key(self, alias: str, entry: Entry | None, handle: int, chain: Sequence[bytes]) -> Entered:
        """Return a new entry for a key of the HSM; a private key needs its certificate chain (DER).

        A key without a label gets the alias as its label, as does its public half.

        Raises:
            KeyNotFound: The session cannot see a key with this handle.
            KeyStoreEntry: The alias is empty or names another object, or the chain does not belong to the key.
        """
        record = self._hsm.keys.get(self._session, handle)
        _check_alias(alias)
        checked = _chain_for(record, chain)
        self._check_free(alias, entry, handle)
        public_halves = self._unlabelled_public_halves(record)
        labelled = self._label(record, alias)
        for public in public_halves:
            self._label(public, alias)
        halves = (record, *public_halves)
        kept = Entry(Kind.KEY, checked, _now(), None if labelled else handle) if checked or not labelled else None
        persistent = all(half.attributes["TOKEN"] for half in halves)
        return Entered(kept, () if persistent else tuple(half.handle for half in halves))

    def import_key(
        self, alias: str, entry: Entry | None, attributes: Mapping[str, Value], material: bytes, chain: Sequence[bytes]
    ) -> tuple[KeyRecord, Entered]:
        """Import a software key as a session key with the alias as its label, and return it with a new entry.

        The HSM's settings decide the default of EXTRACTABLE.

        Args:
            attributes: As for ``hsm.keys.import_``.
            material: As for ``hsm.keys.import_``.
            chain: As for ``set_key``.

        Raises:
            KeyStoreEntry: The alias is empty or names another object, or the chain does not belong to the key.
            HsmError: The HSM refused the key.
        """
        _check_alias(alias)
        checked_chain(chain)
        self._check_free(alias, entry, None)
        defaults = {"EXTRACTABLE": self._hsm.settings.extractable_default}
        record = self._hsm.keys.import_(
            self._session, {**defaults, **attributes, "LABEL": alias, "TOKEN": False}, material
        )
        try:
            checked = _chain_for(record, chain)
        except HsmError:
            self._hsm.keys.destroy(self._session, record.handle)
            raise
        return record, Entered(Entry(Kind.KEY, checked, _now()) if checked else None, (record.handle,))

    def set_certificate(self, alias: str, entry: Entry | None, certificate: bytes) -> Entry:
        """Return a new entry for a trusted certificate (DER) under an unused alias.

        Raises:
            KeyStoreEntry: The alias is empty or in use, or the bytes are not a certificate.
        """
        _check_alias(alias)
        if entry is not None or self.is_key(alias, entry) is not None:
            raise KeyStoreEntry(
                f"alias {alias} already names a key or a certificate; delete it first, or set the key with its chain"
            )
        return Entry(Kind.TRUSTED, checked_chain([certificate]), _now())

    def persist(self, keys: Mapping[str, Sequence[int]]) -> None:
        """Make the keys of new entries persistent.

        Args:
            keys: ``Entered.to_persist`` by alias.

        Raises:
            KeyStoreEntry: A key does not exist any more; nothing was changed.
        """
        records = []
        for alias, handles in keys.items():
            found = [record for handle in handles for record in self._by_handle(handle)]
            if [record.handle for record in found[:1]] != list(handles[:1]):
                raise KeyStoreEntry(
                    f"the key of alias {alias} is not in the HSM any more: a session key ends with its session;"
                    " set the entry again, or delete it"
                )
            records += [record for record in found if not record.attributes["TOKEN"]]
        for record in records:
            self._hsm.keys.set_attributes(self._session, record.handle, {"TOKEN": True})

    def _candidates(self, alias: str, entry: Entry | None) -> list[KeyRecord]:
        """Return the keys with this alias: private and secret keys, or public keys if there are no others.

        The label decides. The key of an entry with another label is found by its handle or through its certificate.
        """
        if entry is not None and entry.key is not None:
            return self._by_handle(entry.key)
        labelled = self._hsm.keys.find(self._session, {"LABEL": alias}) if alias else []
        usable = [record for record in labelled if record.attributes["OBJECT_CLASS"] != _PUBLIC]
        if entry is not None:
            return usable or self._certified(entry)
        return usable or labelled

    def _by_handle(self, handle: int) -> list[KeyRecord]:
        try:
            return [self._hsm.keys.get(self._session, handle)]
        except KeyNotFound:
            return []

    def _certified(self, entry: Entry) -> list[KeyRecord]:
        public_key = public_key_of(entry.chain[0]) if entry.chain else None
        halves = self._hsm.keys.find_pair(self._session, public_key) if public_key else []
        return [record for record in halves if record.attributes["OBJECT_CLASS"] == _PRIVATE]

    def _check_free(self, alias: str, entry: Entry | None, handle: int | None) -> None:
        """Check that the alias is unused, or names the key with this handle.

        Raises:
            KeyStoreEntry: The alias names another key or a certificate.
        """
        if entry is not None and entry.kind is Kind.TRUSTED:
            raise KeyStoreEntry(f"alias {alias} names a trusted certificate; delete it first")
        candidates = self._candidates(alias, entry)
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


def _only_class(counts: Mapping[str, int]) -> str:
    """Return the class of the one private or secret key, else of the one public key; empty for several keys."""
    usable = {object_class: count for object_class, count in counts.items() if object_class != _PUBLIC} or counts
    return next(iter(usable)) if sum(usable.values()) == 1 else ""


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
