"""Numbers for monitoring an HSM. They name no users, keys or handles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsmcore.api.core import Core
from hsmcore.crypto.operations import foreign_keys
from hsmcore.errors import StateError
from hsmcore.sessions.usage_counts import Uses
from hsmcore.users.accounts import APPLIANCE


@dataclass(frozen=True, slots=True)
class Statistics:
    """The state of an HSM, and its operations since it was opened.

    ``troubles`` are sentences; none where all is well. ``keys`` counts by (``token`` or ``session``, key class, key
    type), ``sessions`` by role, ``users`` by role and whether locked, without the appliance user, ``cached`` by kind of
    cached object. ``certificate_end`` is the end of the TLS certificate's validity, in seconds since 1970; ``None``
    without one.
    """

    troubles: Sequence[str]
    keys: Mapping[tuple[str, str, str], int]
    sessions: Mapping[str, int]
    users: Mapping[tuple[str, bool], int]
    multipart: int
    cached: Mapping[str, int]
    audit_entries: int
    certificate_end: int | None
    uses: Sequence[Uses]
    failures: Mapping[tuple[str, str], int]


def gather(core: Core, certificate_end: int | None) -> Statistics:
    """Return the numbers of the moment; the argument is in the result as it is."""
    with core.lock:
        sessions = core.sessions.all()
        kept = [shortcut for session in sessions for shortcut in session.kept.values()]
        prepared = sum(len(operations) for session in sessions for operations in session.prepared.values())
    counts = core.operations.counts
    return Statistics(
        troubles=troubles(core),
        keys=core.ring.kinds(),
        sessions=Counter(session.role for session in sessions),
        users=Counter((user.role, user.locked) for user in core.accounts.infos() if user != APPLIANCE),
        multipart=len(core.streams),
        cached={"prepared": prepared, "shortcuts": len(kept), "foreign_keys": foreign_keys()},
        audit_entries=core.log.count,
        certificate_end=certificate_end,
        uses=counts.uses(kept),
        failures=counts.failures(),
    )


def troubles(core: Core) -> list[str]:
    """Return the HSM's troubles as sentences; none where all is well. Takes no lock and counts nothing."""
    found = [core.log.trouble] if core.log.trouble else []
    try:
        core.store.serial()
    except StateError as error:
        found.append(str(error))
    return found
