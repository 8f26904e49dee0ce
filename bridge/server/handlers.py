"""What the HSM's door does not answer in the protocol's own terms: greeting, login, and key records as maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from bridge.protocol.codec import MAX_FRAME, VERSION, Value
from hsmcore.errors import MalformedRequest, UnsupportedVersion
from hsmcore.keys.records import Sharing
from hsmcore.tables.attributes import Plain
from hsmcore.tables.attributes import Value as AttributeValue

if TYPE_CHECKING:
    from hsmcore.api.crypto import Parameters
    from hsmcore.hsm import Hsm
    from hsmcore.keys.description import KeyDescription
    from hsmcore.sessions.session import Session

Fields = Mapping[str, Value]
"""A map of the protocol."""


def server_version() -> str:
    """Return the installed version of this package, ``0`` where it runs from a plain folder."""
    try:
        return version("hsmbridge")
    except PackageNotFoundError:
        return "0"


def flat(attributes: Fields) -> dict[str, AttributeValue]:
    """Return the attributes that are not null. Raises ``MalformedRequest`` for a list, and a map in a template."""
    templates = {name: _plain(value) for name, value in attributes.items() if isinstance(value, dict)}
    return {**_plain({name: value for name, value in attributes.items() if name not in templates}), **templates}


def _plain(attributes: Fields) -> dict[str, Plain]:
    checked: dict[str, Plain] = {}
    for name, value in attributes.items():
        if isinstance(value, (bool, int, str, bytes)):
            checked[name] = value
        elif value is not None:
            raise MalformedRequest(f"attribute {name[:64]!r} is a {type(value).__name__}")
    return checked


def sought(attributes: Fields) -> dict[str, AttributeValue | list[AttributeValue]]:
    """Return attributes to look for, where a list holds values of which any will do. Raises ``MalformedRequest``."""
    choices = {name: value for name, value in attributes.items() if isinstance(value, list)}
    lists: dict[str, AttributeValue | list[AttributeValue]] = {
        name: [_plain({name: one})[name] for one in values if one is not None] for name, values in choices.items()
    }
    return {**flat({name: value for name, value in attributes.items() if name not in choices}), **lists}


def shared(attributes: Fields) -> tuple[dict[str, AttributeValue], Sharing]:
    """Return the attributes of a key to be made, and whom its maker names in SHARED_USERS to share it with."""
    attributes = dict(attributes)
    users = attributes.pop("SHARED_USERS", None) or []
    if not isinstance(users, list):
        raise MalformedRequest("SHARED_USERS is a list of texts")
    names = [name for name in users if isinstance(name, str)]
    if len(names) < len(users):
        raise MalformedRequest("SHARED_USERS is a list of texts")
    return flat(attributes), Sharing(tuple(names))


def described(key: KeyDescription) -> Fields:
    """Return the protocol's key description."""
    fields: dict[str, Value] = {**key.record.fields(), **key.derived}
    if key.owner is not None:
        fields |= {"OWNER": key.owner, "SHARED_USERS": list(key.sharing.users)}
    return fields


class Connection(Protocol):
    """A client's connection, as far as it concerns sessions."""

    closed: bool
    sessions: dict[int, Session]


class Connections(Protocol):
    """The connections to one HSM, and which of them keeps which session alive."""

    facts: Mapping[str, Value]

    def join(self, token: int, connection: Connection) -> object:
        """Count the connection among those that keep the session alive."""

    def end(self, token: int) -> None:
        """End the session for every connection."""


