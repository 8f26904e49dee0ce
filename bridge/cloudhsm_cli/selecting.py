"""Filters of the form ``key-reference=0x…`` or ``attr.NAME=VALUE …``, and the keys that match them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.cloudhsm_cli.attributes import Fields, key_types, read_pairs
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.protocol.codec import Value

_REFERENCE = "key-reference="
_DIGITS = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """A search template: one key by its handle, or all keys with these attribute values."""

    handle: int | None = None
    attributes: dict[str, Value] = field(default_factory=dict)


def read_filter(words: Sequence[str], option: str) -> Filter:
    """Return the filter that the words describe; no words match every key.

    Raises:
        Failure: The words are not a valid filter; the message names ``option``.
    """
    references = [word for word in words if word.startswith(_REFERENCE)]
    if not references:
        attributes = read_pairs(words, option, "attr.")
        if "KEY_TYPE" in attributes:
            attributes["KEY_TYPE"] = key_types(attributes["KEY_TYPE"])
        return Filter(attributes=attributes)
    if len(words) > 1:
        raise Failure(f"'--{option}' takes one key-reference, or attributes, and not both")
    digits = words[0].removeprefix(_REFERENCE)
    if not _DIGITS.fullmatch(digits):
        raise Failure(f"invalid key reference '{digits[:64]}': it is hexadecimal after 0x, or decimal")
    handle = int(digits, 16) if digits[:2] in {"0x", "0X"} else int(digits)
    if handle >= 2**63:
        raise Failure(f"invalid key reference '{digits}': it has at most 63 bits")
    return Filter(handle)


def keys(
    context: Context, search: Filter, first: int, limit: int, *, brief: bool = False
) -> tuple[list[Fields], int]:  # fmt: skip
    """Return the descriptions of at most ``limit`` matching keys, and the number of all matching keys.

    Args:
        context: The connection.
        search: The search template.
        first: The number of matching keys to skip.
        limit: The maximum number of keys.
        brief: Whether the HSM may leave out what it would derive from the keys.
    """
    found: list[Fields] = []
    at, end = first, first + limit
    while True:
        page, count, following = context.call("LIST_KEYS", search.handle, search.attributes, at, end - at, brief)
        found += [key for key in page if isinstance(key, dict)] if isinstance(page, list) else []
        if not isinstance(following, int) or following >= end:
            return found, count if isinstance(count, int) else len(found)
        at = following


def one_key(context: Context, words: Sequence[str], option: str = "filter") -> Fields:
    """Return the description of the only key that matches.

    Raises:
        Failure: No key or several keys match, or the key is damaged.
    """
    found, count = keys(context, read_filter(words, option), 0, 1)
    if count != 1:
        raise Failure(f"Key selection criteria matched {count} keys. Refine selection criteria to select a single key.")
    if not found:
        raise Failure("the one key that matches is damaged; restore it from a backup, or delete it by its reference")
    return found[0]


def described(context: Context, record: Value) -> Fields:
    """Return the description of a key whose record the HSM has just returned.

    Raises:
        Failure: The key was destroyed in the meantime.
    """
    handle = record["HANDLE"] if isinstance(record, dict) else None
    found, _ = keys(context, Filter(handle if isinstance(handle, int) else 0), 0, 1)
    if not found:
        raise Failure("the key was made, and is gone already")
    return found[0]
