"""The quorum services: kinds of operations that take approvals, one row a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hsmcore.tables.roles import ADMIN, CRYPTO_USER


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of operations; ``role`` asks for its tokens and approves them, ``label`` is its name in an approval file.

    CloudHSM's known numbers are 3, 4 and 5, its known labels those of ``user`` and ``key-usage``; the others are of
    this HSM. A service with an ``attribute`` has no value of its own but one for each key, in that attribute.
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
