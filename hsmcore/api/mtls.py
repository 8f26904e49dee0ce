"""Mutual TLS: the trust anchors of clients' certificates, and whether clients need one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.errors import (
    MalformedRequest,
    MutualTlsRequired,
    PermissionDenied,
    TrustAnchorExists,
    TrustAnchorLimit,
    TrustAnchorNeeded,
    TrustAnchorNotFound,
)
from hsmcore.primitives import tls_certificates
from hsmcore.sessions.session import Session

MAX_ANCHORS = 2
"""Maximum number of trust anchors (CloudHSM's quota)."""
LEVELS = ("none", "cluster")
"""Levels of enforcement: clients over TLS need no certificate, or one of a registered trust anchor."""
_FIRST_ADMIN = "admin"
"""Name of the only admin who may change the level."""


class MutualTlsService:
    """Registers trust anchors and sets the level of enforcement. The carriers check the clients' certificates."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._turn = core.turn
        self._rules = core.rules
        self._approvals = core.approvals

    @guarded
    def register(self, session: Session, certificate: bytes) -> tuple[str, str]:
        """Register a trust anchor. Takes a quorum approval of the service ``cluster``.

        Args:
            session: A session of an admin.
            certificate: The certificate of an authority, and after it any certificates of its issuers, in PEM.

        Returns:
            The reference of the anchor, and the certificates in PEM.

        Raises:
            CertificateInvalid: The certificate is not that of an authority, or not valid now.
            TrustAnchorExists: The authority is registered.
            TrustAnchorLimit: The HSM has the maximum number of trust anchors.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        chain = tls_certificates.trust_anchor(certificate, dt.datetime.now(dt.UTC)).decode()
        subject = tls_certificates.facts(chain.encode()).subject
        with self._turn, self._approvals.granted(session, "cluster"):
            rules = self._rules.now
            if any(_same(chain, other) for other in rules.anchors.values()):
                raise TrustAnchorExists("Invalid Certificate: Trust anchor already exists.")
            if len(rules.anchors) >= MAX_ANCHORS:
                raise TrustAnchorLimit(
                    f"there are {MAX_ANCHORS} trust anchors, which is the limit; deregister one of them first"
                )
            free = (_reference(number) for number in range(1, MAX_ANCHORS + 1))
            reference = next(name for name in free if name not in rules.anchors)
            self._log.describe(f"{reference} {subject}")
            self._rules.change(replace(rules, anchors=dict(sorted({**rules.anchors, reference: chain}.items()))))
            return reference, chain

    @guarded
    def deregister(self, session: Session, references: Sequence[str]) -> list[str]:
        """Deregister trust anchors, all or none. Takes a quorum approval of the service ``cluster``.

        Args:
            session: A session of an admin.
            references: References, in hexadecimal digits after ``0x`` or decimal.

        Returns:
            The references as the HSM writes them.

        Raises:
            MalformedRequest: There is no reference.
            TrustAnchorNotFound: No trust anchor has one of the references.
            TrustAnchorNeeded: No anchor would remain while certificates are enforced.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        if not references:
            raise MalformedRequest("the request names no trust anchor")
        with self._turn, self._approvals.granted(session, "cluster"):
            rules = self._rules.now
            gone = {_known(reference, rules.anchors) for reference in references}
            anchors = {name: chain for name, chain in rules.anchors.items() if name not in gone}
            if rules.enforced and not anchors:
                raise TrustAnchorNeeded(
                    "no client could connect over TLS without this trust anchor, because certificates are enforced; "
                    "set the level none first, or register another anchor"
                )
            self._log.describe(" ".join(sorted(gone)))
            self._rules.change(replace(rules, anchors=anchors))
            return sorted(gone)

    def anchors(self) -> Mapping[str, str]:
        """Return the certificates of the trust anchors in PEM, by reference. Needs no login."""
        anchors = self._rules.now.anchors
        self._log.require_current()
        return anchors

    @guarded
    def enforcement(self, session: Session) -> str:
        """Return the level of enforcement, one of ``LEVELS``."""
        return LEVELS[self._rules.now.enforced]

    @guarded
    def set_enforcement(self, session: Session, level: str, *, mutual: bool) -> None:
        """Set the level of enforcement. Takes a quorum approval of the service ``cluster``.

        Args:
            session: The session of the admin ``admin``.
            level: One of ``LEVELS``.
            mutual: Whether all connections of the session have a client certificate of a trust anchor.

        Raises:
            MalformedRequest: There is no such level.
            PermissionDenied: The admin has another name.
            TrustAnchorNeeded: Enforcement takes a trust anchor, and there is none.
            MutualTlsRequired: Enforcement takes a connection over mutual TLS, and this is none.
            ApprovalRequired: The session has no approved quorum token.
            StoreFull: The disk is full.
        """
        if level not in LEVELS:
            raise MalformedRequest(f"the level is one of {', '.join(LEVELS)}, not {level[:32]!r}")
        if session.username != _FIRST_ADMIN:
            raise PermissionDenied(f"only the admin named {_FIRST_ADMIN!r} sets the level of enforcement")
        enforced = level == LEVELS[True]
        with self._turn, self._approvals.granted(session, "cluster"):
            rules = self._rules.now
            if enforced and not rules.anchors:
                raise TrustAnchorNeeded("there is no trust anchor; register one before certificates are enforced")
            if enforced and not mutual:
                raise MutualTlsRequired(
                    "set the level cluster over mutual TLS, which shows that a client with a certificate gets in"
                )
            self._log.describe(level)
            self._rules.change(replace(rules, enforced=enforced))

    @property
    def generation(self) -> int:
        """A number that changes with the trust anchors and the level."""
        return self._rules.generation

    @property
    def enforced(self) -> bool:
        """True while clients over TLS need a certificate."""
        return self._rules.now.enforced

    def on_change(self, notify: Callable[[], None]) -> None:
        """Call a function, in any thread, after anchors or level have changed and before a client learns it."""
        self._rules.changed = notify

    def admits(self, certificate: bytes) -> bool:
        """Tell whether a client may stay connected after the trust anchors or the level have changed.

        Args:
            certificate: The client's certificate in DER, empty for none. One that an anchor has not issued itself
                gets no; such a client connects again with the certificates in between.
        """
        rules = self._rules.now
        if not certificate:
            return not rules.enforced
        return any(tls_certificates.issued(certificate, chain.encode()) for chain in rules.anchors.values())


def _reference(number: int) -> str:
    return f"{number:#04x}"


def _known(reference: str, anchors: Mapping[str, str]) -> str:
    """Return a reference as the HSM writes it.

    Raises:
        TrustAnchorNotFound: No trust anchor has it.
    """
    try:
        known = _reference(int(reference, 16 if reference.lower().startswith("0x") else 10))
    except ValueError:
        known = ""
    if known not in anchors:
        raise TrustAnchorNotFound(f"there is no trust anchor with the reference {reference[:32]!r}")
    return known


def _same(one: str, other: str) -> bool:
    """Tell whether two chains begin with the same certificate."""
    return tls_certificates.first(one.encode()) == tls_certificates.first(other.encode())
