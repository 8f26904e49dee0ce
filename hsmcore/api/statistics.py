"""Numbers for monitoring an HSM. They name no users, keys or handles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsmcore.api.core import Core
from hsmcore.crypto.operations import foreign_keys
from hsmcore.errors import StateError
from hsmcore.sessions.usage_counts import Uses
from hsmcore.storage.cluster import Cluster
from hsmcore.storage.lease import clock
from hsmcore.storage.timings import ClusterCounts
from hsmcore.users.accounts import APPLIANCE


@dataclass(frozen=True, slots=True)
class ClusterNumbers:
    """The HSM as a member of its cluster.

    ``lease_age`` is in seconds since before the last renewal of the lease was sent. ``members`` counts the HSMs by
    whether they are alive.
    """

    caught_up: bool
    lease_age: float
    members: Mapping[bool, int]
    counts: ClusterCounts


@dataclass(frozen=True, slots=True)
class Statistics:
    """The state of an HSM, and its operations since it was opened.

    ``troubles`` are sentences; none where all is well. ``keys`` counts by (``token`` or ``session``, key class, key
    type), ``sessions`` by role, ``users`` by role and whether locked, without the appliance user, ``cached`` by kind of
    cached object. ``certificate_end`` is the end of the TLS certificate's validity, in seconds since 1970; ``None``
    without one. ``backups`` counts by outcome (``made`` or ``failed``). ``newest_backup`` is the time of the last one
    that this process made, in seconds since 1970; 0 without one. ``cluster`` is ``None`` for an HSM alone. ``keys`` is
    empty while the database does not answer.
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
    backups: Mapping[str, int]
    newest_backup: float
    cluster: ClusterNumbers | None


def gather(core: Core, certificate_end: int | None) -> Statistics:
    """Return the numbers of the moment; the argument is in the result as it is."""
    with core.lock:
        sessions = core.sessions.all()
        kept = [shortcut for session in sessions for shortcut in session.kept.values()]
        prepared = sum(len(operations) for session in sessions for operations in session.prepared.values())
    counts = core.operations.counts
    return Statistics(
        troubles=troubles(core),
        keys=_kinds(core),
        sessions=Counter(session.role for session in sessions),
        users=Counter((user.role, user.locked) for user in core.accounts.infos() if user != APPLIANCE),
        multipart=len(core.streams),
        cached={"prepared": prepared, "shortcuts": len(kept), "foreign_keys": foreign_keys()},
        audit_entries=core.log.count,
        certificate_end=certificate_end,
        uses=counts.uses(kept),
        failures=counts.failures(),
        backups=dict(core.backups.outcomes),
        newest_backup=core.backups.newest_made,
        cluster=None if core.cluster is None else _of_cluster(core.cluster),
    )


def _kinds(core: Core) -> Mapping[tuple[str, str, str], int]:
    try:
        return core.ring.kinds()
    except StateError:
        return {}


def _of_cluster(cluster: Cluster) -> ClusterNumbers:
    now = clock()
    alive = Counter(alive for _, alive in cluster.known())
    alive[now < cluster.lease.until] += 1
    return ClusterNumbers(now < cluster.lease.until, now - cluster.lease.since, alive, cluster.counts)


def troubles(core: Core) -> list[str]:
    """Return the HSM's troubles as sentences; none where all is well. Takes no lock and counts nothing."""
    found = [core.log.trouble] if core.log.trouble else []
    try:
        core.store.serial()
    except StateError as error:
        return [*found, str(error)]
    lease = None if core.cluster is None else core.cluster.lease
    if lease is not None and clock() >= lease.until:
        found.append(f"not caught up: {lease.reason or 'the lease has ended'}")
    return found
