"""Key stores that clients have loaded: a handle each, kept until closed or until their session ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING

from bridge.protocol.codec import Value
from bridge.protocol.values import Fields, template
from hsmcore.errors import KeyStoreNotLoaded, MalformedRequest
from keystore import Entry, KeyStore

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

MAX_STORES = 1000
"""Key stores that one session has loaded at a time; the one that was quiet longest goes when there would be more.

A program in Java has no way to close one: it loads another and forgets the first.
"""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A key store and the lock that lets one request at a time at it."""

    store: KeyStore
    lock: Lock = field(default_factory=Lock)


class Stores:
    """The loaded key stores of all sessions; each ``store_`` method is named in ``bridge.protocol.operations``."""

    def __init__(self, hsm: Hsm) -> None:
        self._hsm = hsm
        self._loaded: dict[int, dict[int, _Loaded]] = {}
        self._lock = Lock()

    def forget(self, token: int) -> None:
        """Drop every key store of a session that has ended."""
        with self._lock:
            self._loaded.pop(token, None)

    def store_load(self, session: Session, file: bytes | None, password: str | None) -> int:
        """Open a key store file, or a new key store, and return its handle (63 random bits)."""
        self._hsm.users.authorise(session, "key_store")
        loaded = _Loaded(KeyStore.load(self._hsm, session, file, password))
        handle = secrets.randbits(63) or 1
        with self._lock:
            stores = self._loaded.setdefault(session.token, {})
            while len(stores) >= MAX_STORES:
                del stores[next(iter(stores))]
            stores[handle] = loaded
        return handle

    def store_close(self, session: Session, handle: int) -> None:
        """Drop a key store; what was not saved of it is lost."""
        self._hsm.users.authorise(session, "key_store")
        with self._lock:
            if self._loaded.get(session.token, {}).pop(handle, None) is None:
                raise _not_loaded()

    def store_aliases(self, session: Session, handle: int) -> list[str]:
        """List the aliases."""
        with self._open(session, handle) as store:
            return list(store.aliases())

    def store_entries(self, session: Session, handle: int) -> list[Value]:
        """Describe every entry: what is alike in a row is described once, and what is false, empty or unknown not."""
        with self._open(session, handle) as store:
            entries = store.entries()
        return [
            [{name: field for name, field in _fields(entry).items() if field}, [alias for alias, _ in alike]]
            for entry, alike in groupby(entries.items(), key=itemgetter(1))
        ]

    def store_entry(self, session: Session, handle: int, alias: str) -> Fields | None:
        """Describe one entry."""
        with self._open(session, handle) as store:
            entry = store.entry(alias)
        return None if entry is None else _fields(entry)

    def store_get_key(self, session: Session, handle: int, alias: str) -> Fields | None:
        """Return the record of the key under this alias."""
        with self._open(session, handle) as store:
            record = store.get_key(alias)
        return None if record is None else record.fields()

    def store_set_key(self, session: Session, handle: int, alias: str, key: int, chain: list[Value]) -> None:
        """Enter a key that is in the HSM."""
        with self._open(session, handle) as store:
            store.set_key(alias, key, certificates(chain))

    def store_import_key(
        self, session: Session, handle: int, alias: str, attributes: Fields, material: bytes, chain: list[Value]
    ) -> Fields:
        """Import a key and enter it."""
        with self._open(session, handle) as store:
            return store.import_key(alias, template(attributes), material, certificates(chain)).fields()

    def store_set_certificate(self, session: Session, handle: int, alias: str, certificate: bytes) -> None:
        """Enter a certificate."""
        with self._open(session, handle) as store:
            store.set_certificate(alias, certificate)

    def store_delete(self, session: Session, handle: int, alias: str) -> None:
        """Delete an entry."""
        with self._open(session, handle) as store:
            store.delete(alias)

    def store_find_certificate(self, session: Session, handle: int, certificate: bytes) -> str | None:
        """Return the alias of a certificate."""
        with self._open(session, handle) as store:
            return store.find_certificate(certificate)

    def store_save(self, session: Session, handle: int, password: str | None) -> bytes:
        """Return the key store as a file."""
        with self._open(session, handle) as store:
            return store.save(password)

    @contextmanager
    def _open(self, session: Session, handle: int) -> Iterator[KeyStore]:
        self._hsm.users.authorise(session, "key_store")
        with self._lock:
            stores = self._loaded.get(session.token, {})
            loaded = stores.pop(handle, None)
            if loaded is None:
                raise _not_loaded()
            stores[handle] = loaded
        with loaded.lock:
            yield loaded.store


def _fields(entry: Entry) -> Fields:
    chain: list[Value] = list(entry.chain)
    return {
        "is_key": entry.is_key,
        "is_certificate": entry.is_certificate,
        "chain": chain,
        "created": entry.created,
    }


def certificates(chain: Sequence[Value]) -> tuple[bytes, ...]:
    """Return the chain; raise ``MalformedRequest`` where an element is not bytes."""
    checked = tuple(der for der in chain if isinstance(der, bytes))
    if len(checked) != len(chain):
        raise MalformedRequest("a certificate chain is a list of bytes")
    return checked


def _not_loaded() -> KeyStoreNotLoaded:
    return KeyStoreNotLoaded(
        "no key store is loaded under that handle; load it again, it ends with its session or when it was quiet longest"
    )
