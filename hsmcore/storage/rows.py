"""Rows of the store, and the associated data of their sealed values."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hsmcore.primitives.secrecy import sha256
from hsmcore.tables.attributes import Value

GENESIS = bytes(32)
"""``previous`` of the first entry."""

QUORUM = "quorum"
"""The subject of the rules: quorum values, timeouts of tokens, and trust anchors."""
QUORUM_TOKENS = "quorum-tokens"
"""The subject of the quorum tokens that the HSMs of a cluster share."""
UNKNOWN = -1
"""The newest version of a row that the log does not know, or that was deleted."""

INDEXED = {"LABEL": "label", "OBJECT_CLASS": "object_class", "KEY_TYPE": "key_type", "ID": "key_id"}
"""Columns of the attributes that have one, to find keys by."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a stored row, as the entry of its command names it.

    ``subject`` is ``key/HANDLE``, ``user/ROLE/NAME``, ``quorum`` or ``quorum-tokens``. ``version`` is the row's version
    after the change; each change of a subject has a greater one. ``live`` is false where the row was deleted.
    """

    subject: str
    version: int
    live: bool = True

    @property
    def adds_key(self) -> bool:
        """True for a new key, which takes nothing away and no other HSM has in memory."""
        return self.live and self.version == 1 and self.subject.startswith("key/")

    def __str__(self) -> str:
        return f"{'' if self.live else '-'}{self.subject}/{self.version}"


def read_changes(text: str) -> list[Change]:
    """Return the changes in an entry's ``changed``.

    Raises:
        ValueError: The text has another form.
    """
    changes = []
    for part in text.split():
        subject, _, version = part.lstrip("-").rpartition("/")
        changes.append(Change(subject, int(version), live=not part.startswith("-")))
    return changes


def key_subject(handle: int) -> str:
    """Return the subject of a key's row."""
    return f"key/{handle}"


def context(kind: str, *fields: bytes) -> bytes:
    """Return associated data of a kind and its fields. Different fields never give the same bytes."""
    parts = [f"hsmbridge {kind} 1".encode(), *fields]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def encode_attributes(attributes: Mapping[str, Value]) -> str:
    """Return attributes as JSON in one canonical form.

    Bytes are an object with their hexadecimal digits (``hex``), templates one with their attributes (``template``).
    """
    return json.dumps(_to_json(attributes), sort_keys=True, separators=(",", ":"))


def _to_json(attributes: Mapping[str, Value]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, value in attributes.items():
        if isinstance(value, bytes):
            plain[name] = {"hex": value.hex()}
        else:
            plain[name] = {"template": _to_json(value)} if isinstance(value, Mapping) else value
    return plain


def decode_attributes(encoded: str) -> dict[str, Value]:
    """Read what ``encode_attributes`` returned.

    Raises:
        ValueError: The text is not JSON.
        TypeError: The JSON has another form.
        KeyError: The JSON has another form.
        AttributeError: The JSON has another form.
    """
    return _from_json(json.loads(encoded))


def _from_json(plain: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in plain.items():
        if not isinstance(value, dict):
            attributes[name] = value
        else:
            attributes[name] = _from_json(value["template"]) if "template" in value else bytes.fromhex(value["hex"])
    return attributes


def index_column(value: Value) -> str:
    """Return an attribute's value as the column that repeats it has it: without the character that ends C strings.

    PostgreSQL stores no such character.
    """
    return value.hex() if isinstance(value, bytes) else str(value).replace("\0", "\uffff")


def index_columns(attributes: Mapping[str, Value]) -> dict[str, str]:
    """Return the columns that repeat attributes, to find keys by."""
    return {column: index_column(attributes[name]) for name, column in INDEXED.items()}


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The row of a token key. ``created`` is in ms since 1970; label, class, type and ID repeat attributes.

    ``version`` counts the changes of the row; it is 0 in a row of a schema without versions. ``newest`` is the version
    that the log has for the key.
    """

    handle: int
    owner: str
    created: int
    attributes: str
    public_key_info: bytes | None
    sealed: bytes = field(repr=False)
    label: str
    object_class: str
    key_type: str
    sharing: str = ""
    key_id: str = ""
    version: int = 0
    newest: int = UNKNOWN

    def context(self) -> bytes:
        """Return the associated data of the material."""
        owner, attributes, sharing = (
            text.encode("utf-8", "surrogateescape") for text in (self.owner, self.attributes, self.sharing)
        )
        handle, created, version = (n.to_bytes(8, "big") for n in (self.handle, self.created, self.version))
        fields = (handle, owner, created, attributes, self.public_key_info or b"")
        if not self.version:
            return context("key", *fields, *([sharing] if sharing else []))
        return context("key row", version, *fields, sharing)

    def change(self) -> Change:
        """Return the change that wrote this row."""
        return Change(key_subject(self.handle), self.version)


@dataclass(frozen=True, slots=True)
class UserRow:
    """The row of a user. ``failures`` counts the wrong passwords since the last right one.

    ``number`` is the HSM's number for the user, in order of creation. ``mfa_key`` and ``quorum_key`` are public keys
    (SubjectPublicKeyInfo, DER). ``version`` and ``newest`` are as in ``KeyRow``.
    """

    number: int
    username: str
    role: str
    verifier: bytes = field(default=b"", repr=False)
    failures: int = 0
    mfa_key: bytes | None = None
    quorum_key: bytes | None = None
    version: int = 0
    newest: int = UNKNOWN

    def context(self) -> bytes:
        """Return the associated data of the password hash."""
        names = [name.encode("utf-8", "surrogateescape") for name in (self.username, self.role)]
        keys = self.mfa_key or b"", self.quorum_key or b""
        if self.version:
            version, number, failures = (n.to_bytes(8, "big") for n in (self.version, self.number, self.failures))
            return context("user row", version, *names, number, failures, *keys)
        return context("user", *names, *(keys if any(keys) else ()))

    def change(self) -> Change:
        """Return the change that wrote this row."""
        return Change(f"user/{self.role}/{self.username}", self.version)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """The row of an entry. ``time`` is in µs since 1970; an absent handle is 0, an absent text empty.

    ``changed`` names the stored rows that the command changed, each as a ``Change``, with spaces between them.
    """

    sequence: int
    time: int
    reboot: int
    opcode: str
    session: int
    response: int
    log_type: str
    user_name: str = ""
    user_type: int = 0
    secret_handle: int = 0
    public_handle: int = 0
    detail: str = ""
    changed: str = ""
    previous: bytes = GENESIS
    hash: bytes = b""
    seal: bytes = b""

    def digest(self) -> bytes:
        """Return the correct ``hash``."""
        # Entries that changed no row have the hash that they had before the field existed.
        names = _HASHED if self.changed else _HASHED[:-1]
        values = (str(getattr(self, name)).encode("utf-8", "surrogateescape") for name in names)
        return sha256(context("audit", self.previous, *values))

    def public(self) -> dict[str, int | str]:
        """Return the entry as the protocol sends it: hashes in hexadecimal digits, without the seal."""
        values: dict[str, int | str] = {name: getattr(self, name) for name in _HASHED}
        values |= {"previous": self.previous.hex(), "hash": self.hash.hex()}
        return values


_HASHED = tuple(field.name for field in fields(AuditRow) if field.name not in ("previous", "hash", "seal"))
COLUMNS = tuple(field.name for field in fields(AuditRow))
"""The columns of the table, in the order of the fields."""
