"""The rules of a cluster: quorum values, timeouts of quorum tokens, and trust anchors of clients. Stored sealed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from hsmcore.errors import StoreDamaged
from hsmcore.storage.database import Store
from hsmcore.storage.rows import QUORUM, Change
from hsmcore.storage.sealing import Vault
from hsmcore.tables.quorum_services import SERVICES

NO_QUORUM = 1
"""The quorum value of an admin service that takes no approval."""
DEFAULT_TIMEOUT = 600
"""Default of both timeouts, in seconds."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Number of approvals by admin service, the tokens' timeouts in seconds, and the rules of mutual TLS.

    ``anchors`` are the trust anchors of clients, each a certificate and its issuers in PEM, by reference (``0x01``).
    ``enforced`` admits clients over TLS only with a certificate of one of them.
    """

    values: Mapping[str, int] = field(
        default_factory=lambda: {name: NO_QUORUM for name, service in SERVICES.items() if not service.attribute}
    )
    timeouts: Mapping[str, int] = field(
        default_factory=lambda: dict.fromkeys(("generated", "approved"), DEFAULT_TIMEOUT)
    )
    anchors: Mapping[str, str] = field(default_factory=dict)
    enforced: bool = False

    def encode(self) -> bytes:
        """Return the rules as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Rules:
        """Read the rules from JSON. Those of an older version have no trust anchors.

        Raises:
            StoreDamaged: The JSON is not that of this version.
        """
        plain = cls()
        try:
            read = json.loads(encoded)
            rules = cls(
                values=dict(read["values"]),
                timeouts=dict(read["timeouts"]),
                anchors=dict(read.get("anchors", {})),
                enforced=read.get("enforced", False) is True,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreDamaged("the quorum values of this HSM are not readable; restore the state directory") from error
        if rules.values.keys() == plain.values.keys() and rules.timeouts.keys() == plain.timeouts.keys():
            return rules
        raise StoreDamaged("the quorum values of this HSM are not those of this version; restore the state directory")


class StoredRules:
    """The rules in the store, and in memory. A caller that changes them has the turn."""

    def __init__(self, store: Store, vault: Vault) -> None:
        """Read the rules.

        Raises:
            StoreDamaged: The row does not open, or is not the newest one.
        """
        self._store = store
        self._vault = vault
        self.changed: Callable[[], None] = lambda: None
        """Called by any thread after the rules of mutual TLS have changed, before anything answers that they have."""
        self.generation = 0
        """Changes with the rules of mutual TLS."""
        self._version, self.now = 0, Rules()
        self.refresh()

    def refresh(self) -> None:
        """Read the rules, at the beginning and when another HSM has changed them.

        Raises:
            StoreDamaged: The row does not open, or is not the newest one.
        """
        sealed, version = self._store.quorum()
        if Change(QUORUM, version) != self._store.newest(QUORUM):
            raise StoreDamaged("the stored quorum values are not the newest ones; restore the state directory")
        self._take(Rules.decode(self._vault.open_quorum(sealed, version)), version)

    def change(self, rules: Rules) -> None:
        """Store other rules.

        Raises:
            StoreFull: The disk is full.
        """
        version = self._version + 1
        self._store.change_quorum(self._vault.seal_quorum(rules.encode(), version), version)
        self._take(rules, version)

    def first(self) -> tuple[bytes, int]:
        """Return the sealed rules of a new HSM, and their next version here."""
        version = self._version + 1
        return self._vault.seal_quorum(Rules().encode(), version), version

    def restore(self, version: int) -> None:
        """Take the rules of a new HSM, which are on disk in this version."""
        self._take(Rules(), version)

    def _take(self, rules: Rules, version: int) -> None:
        before, self.now, self._version = self.now, rules, version
        if (before.anchors, before.enforced) != (rules.anchors, rules.enforced):
            self.generation += 1
            self.changed()
