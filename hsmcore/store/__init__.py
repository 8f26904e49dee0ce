"""The store: schema, migrations and queries, over SQLAlchemy. It never sees plaintext key material."""

from __future__ import annotations

from hsmcore.store.audit import Record
from hsmcore.store.database import HsmRow, Store
from hsmcore.store.keys import KeyQuery

__all__ = ["HsmRow", "KeyQuery", "Record", "Store"]
