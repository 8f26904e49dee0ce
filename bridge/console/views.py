"""The data of the page: each function reads the HSM in the session of a login and returns JSON values.

The HSM decides what a login may read; a view adds no permission and no data of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.carriers.client import Client
from bridge.console import rates
from bridge.console.logins import Login
from bridge.protocol.codec import Value
from hsmcore.errors import MalformedRequest
from hsmcore.sessions.permissions import PERMISSIONS
from hsmcore.tables.quorum_services import SERVICES

Parameters = Mapping[str, str]
Json = object

_ROWS = 50
"""Keys of a page, at least, and entries of the audit log."""
_STEP = 200
"""Keys that one request reads."""
_MOST = 20_000
"""Keys that one search looks at."""
_FIRST_STEP = 1024
_HANDLES = {"key-reference", "secret_handle", "public_handle"}
"""Fields with a key's handle."""
_TEXT = 128
"""Longest text of a search, in characters."""


def session(login: Login, parameters: Parameters) -> Json:
    """Return the user, and what the role may read and approve."""
    return {
        "username": login.username,
        "role": login.role,
        "audit": login.role in PERMISSIONS["audit.entries"],
        "approves": {row.label: login.role == row.role for row in SERVICES.values()},
    }


def health(login: Login, parameters: Parameters) -> Json:
    """Return the state of the HSM and of the process that serves it."""
    (status,) = login.client.call("STATUS")
    (info,) = login.client.call("HSM_INFO")
    return {"status": _plain(status), "info": _plain(info)}


def operations(login: Login, parameters: Parameters) -> Json:
    """Return rates and times of operations; ``rows`` is null if the daemon serves no metrics."""
    (status,) = login.client.call("STATUS")
    url = status.get("metrics") if isinstance(status, dict) else None
    if not isinstance(url, str):
        return {"rows": None, "reason": "the daemon serves no metrics; start it with --metrics-port 0"}
    try:
        return {"rows": rates.read(url), "reason": ""}
    except (OSError, ValueError) as error:
        return {"rows": None, "reason": f"the metrics cannot be read: {error}"}


def keys(login: Login, parameters: Parameters) -> Json:
    """Return the keys from number ``first`` on whose label, reference, class or type contains a text.

    ``next`` is the number to go on from, null after the last key.
    """
    text = parameters.get("text", "")[:_TEXT].lower()
    first = _number(parameters, "first")
    found: list[dict[str, Json]] = []
    after: Value = first
    while len(found) < _ROWS and isinstance(after, int) and after - first < _MOST:
        page, _, after = login.client.call("LIST_KEYS", None, {}, after, _STEP, True)
        rows = [_key(row) for row in page if isinstance(row, dict)] if isinstance(page, list) else []
        found += [row for row in rows if not text or _contains(row, text)]
    return {"keys": found, "next": after}


def key(login: Login, parameters: Parameters) -> Json:
    """Return every attribute of one key."""
    page, _, _ = login.client.call("LIST_KEYS", _reference(parameters), {}, 0, 1, False)
    rows = [_key(row) for row in page if isinstance(row, dict)] if isinstance(page, list) else []
    return {"key": rows[0] if rows else None}


def users(login: Login, parameters: Parameters) -> Json:
    """Return the users, the quorum values and the quorum tokens that wait for approval or use."""
    (all_users,) = login.client.call("USER_LIST")
    (values,) = login.client.call("QUORUM_VALUES")
    (tokens,) = login.client.call("QUORUM_LIST")
    return {"users": _plain(all_users), "values": _plain(values), "tokens": _plain(tokens)}


def audit(login: Login, parameters: Parameters) -> Json:
    """Return entries of the audit log before number ``before`` (0: the last ones), in the order of their numbers."""
    before = _number(parameters, "before") or _count(login)
    first = max(before - _ROWS, 0)
    (entries,) = login.client.call("AUDIT_LIST", first, before - first) if before > first else ([],)
    return {"entries": _plain(entries), "first": first}


def verify(login: Login, parameters: Parameters) -> Json:
    """Verify the audit log, against an anchor of an earlier verification if there is one."""
    (result,) = login.client.call("AUDIT_VERIFY", parameters.get("anchor") or None)
    return _plain(result)


READS: Mapping[str, Callable[[Login, Parameters], Json]] = {
    "session": session, "health": health, "operations": operations, "keys": keys, "key": key, "users": users,
    "audit": audit, "verify": verify,
}  # fmt: skip
"""The views by name."""


def _count(login: Login) -> int:
    """Return the number of entries of the audit log, found by doubling and halving from the last known one."""
    low, step = login.audit_count, _FIRST_STEP
    while _exists(login.client, low + step - 1):
        low, step = low + step, step * 2
    high = low + step - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _exists(login.client, middle) else (low, middle)
    login.audit_count = low
    return low


def _exists(client: Client, number: int) -> bool:
    (entries,) = client.call("AUDIT_LIST", number, 1)
    return bool(entries)


def _key(row: Mapping[str, Value]) -> dict[str, Json]:
    return {str(name): _plain(value) for name, value in row.items() if name != "HANDLE"} | {
        "reference": _handle(row.get("HANDLE"))
    }


def _contains(row: Mapping[str, Json], text: str) -> bool:
    return any(text in str(row.get(name, "")).lower() for name in ("LABEL", "reference", "OBJECT_CLASS", "KEY_TYPE"))


def _handle(value: Value) -> str:
    """Return a handle in hexadecimal, because JavaScript rounds numbers of 63 bits; empty for none."""
    return f"{value:#018x}" if isinstance(value, int) and value else ""


def _plain(value: Value) -> Json:
    """Return a value of the protocol in JSON: bytes in hexadecimal, and keys by their reference."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _handle(one) if name in _HANDLES else _plain(one) for name, one in value.items()}
    return value


def _number(parameters: Parameters, name: str) -> int:
    text = parameters.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise MalformedRequest(f"{name} is a number")
    return int(text)


def _reference(parameters: Parameters) -> int:
    try:
        handle = int(parameters.get("reference", ""), 16)
    except ValueError:
        handle = -1
    if not 0 < handle < 2**63:
        raise MalformedRequest("reference is a key reference, 0x and hexadecimal digits")
    return handle