class Handlers:
    """Operations that convert fields or track connections; ``bridge.protocol.operations`` names each method."""

    def __init__(self, hsm: Hsm, connections: Connections) -> None:
        self._hsm = hsm
        self._connections = connections
        self._version = server_version()

    def hello(self, connection: Connection, lowest: int, highest: int, client: str) -> tuple[int, str, int]:
        """Pick the protocol version. Raises ``UnsupportedVersion``."""
        if not lowest <= VERSION <= highest:
            raise UnsupportedVersion(f"the client speaks versions {lowest} to {highest}, this HSM version {VERSION}")
        return VERSION, self._version, MAX_FRAME

    def status(self, connection: Connection) -> Fields:
        """Return what is known without a login."""
        return {**self._hsm.status(), **self._connections.facts}

    def login(self, connection: Connection, user: str, password: bytes, role: str) -> int:
        """Begin a session that ends at the latest with the last connection that used it."""
        return self._joined(self._hsm.users.login(user, password, role), connection)

    def login_token(self, connection: Connection, user: str, role: str) -> bytes:
        """Give a token to sign for ``login_mfa``."""
        return self._hsm.users.login_token(user, role)

    def login_mfa(self, connection: Connection, user: str, password: bytes, role: str, token_file: bytes) -> int:
        """Begin a session as ``login`` does, with a second factor."""
        return self._joined(self._hsm.users.login_mfa(user, password, role, token_file), connection)

    def _joined(self, session: Session, connection: Connection) -> int:
        self._connections.join(session.token, connection)
        return session.token

    def logout(self, session: Session) -> None:
        """End the session, for every connection."""
        self._connections.end(session.token)

    def generate_key(self, session: Session, mechanism: str, attributes: Fields) -> Fields:
        """Generate a secret key."""
        wishes, sharing = shared(attributes)
        return self._hsm.keys.generate(session, mechanism, wishes, sharing).fields()

    def generate_key_pair(
        self, session: Session, mechanism: str, public: Fields, private: Fields
    ) -> tuple[Fields, Fields]:
        """Generate a key pair."""
        wishes, sharing = shared(private)
        pair = self._hsm.keys.generate_pair(session, mechanism, flat(public), wishes, sharing)
        return pair[0].fields(), pair[1].fields()

    def import_key(self, session: Session, attributes: Fields, material: bytes) -> Fields:
        """Import a key."""
        wishes, sharing = shared(attributes)
        return self._hsm.keys.import_(session, wishes, material, sharing).fields()

    def derive_key(
        self, session: Session, key: int, mechanism: str, parameters: Fields | None, attributes: Fields
    ) -> Fields:
        """Derive a secret key."""
        return self._hsm.keys.derive(session, key, mechanism, parameters, flat(attributes)).fields()

    def find_keys(self, session: Session, attributes: Fields, limit: int) -> list[Fields]:
        """Find keys by attributes."""
        if limit < 0:
            raise MalformedRequest(f"a limit is 0 or more, not {limit}")
        return [record.fields() for record in self._hsm.keys.find(session, flat(attributes), limit)]

    def list_keys(
        self, session: Session, handle: int | None, attributes: Fields, first: int, limit: int
    ) -> tuple[list[Fields], int]:
        """Describe a page of keys, and count all that fit."""
        if first < 0 or limit < 0:
            raise MalformedRequest(f"first and limit are 0 or more, not {first} and {limit}")
        page, count = self._hsm.keys.describe(session, handle, sought(attributes), first, limit)
        return [described(key) for key in page], count

    def info(self, connection: Connection) -> Fields:
        """Return what an administrator asks a module for."""
        return dict(self._hsm.info())

    def get_key(self, session: Session, handle: int) -> Fields:
        """Return one key's record."""
        return self._hsm.keys.get(session, handle).fields()

    def set_attributes(self, session: Session, handle: int, attributes: Fields) -> Fields:
        """Change attributes and return the record as it is then."""
        return self._hsm.keys.set_attributes(session, handle, flat(attributes)).fields()

    def unwrap_key(
        self, session: Session, handle: int, mechanism: str, parameters: Parameters, wrapped: bytes, attributes: Fields
    ) -> Fields:
        """Unwrap a key."""
        wishes, sharing = shared(attributes)
        return self._hsm.keys.unwrap(session, handle, mechanism, parameters, wrapped, wishes, sharing).fields()

    def list_users(self, connection: Connection) -> list[Fields]:
        """List the users."""
        return [
            {
                "id": user.number, "username": user.username, "role": user.role, "locked": user.locked,
                "mfa": user.mfa, "quorum": user.quorum,
            }
            for user in self._hsm.users.all()
        ]  # fmt: skip

    def approve(self, session: Session, approval_file: bytes) -> Fields:
        """Approve a quorum token."""
        required, approvals = self._hsm.quorum.approve(session, approval_file)
        return {"approvals-required": required, "number-of-approvals": approvals}

    def quorum_tokens(self, session: Session) -> list[Fields]:
        """List the quorum tokens: those of admin services one by one, those for keys counted."""
        tokens = self._hsm.quorum.tokens(session)
        for_keys = Counter((token.username, token.service, token.key) for token in tokens if token.key is not None)
        rows: list[Fields] = [
            {
                "username": token.username, "service": token.service, "approvals-required": token.required,
                "number-of-approvals": token.approvals, "token-timeout-seconds": token.seconds,
            }
            for token in tokens
            if token.key is None
        ]  # fmt: skip
        for (username, service, key), count in for_keys.items():
            rows.append(
                {"username": username, "service": service, "key-reference": key, "minimum-token-count": count}
            )  # fmt: skip
        return rows

    def registration_token(self, connection: Connection) -> bytes:
        """Return a token to sign for the registration of an approver's key."""
        return self._hsm.quorum.registration_token()

    def quorum_values(self, connection: Connection) -> Fields:
        """Return the quorum values."""
        return dict(self._hsm.quorum.values())

    def quorum_timeouts(self, connection: Connection) -> Fields:
        """Return the timeouts of quorum tokens."""
        return dict(self._hsm.quorum.timeouts())

    def audit_list(self, session: Session, first: int, limit: int) -> list[Fields]:
        """Return entries of the audit log."""
        if first < 0 or limit < 0:
            raise MalformedRequest(f"a sequence number and a limit are 0 or more, not {first} and {limit}")
        return [entry.public() for entry in self._hsm.audit.entries(session, first, limit)]

    def audit_verify(self, session: Session, anchor: str | None) -> Fields:
        """Verify the audit log."""
        result = self._hsm.audit.verify(session, anchor)
        findings: list[Value] = [{"sequence": found.sequence, "text": found.text} for found in result.findings]
        return {
            "entries": result.head.count,
            "reboot": result.head.reboot,
            "anchor": result.head.anchor(),
            "findings": findings,
        }
