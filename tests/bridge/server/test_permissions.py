"""Every operation of the protocol by every role: who may do what, as CloudHSM's permission table has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bridge.carriers.client import Client
from bridge.protocol.codec import Value
from bridge.protocol.operations import OPERATIONS
from hsmcore import Hsm, errors
from tests.bridge.conftest import Carrier, reached
from tests.conftest import Tally

PASSWORD = b"permission-1"
NOBODY, UNACTIVATED, ADMIN, USER = "not logged in", "unactivated-admin", "admin", "crypto-user"
ROLES = {"n": NOBODY, "u": UNACTIVATED, "a": ADMIN, "c": USER}

ALLOWED = {
    "HELLO": "nuac",
    "LOGIN": "nuac",
    "LOGOUT": "uac",
    "STATUS": "nuac",
    "GENERATE_KEY": "c",
    "GENERATE_KEY_PAIR": "c",
    "IMPORT_KEY": "c",
    "FIND_KEYS": "ac",
    "GET_KEY": "ac",
    "SET_ATTRIBUTES": "ac",
    "DESTROY_KEY": "c",
    "CLEAR_VALUE": "c",
    "WRAP_KEY": "c",
    "UNWRAP_KEY": "c",
    "DERIVE_KEY": "c",
    "RANDOM": "ac",
    "LIST_KEYS": "ac",
    "SHARE_KEY": "c",
    "UNSHARE_KEY": "c",
    "HSM_INFO": "nuac",
    "ENCRYPT": "c",
    "DECRYPT": "c",
    "SIGN": "c",
    "VERIFY": "c",
    "BEGIN": "c",
    "UPDATE": "c",
    "FINISH": "c",
    "ABORT": "c",
    "USER_CREATE": "a",
    "USER_DELETE": "a",
    "USER_CHANGE_PASSWORD": "ac",
    "USER_LIST": "nuac",
    "STORE_DECODE": "nuac",
    "STORE_ENCODE": "nuac",
    "STORE_LIST": "c",
    "STORE_IS_KEY": "c",
    "STORE_GET_KEY": "c",
    "STORE_SET_KEY": "c",
    "STORE_IMPORT_KEY": "c",
    "STORE_SET_CERTIFICATE": "c",
    "STORE_PERSIST": "c",
    "BACKUP_CREATE": "a",
    "BACKUP_LIST": "a",
    "BACKUP_VERIFY": "a",
    "BACKUP_DELETE": "a",
    "MASKED_KEY_EXTRACT": "ac",
    "MASKED_KEY_INSERT": "ac",
    "MASKED_USER_EXTRACT": "a",
    "MASKED_USER_INSERT": "a",
    "CRYPTOKI_OPEN": "nuac",
    "CRYPTOKI": "nuac",
    "ACTIVATE": "u",
    "LOGIN_TOKEN": "nuac",
    "LOGIN_MFA": "nuac",
    "MFA_TOKEN": "ac",
    "MFA_REGISTER": "ac",
    "MFA_DEREGISTER": "ac",
    "QUORUM_TOKEN": "ac",
    "QUORUM_REGISTER": "ac",
    "QUORUM_APPROVE": "ac",
    "QUORUM_LIST": "ac",
    "QUORUM_DELETE": "a",
    "QUORUM_VALUES": "nuac",
    "QUORUM_SET_VALUE": "a",
    "QUORUM_TIMEOUTS": "nuac",
    "QUORUM_SET_TIMEOUT": "a",
    "QUORUM_SET_KEY": "c",
    "QUORUM_REGISTRATION_TOKEN": "nuac",
    "AUDIT_LIST": "a",
    "AUDIT_VERIFY": "a",
    "RESET": "nuac",
    "FAULT_ADD": "nuac",
    "FAULT_LIST": "nuac",
    "FAULT_CLEAR": "nuac",
    # Only on this machine, by the owner of the state directory: tests/bridge/carriers/test_tls.py.
    "CLUSTER_CSR": "nuac",
    "CLUSTER_INITIALIZE": "nuac",
    "CLUSTER_MEMBERS": "nuac",
    "MTLS_REGISTER": "a",
    "MTLS_DEREGISTER": "a",
    "MTLS_LIST": "nuac",
    "MTLS_GET_ENFORCEMENT": "ac",
    "MTLS_SET_ENFORCEMENT": "a",
}
"""Roles that may call an operation, by their letters: not logged in, unactivated admin, admin, crypto user."""

_SAMPLES: dict[type, Value] = {type(None): None, bool: True, int: 1, bytes: b"x", str: "x", list: [], dict: {}}
_FIELDS: dict[str, tuple[Value, ...]] = {
    "HELLO": (1, 1, "test"),
    "BEGIN": ("encrypt", 1, "x", None),
    "QUORUM_TOKEN": ("registration", None),
    "QUORUM_DELETE": ("user",),
    "QUORUM_SET_VALUE": ("user", 0),
    "QUORUM_SET_TIMEOUT": ("generated", 0),
    "AUDIT_VERIFY": (None,),
    "MTLS_DEREGISTER": (["9"],),
    "MTLS_SET_ENFORCEMENT": ("cluster",),
}
"""Fields of the operations for which samples of the right types would say nothing about permission."""
_OWN: dict[str, tuple[Value, ...]] = {
    "USER_CHANGE_PASSWORD": (b"short", False, False),
    "MFA_TOKEN": (),
    "MFA_REGISTER": (b"no file", b"no key", None, False),
    "MFA_DEREGISTER": (None, False),
}
"""Fields after name and role in operations that every user may perform on their own account."""


@pytest.fixture(scope="module", params=["local", "socket"])
def carriers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Carrier]]:
    """An activated HSM with an admin and a crypto user, and one that is not; by role, the way to its HSM."""
    with ExitStack() as stack:
        activated = stack.enter_context(Hsm.initialize(tmp_path_factory.mktemp("a") / "h", admin_password=PASSWORD))
        new = stack.enter_context(Hsm.initialize(tmp_path_factory.mktemp("u") / "h", admin_password=None))
        admin = activated.users.login("admin", PASSWORD, "admin")
        activated.users.create(admin, "cu1", USER, PASSWORD)
        carrier = stack.enter_context(reached(activated, request.param))
        unactivated = stack.enter_context(reached(new, request.param))
        yield {NOBODY: carrier, ADMIN: carrier, USER: carrier, UNACTIVATED: unactivated}


def _login(carriers: dict[str, Carrier], role: str) -> tuple[Client, str]:
    client = carriers[role].client()
    name, password = {UNACTIVATED: ("admin", b""), ADMIN: ("admin", PASSWORD)}.get(role, ("cu1", PASSWORD))
    if role != NOBODY:
        client.call("LOGIN", name, password, role)
    return client, name


def _fields(name: str, username: str, role: str) -> tuple[Value, ...]:
    if name in _OWN:
        return (username, role, *_OWN[name])
    (row,) = (row for row in OPERATIONS if row.name == name)
    return _FIELDS.get(name) or tuple(_SAMPLES[field.types[0]] for field in row.fields)


def _outcome(client: Client, name: str, fields: tuple[Value, ...]) -> str:
    try:
        client.call(name, *fields)
    except (errors.Unauthenticated, errors.PermissionDenied) as error:
        return type(error).__name__
    except errors.RequestError as error:
        raise AssertionError(f"{name}{fields} says nothing about permission: {error}") from error
    except errors.HsmError:
        return "allowed"
    return "allowed"


def test_every_operation_by_every_role(carriers: dict[str, Carrier], tally: Tally) -> None:
    unknown = {row.name for row in OPERATIONS} ^ ALLOWED.keys()
    assert not unknown, "who may call these is not decided here, or they are no operations"
    wrong, checked = [], 0
    for letter, role in ROLES.items():
        client, username = _login(carriers, role)
        for name, letters in ALLOWED.items():
            refusal = "Unauthenticated" if role == NOBODY else "PermissionDenied"
            expected = "allowed" if letter in letters else refusal
            outcome = _outcome(client, name, _fields(name, username, role))
            checked += 1
            if outcome != expected:
                wrong.append(f"{name} by {role}: {outcome}, not {expected}")
            if name == "LOGOUT" and role != NOBODY:
                client.close()
                client, _ = _login(carriers, role)
        client.close()
    assert not wrong
    tally("the permission table")[f"{len(ALLOWED)} operations x {len(ROLES)} roles"] += checked
