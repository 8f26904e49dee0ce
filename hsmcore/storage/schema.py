"""The tables. Every change here needs a migration in ``migrations/versions``; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

HEAD = "0009"
"""The newest migration."""
KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", HEAD)
"""Every migration that this version knows."""

LOGGED = KNOWN[3:]
"""The migrations with an audit log."""

METADATA = MetaData()

HSM = Table(
    "hsm",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="only_one_hsm"), primary_key=True, autoincrement=False),
    Column("master", LargeBinary, nullable=False, comment="sealed master key, see hsmcore.storage.sealing"),
    Column("settings", LargeBinary, nullable=False, comment="sealed settings"),
    Column("quorum", LargeBinary, nullable=False, comment="sealed quorum values and timeouts"),
    Column("serial", String(16), nullable=False, server_default="", comment="serial number, 16 hexadecimal digits"),
    Column("quorum_version", BigInteger, nullable=False, server_default="0", comment="bound to quorum"),
    Column("changes", BigInteger, nullable=False, server_default="0", comment="sequence number of the last change"),
    Column("quorum_tokens", LargeBinary, nullable=True, comment="sealed quorum tokens of a cluster"),
    Column("quorum_tokens_version", BigInteger, nullable=False, server_default="0", comment="bound to quorum_tokens"),
)

USERS = Table(
    "users",
    METADATA,
    Column("username", String(31), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("number", Integer, nullable=False, comment="in order of creation"),
    Column("verifier", LargeBinary, nullable=False, comment="sealed Argon2id hash in PHC form, bound to the keys too"),
    Column("failures", Integer, nullable=False, comment="wrong passwords since the last right one"),
    Column("mfa_key", LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"),
    Column("quorum_key", LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"),
    Column("version", BigInteger, nullable=False, server_default="0", comment="bound to verifier"),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("handle", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", String(31), nullable=False),
    Column("created", BigInteger, nullable=False, comment="ms since 1970"),
    Column("attributes", Text, nullable=False, comment="canonical JSON, see hsmcore.storage.sealing"),
    Column("public_key_info", LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"),
    Column("material", LargeBinary, nullable=False, comment="sealed, bound to the columns before"),
    Column("label", String(127), nullable=False, server_default="", comment="as in attributes, to find by"),
    Column("object_class", String(16), nullable=False, server_default="", comment="the same"),
    Column("key_type", String(16), nullable=False, server_default="", comment="the same"),
    Column("sharing", Text, nullable=False, server_default="", comment="canonical JSON, bound to material too"),
    Column("key_id", Text, nullable=False, server_default="", comment="as in attributes, hexadecimal, to find by"),
    Column("version", BigInteger, nullable=False, server_default="0", comment="bound to material"),
    Index("keys_by_time", "created", "handle"),
    Index("keys_by_label", "label", "object_class", "owner"),
    # Has every column that counting a user's keys needs, so that it reads no rows.
    Index("keys_by_owner", "owner", "object_class", "key_type", "handle"),
    Index("keys_by_id", "key_id"),
    Index("keys_by_public_key", "public_key_info"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("hsm", Integer, primary_key=True, autoincrement=False, comment="number of the HSM that wrote it"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False, comment="µs since 1970"),
    Column("reboot", BigInteger, nullable=False),
    Column("opcode", String(64), nullable=False),
    Column("session", BigInteger, nullable=False),
    Column("response", BigInteger, nullable=False),
    Column("log_type", String(32), nullable=False),
    Column("user_name", Text, nullable=False),
    Column("user_type", BigInteger, nullable=False),
    Column("secret_handle", BigInteger, nullable=False),
    Column("public_handle", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("changed", Text, nullable=False, server_default="", comment="changes of stored rows"),
    Column("previous", LargeBinary, nullable=False, comment="hash of the entry before"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256, see hsmcore.audit.chain"),
    Column("seal", LargeBinary, nullable=False, comment="of the hash, see hsmcore.storage.sealing"),
)

AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="number of the HSM"),
    Column("count", BigInteger, nullable=False, comment="number of entries"),
    Column("reboot", BigInteger, nullable=False, comment="reboot counter"),
    Column("sealed", LargeBinary, nullable=False, comment="hash of the last entry, sealed"),
)

SHARES = Table(
    "shares",
    METADATA,
    Column("handle", BigInteger, primary_key=True, autoincrement=False, comment="as in keys.sharing, to find by"),
    Column("username", String(31), primary_key=True, comment="the same"),
    Index("shares_by_user", "username"),
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("subject", String(80), primary_key=True, comment="as in audit.changed"),
    Column("version", BigInteger, nullable=False, comment="of the newest entry about the subject"),
    Column("live", Boolean, nullable=False, comment="whether its row was not deleted"),
)

HSMS = Table(
    "hsms",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(32), nullable=False, comment="as cluster hsm-info shows it"),
    Column("address", Text, nullable=False, comment="where clients reach it"),
    Column("process", String(32), nullable=False, comment="random number of the process that has it"),
    Column("state", String(8), nullable=False, comment="open, closed or left"),
    Column("renewals", BigInteger, nullable=False, comment="of its lease"),
    Column("applied", BigInteger, nullable=False, comment="sequence number of the last change that it has applied"),
    Column("code", LargeBinary, nullable=False, comment="authenticates the row"),
)
"""The HSMs of a cluster. An HSM with a file of its own has no row."""

CHANGES = Table(
    "changes",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("hsm", Integer, nullable=False, comment="number of the HSM that made it"),
    Column("subjects", Text, nullable=False, comment="as in audit.changed"),
    Column("code", LargeBinary, nullable=False, comment="authenticates the row"),
)
"""The last changes of a cluster, which every HSM applies to its memory."""

REQUESTS = Table(
    "requests",
    METADATA,
    Column("owner", String(64), primary_key=True, comment="role and name of the user who sent it"),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="request id"),
    Column("made", BigInteger, nullable=False, comment="ms since 1970, by the clock of the database"),
    Column("changes", Text, nullable=False, comment="as in audit.changed"),
    Column("code", LargeBinary, nullable=False, comment="authenticates the row"),
    Index("requests_by_time", "made"),
)
"""The last requests whose changes a cluster has made, so that none is made twice."""
