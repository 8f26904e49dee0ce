"""Handlers of the operations that are not a method of a service with the protocol's own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from operator import itemgetter
from typing import TYPE_CHECKING

from bridge.protocol import values
from bridge.protocol.codec import MAX_FRAME, VERSION, Value
from bridge.protocol.values import Fields
from bridge.server import pages
from hsmcore import __version__
from hsmcore.errors import MalformedRequest, NotCaughtUp, StoreUnreachable, Unauthenticated, UnsupportedVersion

if TYPE_CHECKING:
    from bridge.server.connections import Connection, Connections
    from bridge.server.faults import Faults
    from hsmcore.api.crypto import Parameters
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session


_RECONNECTS = ("java", "pkcs11")
"""The clients that connect again after a connection has broken."""


class Handlers:
    """Handlers of the requests to one HSM; the rows of ``bridge.protocol.operations`` name the methods.

    Each method takes a session, or the connection if the operation needs no session, then the fields of the request.
    """

    def __init__(self, hsm: Hsm, connections: Connections, facts: Mapping[str, Value], faults: Faults) -> None:
        """Make the handlers; ``facts`` are added to the answer to STATUS."""
        self._hsm = hsm
        self._connections = connections
        self._facts = facts
        self._faults = faults
        self._version = __version__

    def hello(self, connection: Connection, lowest: int, highest: int, client: str) -> tuple[int, str, int]:
        """Return the protocol version, the server's version, and the length of the longest frame in bytes.

        Raises:
            UnsupportedVersion: The client does not speak this version of the protocol.
        """
        if not lowest <= VERSION <= highest:
            raise UnsupportedVersion(f"the client speaks versions {lowest} to {highest}, this HSM version {VERSION}")
        connection.reconnects = client in _RECONNECTS
        return VERSION, self._version, MAX_FRAME

    def reset(self, connection: Connection) -> None:
        """Reset the HSM to the state after its initialisation."""
        self._hsm.reset()
        self._faults.clear()
        self._connections.forget_ended()

    def fault_add(self, connection: Connection, faults: list[Value]) -> list[int]:
        """Add faults, all or none, and return their numbers.

        Raises:
            MalformedRequest: An item is not a map of texts with a kind.
        """
        wanted = []
        for fault in faults:
            if not isinstance(fault, dict) or not all(isinstance(value, str) for value in fault.values()):
                raise MalformedRequest("a fault is a map of texts")
            options = {name: str(value) for name, value in fault.items()}
            wanted.append((options.pop("kind", ""), options))
        return self._faults.add_all(wanted)

    def fault_list(self, connection: Connection) -> list[Fields]:
        """Return the faults."""
        return self._faults.all()

    def fault_clear(self, connection: Connection, number: int | None) -> None:
        """Remove a fault, or all of them."""
        self._faults.clear(number)

    def status(self, connection: Connection) -> Fields:
        """Return the state of the HSM and of the process that serves it."""
        warnings = self._hsm.warnings()
        return {**self._hsm.status(), **self._facts, **({"warnings": list(warnings)} if warnings else {})}

    def login(self, connection: Connection, user: str, password: bytes, role: str) -> int:
        """Log in, and return the session token. The session ends with the last connection that used it."""
        session = self._hsm.users.login(user, password, role, connection.detail, guest=connection.guest)
        return self._joined(session, connection)

    def login_token(self, connection: Connection, user: str, role: str) -> bytes:
        """Return a token file to sign for ``login_mfa``."""
        return self._hsm.users.login_token(user, role)

    def login_mfa(self, connection: Connection, user: str, password: bytes, role: str, token_file: bytes) -> int:
        """Log in with a second factor, and return the session token as ``login`` does."""
        session = self._hsm.users.login_mfa(
            user, password, role, token_file, connection.detail, guest=connection.guest
        )  # fmt: skip
        return self._joined(session, connection)

    def _joined(self, session: Session, connection: Connection) -> int:
        try:
            self._connections.join(session.token, connection)
        except Unauthenticated:
            # The client was gone before its login ended.
            self._hsm.users.abandon(session)
            raise
        return session.token

    def logout(self, session: Session) -> None:
        """End the session for every connection."""
        self._connections.end_session(session.token)

    def generate_key(self, session: Session, mechanism: str, attributes: Fields) -> Fields:
        """Generate a secret key and return its record."""
        template, sharing = values.new_key(attributes)
        return self._hsm.keys.generate(session, mechanism, template, sharing).fields()

    def generate_key_pair(
        self, session: Session, mechanism: str, public: Fields, private: Fields
    ) -> tuple[Fields, Fields]:
        """Generate a key pair and return the records of the public and the private key."""
        template, sharing = values.new_key(private)
        pair = self._hsm.keys.generate_pair(session, mechanism, values.template(public), template, sharing)
        return pair[0].fields(), pair[1].fields()

    def import_key(self, session: Session, attributes: Fields, material: bytes) -> Fields:
        """Import a key and return its record."""
        template, sharing = values.new_key(attributes)
        return self._hsm.keys.import_(session, template, material, sharing).fields()

    def derive_key(
        self, session: Session, key: int, mechanism: str, parameters: Fields | None, attributes: Fields
    ) -> Fields:
        """Derive a secret key and return its record."""
        return self._hsm.keys.derive(session, key, mechanism, parameters, values.template(attributes)).fields()

    def find_keys(
        self, session: Session, attributes: Fields, limit: int, after: bytes | None
    ) -> tuple[list[Fields], bytes | None]:
        """Return a page of the records of the keys with these attributes, and the position that the next follows."""
        template, position = values.template(attributes), pages.decode_position(after)

        def read(count: int) -> tuple[list[Fields], bytes | None]:
            records, last = self._hsm.keys.find_page(session, template, count, position)
            return [record.fields() for record in records], pages.encode_position(last)

        page, _ = pages.fitting(limit, read, itemgetter(0))
        return page

    def list_keys(
        self, session: Session, handle: int | None, attributes: Fields, first: int, limit: int, brief: bool
    ) -> tuple[list[Fields], int, int | None]:
        """Return a page of descriptions from the key ``first`` on, the number of all keys, and that of the next page.

        Raises:
            MalformedRequest: ``first`` is negative.
        """
        if first < 0:
            raise MalformedRequest(f"first is 0 or more, not {first}")
        template = values.search_template(attributes)

        def read(limit: int) -> tuple[list[Fields], int]:
            page, count = self._hsm.keys.describe(session, handle, template, first, limit, brief=brief)
            return [values.key_description(key) for key in page], count

        (page, count), taken = pages.fitting(limit, read, itemgetter(0))
        return page, count, first + taken if first + taken < count else None

    def info(self, connection: Connection) -> Fields:
        """Return vendor, model and versions of the HSM."""
        return dict(self._hsm.info())

    def get_key(self, session: Session, handle: int) -> Fields:
        """Return the record of one key."""
        return self._hsm.keys.get(session, handle).fields()

    def set_attributes(self, session: Session, handle: int, attributes: Fields) -> Fields:
        """Change attributes of a key and return its new record."""
        return self._hsm.keys.set_attributes(session, handle, values.template(attributes)).fields()

    def unwrap_key(
        self, session: Session, handle: int, mechanism: str, parameters: Parameters, wrapped: bytes, attributes: Fields
    ) -> Fields:
        """Unwrap a key and return its record."""
        template, sharing = values.new_key(attributes)
        return self._hsm.keys.unwrap(session, handle, mechanism, parameters, wrapped, template, sharing).fields()

    def list_users(self, connection: Connection) -> list[Fields]:
        """Return all users."""
        return [values.user(info) for info in self._hsm.users.all()]

    def approve(self, session: Session, approval_file: bytes) -> Fields:
        """Add the approvals in a file to its quorum token, and return how many it needs and has."""
        required, approvals = self._hsm.quorum.approve(session, approval_file)
        return {"approvals-required": required, "number-of-approvals": approvals}

    def quorum_tokens(self, session: Session) -> list[Fields]:
        """Return the quorum tokens: those of admin services singly, those of keys as a count."""
        return values.quorum_tokens(self._hsm.quorum.tokens(session))

    def registration_token(self, connection: Connection) -> bytes:
        """Return a token to sign for the registration of an approver's key."""
        return self._hsm.quorum.registration_token()

    def quorum_values(self, connection: Connection) -> Fields:
        """Return the quorum value of each service."""
        return dict(self._hsm.quorum.values())

    def quorum_timeouts(self, connection: Connection) -> Fields:
        """Return the timeouts of quorum tokens, in seconds."""
        return dict(self._hsm.quorum.timeouts())

    def audit_list(self, session: Session, first: int, limit: int) -> list[Fields]:
        """Return entries of the audit log from a sequence number on, as many as one answer may have.

        Raises:
            MalformedRequest: ``first`` or ``limit`` is negative.
        """
        if first < 0 or limit < 0:
            raise MalformedRequest(f"a sequence number and a limit are 0 or more, not {first} and {limit}")
        return pages.beginning(entry.public() for entry in self._hsm.audit.entries(session, first, limit))

    def audit_verify(self, session: Session, anchor: str | None) -> Fields:
        """Verify the audit log and return the findings."""
        return values.verification(self._hsm.audit.verify(session, anchor))

    def insert_masked_key(self, session: Session, masked_object: bytes) -> Fields:
        """Insert a masked key and return its record."""
        return self._hsm.clones.insert_key(session, masked_object).fields()

    def insert_masked_user(self, session: Session, masked_object: bytes) -> Fields:
        """Insert a masked user and return it."""
        return values.user(self._hsm.clones.insert_user(session, masked_object))

    def backup_create(self, session: Session, passphrase: bytes | None) -> Fields:
        """Make a backup and return its description."""
        return values.backup(self._hsm.backups.create(session, passphrase))

    def backup_list(self, session: Session) -> list[Fields]:
        """Return the descriptions of all backups, without what only a whole reading shows."""
        return [asdict(info) for info in self._hsm.backups.all(session)]

    def backup_verify(self, session: Session, name: str) -> Fields:
        """Read a backup and return its description."""
        return values.backup(self._hsm.backups.verify(session, name))

    def certificate_request(self, connection: Connection, names: list[Value], new_key: bool) -> bytes:
        """Return the certificate signing request of the HSM in PEM.

        Raises:
            MalformedRequest: A name is not text.
        """
        return self._hsm.tls.request(values.texts(names, "names"), new_key)

    def initialize_cluster(self, connection: Connection, signed: bytes, anchor: bytes) -> Fields:
        """Store the HSM's signed certificate, and return what it says."""
        return values.certificate(self._hsm.tls.initialize(signed, anchor))

    def register_anchor(self, session: Session, certificate: bytes) -> Fields:
        """Register a trust anchor, and return it."""
        return values.anchor(*self._hsm.mtls.register(session, certificate))

    def deregister_anchors(self, session: Session, references: list[Value]) -> list[Value]:
        """Deregister trust anchors, all or none, and return their references.

        Raises:
            MalformedRequest: A reference is not text.
        """
        return list(self._hsm.mtls.deregister(session, values.texts(references, "references")))

    def list_anchors(self, connection: Connection) -> list[Fields]:
        """Return the trust anchors."""
        return [values.anchor(*anchor) for anchor in self._hsm.mtls.anchors().items()]

    def set_enforcement(self, session: Session, level: str) -> None:
        """Set whether clients over TLS need a certificate of a trust anchor."""
        self._hsm.mtls.set_enforcement(session, level, mutual=self._connections.mutual(session.token))

    def cluster_members(self, connection: Connection) -> list[Fields]:
        """Return this HSM, and the running others of the cluster that clients reach over TLS, each address apart."""
        try:
            # A database without contact may take a minute to be given up.
            self._hsm.require_current()
            members = self._hsm.members()
        except (StoreUnreachable, NotCaughtUp):
            # The client goes on with those that it knows.
            return []
        return [
            {"address": address, "process": member.process, "own": member.own}
            for member in members if member.alive
            for address in member.address.split(", ") if address or member.own
        ]  # fmt: skip
