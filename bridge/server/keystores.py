"""Handlers of the key store operations. They convert entries between maps and ``keystore``, and store nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from bridge.protocol.codec import Value
from bridge.protocol.values import Fields, template
from bridge.server import pages
from hsmcore.errors import MalformedRequest
from keystore import Entered, Entry, KeyStore
from keystore import file as key_store_file
from keystore.entries import Kind

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session


class Stores:
    """Handlers of the key store operations; the rows of ``bridge.protocol.operations`` name the methods."""

    def __init__(self, hsm: Hsm) -> None:
        self._hsm = hsm

    def store_decode(self, connection: object, file: bytes, password: str | None) -> tuple[Fields, str | None]:
        """Return the entries of a key store file, and the reason why they must not be saved, ``None`` if they may."""
        decoded = key_store_file.decode(file, password)
        return {alias: _fields(entry) for alias, entry in decoded.entries.items()}, decoded.loses

    def store_encode(self, connection: object, entries: Fields, password: str | None) -> bytes:
        """Return the key store file with these entries."""
        return key_store_file.encode(_entries(entries), password)

    def store_list(self, session: Session, entries: Fields, after: str | None) -> tuple[list[Value], str | None]:
        """Return the class of the one key of each alias, run-length encoded as [class, aliases], page by page.

        Every page begins with the entries. The second result is the alias that the next page follows.
        """
        listing = self._of(session).listing(_entries(entries), after or "")
        labels = [alias for alias in listing if alias not in entries]
        page = [*entries, *pages.beginning(labels)]
        more = len(page) < len(listing)
        alike = groupby(page, key=listing.__getitem__)
        return [[key_class, list(aliases)] for key_class, aliases in alike], page[-1] if more else None

    def store_is_key(self, session: Session, alias: str, entry: Fields | None) -> bool | None:
        """Return whether an alias is exactly one key, ``None`` without entry and key."""
        return self._of(session).is_key(alias, _entry(entry))

    def store_get_key(self, session: Session, alias: str, entry: Fields | None) -> Fields | None:
        """Return the record of the key under an alias."""
        record = self._of(session).get_key(alias, _entry(entry))
        return None if record is None else record.fields()

    def store_set_key(
        self, session: Session, alias: str, entry: Fields | None, key: int, chain: list[Value]
    ) -> tuple[Fields | None, list[Value]]:
        """Enter a key that is in the HSM."""
        return _entered(self._of(session).set_key(alias, _entry(entry), key, _certificates(chain)))

    def store_import_key(
        self,
        session: Session,
        alias: str,
        entry: Fields | None,
        attributes: Fields,
        material: bytes,
        chain: list[Value],
    ) -> tuple[Fields, Fields | None, list[Value]]:
        """Import a key and enter it."""
        store = self._of(session)
        record, entered = store.import_key(alias, _entry(entry), template(attributes), material, _certificates(chain))
        return record.fields(), *_entered(entered)

    def store_set_certificate(self, session: Session, alias: str, entry: Fields | None, certificate: bytes) -> Fields:
        """Return the entry of a trusted certificate."""
        return _fields(self._of(session).set_certificate(alias, _entry(entry), certificate))

    def store_persist(self, session: Session, keys: Fields) -> None:
        """Make the keys of entries token keys."""
        self._of(session).persist({alias: _handles(value) for alias, value in keys.items()})

    def _of(self, session: Session) -> KeyStore:
        self._hsm.users.authorise(session, "key_store")
        return KeyStore(self._hsm, session)


def _fields(entry: Entry) -> Fields:
    return {"kind": str(entry.kind), "chain": list(entry.chain), "created": entry.created, "key": entry.key}


def _entered(entered: Entered) -> tuple[Fields | None, list[Value]]:
    return None if entered.entry is None else _fields(entered.entry), list(entered.to_persist)


def _entries(fields: Fields) -> dict[str, Entry]:
    entries = {alias: _entry(entry) for alias, entry in fields.items() if isinstance(entry, dict)}
    if len(entries) < len(fields):
        raise MalformedRequest("entries are maps")
    return {alias: entry for alias, entry in entries.items() if entry is not None}


def _entry(fields: Mapping[str, Value] | None) -> Entry | None:
    """Return the entry that a client sent.

    Raises:
        MalformedRequest: A field is missing or has a wrong type.
    """
    if fields is None:
        return None
    kind, chain, created, key = (fields.get(name) for name in ("kind", "chain", "created", "key"))
    if (
        not isinstance(kind, str)
        or kind not in set(Kind)
        or not isinstance(chain, list)
        or type(created) is not int
        or not (key is None or type(key) is int)
        or (kind == Kind.TRUSTED and len(chain) != 1)
    ):
        raise MalformedRequest("an entry has kind, chain, created and key")
    return Entry(Kind(kind), _certificates(chain), created, key)


def _certificates(chain: list[Value]) -> tuple[bytes, ...]:
    checked = tuple(der for der in chain if isinstance(der, bytes))
    if len(checked) != len(chain):
        raise MalformedRequest("a certificate chain is a list of bytes")
    return checked


def _handles(value: Value) -> list[int]:
    handles = [handle for handle in value if type(handle) is int] if isinstance(value, list) else []
    if not isinstance(value, list) or len(handles) < len(value):
        raise MalformedRequest("the keys of an alias are a list of handles")
    return handles
