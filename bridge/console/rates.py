"""Rates and times of operations, read from the daemon's metrics."""

from __future__ import annotations

import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

LOOPBACK_URL = "http://127.0.0.1:"
_SECONDS = 5.0
_LARGEST = 4 * 1024 * 1024
"""Longest text of metrics that is read, in bytes."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens an address of this machine, whatever proxy the environment names."""

Rows = list[dict[str, object]]


def read(url: str) -> Rows:
    """Return the numbers of each operation from the metrics at an address of the loopback interface.

    A row has ``operation``, ``count`` and ``failures`` since the start of the daemon, and ``median`` and ``slow``: the
    times in seconds within which half and 95 of 100 timed uses ended, null without one.

    Raises:
        ValueError: The address is of another machine, or the text is too long.
        OSError: Nobody answers there.
    """
    if not url.startswith(LOOPBACK_URL):
        raise ValueError("metrics are read from the loopback interface only")
    with _DIRECT.open(url, timeout=_SECONDS) as answer:
        text = answer.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"the metrics are longer than {_LARGEST} bytes")
    return rows(text_string_to_metric_families(text.decode()))


def rows(families: Iterable[Metric]) -> Rows:
    """Return the numbers of each operation, over all mechanisms."""
    counts: dict[str, float] = defaultdict(float)
    failures: dict[str, float] = defaultdict(float)
    buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for family in families:
        for sample in family.samples:
            operation = sample.labels.get("operation", "")
            if sample.name == "hsmbridge_operations_total":
                counts[operation] += sample.value
            elif sample.name == "hsmbridge_operation_failures_total":
                failures[operation] += sample.value
            elif sample.name == "hsmbridge_operation_seconds_bucket":
                buckets[operation][float(sample.labels["le"])] += sample.value
    return [
        {
            "operation": operation,
            "count": int(counts[operation]),
            "failures": int(failures[operation]),
            "median": within(buckets[operation], 0.5),
            "slow": within(buckets[operation], 0.95),
        }
        for operation in sorted(counts.keys() | failures.keys())
    ]


def within(cumulative: Mapping[float, float], part: float) -> float | None:
    """Return the time within which a part of the uses ended, from cumulative counts by upper bound.

    Inside a bucket, uses are taken to be spread evenly. For longer times than the last bound, it is that bound.
    """
    bounds: Sequence[float] = sorted(cumulative)
    total = cumulative[bounds[-1]] if bounds else 0
    if not total:
        return None
    below, before = 0.0, 0.0
    for bound in bounds:
        count = cumulative[bound]
        if count >= part * total:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (part * total - before) / (count - before)
        below, before = bound, count
    return below
