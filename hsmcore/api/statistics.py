"""Numbers about an HSM, for whoever watches it: no names of users or keys, no handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsmcore.sessions.usage_counts import Uses


@dataclass(frozen=True, slots=True)
class Statistics:
    """How an HSM is and what it has done since it was opened.

    ``troubles`` says what is wrong, nothing where all is well. ``keys`` counts by (``token`` or ``session``, key class,
    key type), ``sessions`` by role, ``users`` by role and whether locked, without the appliance user, ``cached`` by
    kind of what is kept for speed.
    """

    troubles: Sequence[str]
    keys: Mapping[tuple[str, str, str], int]
    sessions: Mapping[str, int]
    users: Mapping[tuple[str, bool], int]
    multipart: int
    cached: Mapping[str, int]
    audit_entries: int
    uses: Sequence[Uses]
    failures: Mapping[tuple[str, str], int]
