"""The table of operations: one row for each number of ``bridge/PROTOCOL.md``.

The dispatcher and the Python client read this table. A row lists the exact Python types that the codec decodes its
fields to, so that the dispatcher checks a request with one look-up of its tuple of types.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from itertools import product

_NONE = type(None)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name for error messages, and its permitted types."""

    name: str
    types: tuple[type, ...]


class Result(Enum):
    """Kind of a handler's result, which selects the encoding."""

    BYTES = auto()
    """One result of type ``bytes``."""
    VALUE = auto()
    """One result of any other type, or ``bytes | None``."""
    VALUES = auto()
    """Several results, as a tuple."""
    NOTHING = auto()
    """No result; the return value of the handler is ignored."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    ``handler`` names a method of a service of ``Hsm`` (``keys.share``), of ``bridge.server.keystores.Stores``
    (``store_...``), of ``bridge.server.cryptoki.Cryptoki`` (``cryptoki...``) or of ``bridge.server.handlers.Handlers``.
    The handler takes the session, or the connection if ``needs_session`` is false, then the fields in order.
    A ``local`` operation belongs to the owner of the state directory, and no client on the network may call it.
    """

    number: int
    name: str
    fields: tuple[Field, ...]
    handler: str
    result: Result
    needs_session: bool = True
    local: bool = False

    def signatures(self) -> frozenset[tuple[type, ...]]:
        """Return every permitted tuple of field types."""
        return frozenset(product(*(field.types for field in self.fields)))

    def expected(self) -> str:
        """Return the fields in words, for the error message about wrong fields."""
        words = (f"{field.name} ({' or '.join(_WORDS[type_] for type_ in field.types)})" for field in self.fields)
        return ", ".join(words) or "no fields"


_WORDS: dict[type, str] = {
    _NONE: "null", bool: "boolean", int: "integer", bytes: "bytes", str: "text", list: "list", dict: "map",
}  # fmt: skip


def _text(name: str) -> Field:
    return Field(name, (str,))


def _integer(name: str) -> Field:
    return Field(name, (int,))


def _bytes(name: str) -> Field:
    return Field(name, (bytes,))


def _boolean(name: str) -> Field:
    return Field(name, (bool,))


def _map(name: str) -> Field:
    return Field(name, (dict,))


