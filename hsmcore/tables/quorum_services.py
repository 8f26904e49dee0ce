"""The quorum services, one row a service: kinds of operations that take approvals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hsmcore.tables.roles import ADMIN, CRYPTO_USER


@dataclass(frozen=True, slots=True)
class Service:
    """A quorum service. Users of the ``role`` request and approve its tokens; ``label`` is its name in a token file.

    CloudHSM's known numbers are 3, 4 and 5, its known labels those of ``user`` and ``key-usage``; the others are
    specific to this HSM. The quorum value of a service with an ``attribute`` is that attribute of each key.
    """

    number: int
    label: str
    role: str
    attribute: str = ""


SERVICES: Mapping[str, Service] = {
    "user": Service(3, "user-management", ADMIN),
    "quorum": Service(4, "quorum-management", ADMIN),
    "cluster": Service(6, "cluster-management", ADMIN),
    "key-usage": Service(5, "key-usage", CRYPTO_USER, "USE_QUORUM"),
    "key-management": Service(7, "key-management", CRYPTO_USER, "MANAGE_QUORUM"),
}

KEY_SERVICES = tuple(name for name, service in SERVICES.items() if service.attribute)

MAX_APPROVALS = 8
"""The largest quorum value."""
