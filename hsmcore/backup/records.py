"""The records of a backup: what a row of the database says, without its seal and its place in the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hsmcore.errors import BackupDamaged, UserNameInvalid
from hsmcore.keys.records import Sharing
from hsmcore.storage.rows import KeyRow, UserRow, decode_attributes, encode_attributes, index_columns
from hsmcore.tables.roles import ROLES, UNACTIVATED_ADMIN
from hsmcore.users.accounts import normal_name

T = TypeVar("T")


def key_record(row: KeyRow, material: bytes) -> str:
    """Return the record of a token key, as JSON. The row's attributes are JSON already."""
    public = "null" if row.public_key_info is None else f'"{row.public_key_info.hex()}"'
    users = json.dumps(Sharing.decode(row.sharing).users) if row.sharing else "[]"
    return (
        f'{{"handle":{row.handle},"owner":{json.dumps(row.owner)},"created":{row.created},'
        f'"attributes":{row.attributes},"public":{public},"material":"{material.hex()}","users":{users}}}'
    )


def user_record(row: UserRow, verifier: str) -> str:
    """Return the record of a user, as JSON; ``verifier`` is the password's hash."""
    record = {
        "number": row.number,
        "username": row.username,
        "role": row.role,
        "verifier": verifier,
        "failures": row.failures,
        "mfa_key": None if row.mfa_key is None else row.mfa_key.hex(),
        "quorum_key": None if row.quorum_key is None else row.quorum_key.hex(),
    }
    return json.dumps(record, separators=(",", ":"))


def read_key(record: object) -> tuple[KeyRow, bytes]:
    """Return the row of a key's record, not yet sealed, in its first version, and the key's material.

    Raises:
        BackupDamaged: It is not the record of a key.
    """
    return _read(_key, record, "key")


def read_user(record: object) -> tuple[UserRow, str]:
    """Return the row of a user's record, not yet sealed, in its first version, and the password's hash.

    Raises:
        BackupDamaged: It is not the record of a user.
    """
    return _read(_user, record, "user")


def _read(read: Callable[[Any], T], record: object, what: str) -> T:
    try:
        return read(record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UserNameInvalid) as error:
        raise BackupDamaged(f"the backup has a record that is not a {what}'s") from error


def _key(record: Any) -> tuple[KeyRow, bytes]:
    if record["handle"] == 0:
        raise ValueError("no key has the handle 0")
    attributes = decode_attributes(json.dumps(record["attributes"]))
    columns = index_columns(attributes)
    row = KeyRow(
        handle=_number(record["handle"]),
        owner=_text(record["owner"]),
        created=_number(record["created"]),
        attributes=encode_attributes(attributes),
        public_key_info=_bytes(record["public"]),
        sealed=b"",
        sharing=Sharing(tuple(map(_text, record["users"]))).encode(),
        version=1,
        label=columns["label"],
        object_class=columns["object_class"],
        key_type=columns["key_type"],
        key_id=columns["key_id"],
    )
    return row, bytes.fromhex(_text(record["material"]))


def _user(record: Any) -> tuple[UserRow, str]:
    row = UserRow(
        number=_number(record["number"]),
        username=_text(record["username"]),
        role=_text(record["role"]),
        failures=_number(record["failures"]),
        mfa_key=_bytes(record["mfa_key"]),
        quorum_key=_bytes(record["quorum_key"]),
        version=1,
    )
    if row.role not in (*ROLES, UNACTIVATED_ADMIN) or normal_name(row.username) != row.username:
        raise ValueError("no such user can be")
    return row, _text(record["verifier"])


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a number from 0 to 2^63 - 1 is needed")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _bytes(value: object) -> bytes | None:
    return None if value is None else bytes.fromhex(_text(value))
