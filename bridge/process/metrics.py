"""Metrics for Prometheus, and a health check, over HTTP on the loopback interface.

``/metrics`` has those of CloudHSM's metrics that have a meaning here, and the HSM's own. ``/healthz`` answers 200, or
503 with the reasons. Both read the HSM's statistics for each request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector

from hsmcore.api.statistics import ClusterNumbers, Statistics
from hsmcore.errors import StateError
from hsmcore.sessions.usage_counts import BUCKETS
from hsmcore.storage.timings import BOUNDS
from hsmcore.users.accounts import MAX_USERS

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from hsmcore.hsm import Hsm

LOOPBACK = "127.0.0.1"
Faults = Callable[[], Mapping[tuple[str, str], int]]
"""Returns the number of faults that struck, by kind and operation."""
Connections = Callable[[], Mapping[tuple[str, str], int]]
"""Returns the number of connections, by origin and operating-system user."""
_SECONDS = 5
"""Time limit for a peer to send its request, in seconds."""

_log = logging.getLogger("hsmbridge.metrics")


class HsmCollector(Collector):
    """Converts an HSM's statistics to metrics."""

    def __init__(self, hsm: Hsm, faults: Faults, connections: Connections) -> None:
        self._hsm = hsm
        self._faults = faults
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """Return the current metrics."""
        statistics = self._hsm.statistics()
        yield from _of_cloudhsm(statistics)
        yield from _gauges(statistics)
        yield from _of_uses(statistics)
        yield from _of_backups(statistics)
        if statistics.cluster is not None:
            yield from _of_cluster(statistics.cluster)
        struck = CounterMetricFamily("hsmbridge_faults", "faults on demand that struck", labels=("kind", "operation"))
        for labels, count in sorted(self._faults().items()):
            struck.add_metric(labels, count)
        yield struck
        connections = GaugeMetricFamily("hsmbridge_connections", "open connections", labels=("origin", "os_user"))
        for labels, count in sorted(self._connections().items()):
            connections.add_metric(labels, count)
        yield connections


def _of_cloudhsm(numbers: Statistics) -> Iterator[Metric]:
    held = {kind: sum(n for key, n in numbers.keys.items() if key[0] == kind) for kind in ("session", "token")}
    users = sum(numbers.users.values())
    for name, meaning, value in (
        ("HsmUnhealthy", "1 on a fault of the HSM", int(bool(numbers.troubles))),
        ("HsmKeysSessionOccupied", "session keys", held["session"]),
        ("HsmKeysTokenOccupied", "token keys", held["token"]),
        ("HsmSessionCount", "sessions", sum(numbers.sessions.values())),
        ("HsmUsersAvailable", "users that can still be created", max(MAX_USERS - users, 0)),
        ("HsmUsersMax", "largest number of users", MAX_USERS),
    ):
        yield GaugeMetricFamily(name, meaning, value=value)


def _gauges(numbers: Statistics) -> Iterator[Metric]:
    keys = GaugeMetricFamily("hsmbridge_keys", "keys", labels=("kind", "key_class", "key_type"))
    for labels, count in sorted(numbers.keys.items()):
        keys.add_metric(labels, count)
    sessions = GaugeMetricFamily("hsmbridge_sessions", "sessions", labels=("role",))
    for role, count in sorted(numbers.sessions.items()):
        sessions.add_metric((role,), count)
    users = GaugeMetricFamily("hsmbridge_users", "users", labels=("role", "locked"))
    for (role, locked), count in sorted(numbers.users.items()):
        users.add_metric((role, str(locked).lower()), count)
    cached = GaugeMetricFamily("hsmbridge_cached", "entries of the caches", labels=("kind",))
    for kind, count in sorted(numbers.cached.items()):
        cached.add_metric((kind,), count)
    yield from (keys, sessions, users, cached)
    yield GaugeMetricFamily("hsmbridge_multipart_operations", "multi-part operations", value=numbers.multipart)
    yield GaugeMetricFamily("hsmbridge_audit_entries", "entries of the audit log", value=numbers.audit_entries)
    if numbers.certificate_end is not None:
        yield GaugeMetricFamily(
            "hsmbridge_tls_certificate_end_seconds", "end of the TLS certificate's validity, in seconds since 1970",
            value=numbers.certificate_end,
        )  # fmt: skip


