"""The HSM's settings, which are chosen at initialisation, stored sealed, and read-only afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import NamedTuple

from hsmcore.errors import StoreDamaged


class FirstUser(NamedTuple):
    """A user of a new HSM. ``verifier`` is the Argon2id hash of the password."""

    username: str
    role: str
    verifier: str

    def __repr__(self) -> str:
        return f"FirstUser({self.username!r}, {self.role!r})"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an HSM.

    ``clear_key_extraction`` lets the owner of an extractable key read its material. ``extractable_default`` is the
    default of EXTRACTABLE. ``strict_limits`` refuses data beyond the mechanism's ``limit``. ``strong_hashes`` refuses
    ECDSA signatures over a hash that is weaker than the key. ``allow_reset`` permits ``Hsm.reset``, which restores
    the users in ``first_users``; ``Hsm.initialize`` sets these. ``allow_faults`` permits faults on demand.
    """

    clear_key_extraction: bool = False
    extractable_default: bool = True
    strict_limits: bool = False
    strong_hashes: bool = False
    allow_reset: bool = False
    allow_faults: bool = False
    first_users: tuple[FirstUser, ...] = field(default=(), repr=False)

    def encode(self) -> bytes:
        """Return the settings as JSON."""
        values = asdict(self)
        if not self.first_users:
            del values["first_users"]
        return json.dumps(values).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Settings:
        """Read the settings from JSON.

        Raises:
            StoreDamaged: The JSON is not that of this version.
        """
        try:
            values = json.loads(encoded)
            users = tuple(FirstUser(*user) for user in values.pop("first_users", ()))
            if values.keys() <= _FLAGS and all(type(value) is bool for value in values.values()):
                return cls(**values, first_users=users)
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreDamaged("the settings of this HSM are not readable; restore the state directory") from error
        raise StoreDamaged("the settings of this HSM are not those of this version; restore the state directory")


_FLAGS = {field.name for field in fields(Settings) if field.type == "bool"}