_KEY = Field("key", (int, bytes))
_HANDLE = _integer("handle")
_MECHANISM = _text("mechanism")
_PARAMETERS = Field("parameters", (_NONE, dict))
_ATTRIBUTES = _map("attributes")
_AFTER = Field("after", (_NONE, bytes))
_DATA = _bytes("data")
_OPERATION = _integer("operation handle")
_USER, _ROLE, _PASSWORD = _text("user"), _text("role"), _bytes("password")
_NEW_PASSWORD, _CHANGE_QUORUM = Field("password", (_NONE, bytes)), _boolean("change quorum")
_SERVICE = _text("service")
_TOKEN_FILE, _PUBLIC_KEY = _bytes("token file"), _bytes("public key")
_ALIAS, _ENTRY, _ENTRIES = _text("alias"), Field("entry", (_NONE, dict)), _map("entries")
_STORE_PASSWORD = Field("password", (_NONE, str))
_CERTIFICATE, _CHAIN = _bytes("certificate"), Field("chain", (list,))

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        1,
        "HELLO",
        (_integer("lowest"), _integer("highest"), _text("client")),
        "hello",
        Result.VALUES,
        needs_session=False,
    ),
    Operation(2, "LOGIN", (_USER, _PASSWORD, _ROLE), "login", Result.VALUE, needs_session=False),
    Operation(3, "LOGOUT", (), "logout", Result.NOTHING),
    Operation(4, "STATUS", (), "status", Result.VALUE, needs_session=False),
    Operation(10, "GENERATE_KEY", (_MECHANISM, _ATTRIBUTES), "generate_key", Result.VALUE),
    Operation(
        11,
        "GENERATE_KEY_PAIR",
        (_MECHANISM, _map("public attributes"), _map("private attributes")),
        "generate_key_pair",
        Result.VALUES,
    ),
    Operation(12, "IMPORT_KEY", (_ATTRIBUTES, _bytes("material")), "import_key", Result.VALUE),
    Operation(13, "FIND_KEYS", (_ATTRIBUTES, _integer("limit"), _AFTER), "find_keys", Result.VALUES),
    Operation(14, "GET_KEY", (_HANDLE,), "get_key", Result.VALUE),
    Operation(15, "SET_ATTRIBUTES", (_HANDLE, _ATTRIBUTES), "set_attributes", Result.VALUE),
    Operation(16, "DESTROY_KEY", (_HANDLE,), "keys.destroy", Result.NOTHING),
    Operation(17, "CLEAR_VALUE", (_HANDLE,), "keys.clear_value", Result.VALUE),
    Operation(18, "WRAP_KEY", (_HANDLE, _MECHANISM, _PARAMETERS, _integer("target")), "keys.wrap", Result.VALUES),
    Operation(
        19,
        "UNWRAP_KEY",
        (_HANDLE, _MECHANISM, _PARAMETERS, _bytes("wrapped key"), _ATTRIBUTES),
        "unwrap_key",
        Result.VALUE,
    ),
    Operation(20, "DERIVE_KEY", (_HANDLE, _MECHANISM, _PARAMETERS, _ATTRIBUTES), "derive_key", Result.VALUE),
    Operation(21, "RANDOM", (_integer("length"),), "crypto.random", Result.BYTES),
    Operation(
        22,
        "LIST_KEYS",
        (Field("handle", (_NONE, int)), _ATTRIBUTES, _integer("first"), _integer("limit"), _boolean("brief")),
        "list_keys",
        Result.VALUES,
    ),
    Operation(23, "SHARE_KEY", (_HANDLE, _USER), "keys.share", Result.NOTHING),
    Operation(24, "UNSHARE_KEY", (_HANDLE, _USER), "keys.unshare", Result.NOTHING),
    Operation(25, "HSM_INFO", (), "info", Result.VALUE, needs_session=False),
    Operation(30, "ENCRYPT", (_KEY, _MECHANISM, _PARAMETERS, _DATA), "crypto.encrypt", Result.VALUES),
    Operation(31, "DECRYPT", (_KEY, _MECHANISM, _PARAMETERS, _DATA), "crypto.decrypt", Result.BYTES),
    Operation(32, "SIGN", (_KEY, _MECHANISM, _PARAMETERS, _DATA), "crypto.sign", Result.BYTES),
    Operation(33, "VERIFY", (_KEY, _MECHANISM, _PARAMETERS, _DATA, _bytes("signature")), "crypto.verify", Result.VALUE),
    Operation(40, "BEGIN", (_text("kind"), _KEY, _MECHANISM, _PARAMETERS), "crypto.begin", Result.VALUES),
    Operation(41, "UPDATE", (_OPERATION, _DATA), "crypto.update", Result.BYTES),
    Operation(42, "FINISH", (_OPERATION, _DATA), "crypto.finish", Result.BYTES),
    Operation(43, "ABORT", (_OPERATION,), "crypto.abort", Result.NOTHING),
    Operation(50, "USER_CREATE", (_USER, _ROLE, _PASSWORD), "users.create", Result.NOTHING),
    Operation(51, "USER_DELETE", (_USER, _ROLE, _boolean("with keys")), "users.delete", Result.VALUE),
    Operation(
        52,
        "USER_CHANGE_PASSWORD",
        (_USER, _ROLE, _PASSWORD, _boolean("deregister MFA"), _boolean("deregister quorum")),
        "users.change_password",
        Result.NOTHING,
    ),
    Operation(53, "USER_LIST", (), "list_users", Result.VALUE, needs_session=False),
    Operation(
        70, "STORE_DECODE", (_bytes("file"), _STORE_PASSWORD), "store_decode", Result.VALUES, needs_session=False
    ),
    Operation(71, "STORE_ENCODE", (_ENTRIES, _STORE_PASSWORD), "store_encode", Result.BYTES, needs_session=False),
    Operation(72, "STORE_LIST", (_ENTRIES, Field("after", (_NONE, str))), "store_list", Result.VALUES),
    Operation(73, "STORE_IS_KEY", (_ALIAS, _ENTRY), "store_is_key", Result.VALUE),
    Operation(74, "STORE_GET_KEY", (_ALIAS, _ENTRY), "store_get_key", Result.VALUE),
    Operation(75, "STORE_SET_KEY", (_ALIAS, _ENTRY, _HANDLE, _CHAIN), "store_set_key", Result.VALUES),
    Operation(
        76,
        "STORE_IMPORT_KEY",
        (_ALIAS, _ENTRY, _ATTRIBUTES, _bytes("material"), _CHAIN),
        "store_import_key",
        Result.VALUES,
    ),
    Operation(77, "STORE_SET_CERTIFICATE", (_ALIAS, _ENTRY, _CERTIFICATE), "store_set_certificate", Result.VALUE),
    Operation(78, "STORE_PERSIST", (_map("keys"),), "store_persist", Result.NOTHING),
    Operation(90, "CRYPTOKI_OPEN", (_map("options"),), "cryptoki_open", Result.VALUE, needs_session=False),
    Operation(
        91,
        "CRYPTOKI",
        (_integer("application"), _text("function"), Field("arguments", (list,))),
        "cryptoki",
        Result.VALUES,
        needs_session=False,
    ),
    Operation(100, "ACTIVATE", (_PASSWORD,), "users.activate", Result.NOTHING),
    Operation(101, "LOGIN_TOKEN", (_USER, _ROLE), "login_token", Result.BYTES, needs_session=False),
    Operation(102, "LOGIN_MFA", (_USER, _PASSWORD, _ROLE, _TOKEN_FILE), "login_mfa", Result.VALUE, needs_session=False),
    Operation(103, "MFA_TOKEN", (_USER, _ROLE), "users.mfa_token", Result.BYTES),
    Operation(
        104,
        "MFA_REGISTER",
        (_USER, _ROLE, _TOKEN_FILE, _PUBLIC_KEY, _NEW_PASSWORD, _CHANGE_QUORUM),
        "users.register_mfa",
        Result.NOTHING,
    ),
    Operation(
        105, "MFA_DEREGISTER", (_USER, _ROLE, _NEW_PASSWORD, _CHANGE_QUORUM), "users.deregister_mfa", Result.NOTHING
    ),
    Operation(110, "QUORUM_TOKEN", (_SERVICE, Field("key", (_NONE, int))), "quorum.request", Result.BYTES),
    Operation(111, "QUORUM_REGISTER", (_PUBLIC_KEY, _TOKEN_FILE), "quorum.register", Result.NOTHING),
    Operation(112, "QUORUM_APPROVE", (_bytes("approval file"),), "approve", Result.VALUE),
    Operation(113, "QUORUM_LIST", (), "quorum_tokens", Result.VALUE),
    Operation(114, "QUORUM_DELETE", (_text("scope"),), "quorum.delete_tokens", Result.NOTHING),
    Operation(115, "QUORUM_VALUES", (), "quorum_values", Result.VALUE, needs_session=False),
    Operation(116, "QUORUM_SET_VALUE", (_SERVICE, _integer("value")), "quorum.set_value", Result.NOTHING),
    Operation(117, "QUORUM_TIMEOUTS", (), "quorum_timeouts", Result.VALUE, needs_session=False),
    Operation(118, "QUORUM_SET_TIMEOUT", (_text("timeout"), _integer("seconds")), "quorum.set_timeout", Result.NOTHING),
    Operation(
        119,
        "QUORUM_SET_KEY",
        (_HANDLE, _integer("manage value"), _integer("use value")),
        "keys.set_quorum",
        Result.NOTHING,
    ),
    Operation(
        120,
        "QUORUM_REGISTRATION_TOKEN",
        (),
        "registration_token",
        Result.BYTES,
        needs_session=False,
    ),
    Operation(150, "AUDIT_LIST", (_integer("first"), _integer("limit")), "audit_list", Result.VALUE),
    Operation(151, "AUDIT_VERIFY", (Field("anchor", (_NONE, str)),), "audit_verify", Result.VALUE),
    Operation(160, "BACKUP_CREATE", (Field("passphrase", (_NONE, bytes)),), "backup_create", Result.VALUE),
    Operation(161, "BACKUP_LIST", (), "backup_list", Result.VALUE),
    Operation(162, "BACKUP_VERIFY", (_text("name"),), "backup_verify", Result.VALUE),
    Operation(163, "BACKUP_DELETE", (_text("name"),), "backups.delete", Result.NOTHING),
    Operation(164, "MASKED_KEY_EXTRACT", (_HANDLE,), "clones.extract_key", Result.BYTES),
    Operation(165, "MASKED_KEY_INSERT", (_bytes("masked object"),), "insert_masked_key", Result.VALUE),
    Operation(166, "MASKED_USER_EXTRACT", (_USER, _ROLE), "clones.extract_user", Result.BYTES),
    Operation(167, "MASKED_USER_INSERT", (_bytes("masked object"),), "insert_masked_user", Result.VALUE),
    Operation(
        170,
        "CLUSTER_CSR",
        (Field("names", (list,)), _boolean("new key")),
        "certificate_request",
        Result.BYTES,
        needs_session=False,
        local=True,
    ),
    Operation(
        171,
        "CLUSTER_INITIALIZE",
        (_bytes("signed certificate"), _bytes("trust anchor")),
        "initialize_cluster",
        Result.VALUE,
        needs_session=False,
        local=True,
    ),
    Operation(172, "CLUSTER_MEMBERS", (), "cluster_members", Result.VALUE, needs_session=False),
    Operation(173, "MTLS_REGISTER", (_CERTIFICATE,), "register_anchor", Result.VALUE),
    Operation(174, "MTLS_DEREGISTER", (Field("references", (list,)),), "deregister_anchors", Result.VALUE),
    Operation(175, "MTLS_LIST", (), "list_anchors", Result.VALUE, needs_session=False),
    Operation(176, "MTLS_GET_ENFORCEMENT", (), "mtls.enforcement", Result.VALUE),
    Operation(177, "MTLS_SET_ENFORCEMENT", (_text("level"),), "set_enforcement", Result.NOTHING),
    Operation(180, "RESET", (), "reset", Result.NOTHING, needs_session=False),
    Operation(181, "FAULT_ADD", (Field("faults", (list,)),), "fault_add", Result.VALUE, needs_session=False),
    Operation(182, "FAULT_LIST", (), "fault_list", Result.VALUE, needs_session=False),
    Operation(183, "FAULT_CLEAR", (Field("number", (_NONE, int)),), "fault_clear", Result.NOTHING, needs_session=False),
)

NUMBERS: dict[str, int] = {operation.name: operation.number for operation in OPERATIONS}
"""Operation name to number."""
