"""Quorum (M of N): which services take approvals, and how many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from hsmcore.errors import StoreDamaged

DEFAULT_VALUE = 1
"""The quorum value of a service that takes no approval."""
DEFAULT_TIMEOUT = 600
"""Seconds that a token may collect approvals, and that an approved one may be used."""


@dataclass(frozen=True, slots=True)
class QuorumRules:
    """Approvals that each service of the admins takes, and the tokens' timeouts in seconds; stored sealed."""

    values: Mapping[str, int] = field(
        default_factory=lambda: dict.fromkeys(("user", "quorum", "cluster"), DEFAULT_VALUE)
    )
    timeouts: Mapping[str, int] = field(
        default_factory=lambda: dict.fromkeys(("generated", "approved"), DEFAULT_TIMEOUT)
    )

    def encode(self) -> bytes:
        """Return the rules as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> QuorumRules:
        """Read what ``encode`` made. Raises ``StoreDamaged``."""
        plain = cls()
        try:
            read = json.loads(encoded)
            rules = cls(values=dict(read["values"]), timeouts=dict(read["timeouts"]))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreDamaged("the quorum values of this HSM are not readable; restore the state directory") from error
        if rules.values.keys() == plain.values.keys() and rules.timeouts.keys() == plain.timeouts.keys():
            return rules
        raise StoreDamaged("the quorum values of this HSM are not those of this version; restore the state directory")