def _of_uses(numbers: Statistics) -> Iterator[Metric]:
    labels = ("operation", "mechanism")
    uses = CounterMetricFamily("hsmbridge_operations", "uses of keys", labels=labels)
    times = HistogramMetricFamily("hsmbridge_operation_seconds", "time of a use, of a sample of all", labels=labels)
    bounds = [*map(str, BUCKETS), "+Inf"]
    for use in numbers.uses:
        names = (use.operation.lower(), use.mechanism)
        uses.add_metric(names, use.count)
        times.add_metric(names, list(zip(bounds, accumulate(use.timed), strict=True)), use.seconds)
    failures = CounterMetricFamily("hsmbridge_operation_failures", "uses that failed", labels=("operation", "error"))
    for (operation, error), count in sorted(numbers.failures.items()):
        failures.add_metric((operation.lower(), error), count)
    yield from (uses, times, failures)


def _of_backups(numbers: Statistics) -> Iterator[Metric]:
    backups = CounterMetricFamily("hsmbridge_backups", "backups of this process", labels=("outcome",))
    for outcome in ("made", "failed"):
        backups.add_metric((outcome,), numbers.backups.get(outcome, 0))
    yield backups
    yield GaugeMetricFamily("hsmbridge_backup_newest", "time of the newest backup", value=numbers.newest_backup)


def _of_cluster(numbers: ClusterNumbers) -> Iterator[Metric]:
    members = GaugeMetricFamily("hsmbridge_cluster_members", "HSMs of the cluster", labels=("alive",))
    for alive in (True, False):
        members.add_metric((str(alive).lower(),), numbers.members.get(alive, 0))
    yield members
    for name, meaning, value in (
        ("hsmbridge_cluster_caught_up", "1 while the lease runs", int(numbers.caught_up)),
        ("hsmbridge_cluster_lease_age_seconds", "time since the last renewal of the lease", numbers.lease_age),
    ):
        yield GaugeMetricFamily(name, meaning, value=value)
    for name, meaning, count in (
        ("hsmbridge_cluster_lapses", "ends of the lease before its renewal", numbers.counts.lapses),
        ("hsmbridge_database_outages", "losses of the database, also by failover", numbers.counts.outages),
    ):
        yield CounterMetricFamily(name, meaning, value=count)
    bounds = [*map(str, BOUNDS), "+Inf"]
    for name, meaning, times in (
        ("hsmbridge_database_seconds", "time of a renewal of the lease", numbers.counts.database),
        ("hsmbridge_acknowledgement_seconds", "wait of a change for other HSMs", numbers.counts.acknowledgements),
    ):
        classes = list(zip(bounds, accumulate(times.counts), strict=True))
        yield HistogramMetricFamily(name, meaning, buckets=classes, sum_value=times.seconds)


@contextmanager
def served(
    hsm: Hsm, port: int | None, faults: Faults = dict, connections: Connections = dict
) -> Iterator[int | None]:  # fmt: skip
    """Serve metrics and health on a port of the loopback interface, and yield the port.

    Args:
        hsm: The HSM.
        faults: Returns the faults on demand that struck.
        connections: Returns the open connections.
        port: 0 picks a free port; ``None`` serves nothing.

    Raises:
        StateError: The port cannot be used.
    """
    if port is None:
        yield None
        return
    try:
        listening = make_server(LOOPBACK, port, _application(hsm, faults, connections), _Server, _Handler)
    except OSError as error:
        raise StateError(
            f"the metrics cannot have port {port} of {LOOPBACK}: {error.strerror}; choose another --metrics-port"
        ) from error
    with listening as server:
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _application(hsm: Hsm, faults: Faults, connections: Connections) -> WSGIApplication:
    registry = CollectorRegistry()
    registry.register(HsmCollector(hsm, faults, connections))
    ProcessCollector(registry=registry)
    metrics: WSGIApplication = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # Without this header the server sends its version and Python's.
        start = _with_header(start, ("Server", "hsmbridge"))
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start)
        if environ["PATH_INFO"] == "/healthz":
            troubles = hsm.troubles()
            status = "503 Service Unavailable" if troubles else "200 OK"
            body = "\n".join([*(troubles or ["ok"]), *hsm.warnings(), ""])
        else:
            status, body = "404 Not Found", "/metrics or /healthz\n"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [body.encode()]

    return answer


def _with_header(start: StartResponse, header: tuple[str, str]) -> StartResponse:
    return lambda status, headers, error=None, /: start(status, [*headers, header], error)


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in its own thread."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a peer that was too slow or has disconnected."""
        _log.debug("a request was not answered", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Log to the daemon's log."""
        _log.debug(format, *args)
