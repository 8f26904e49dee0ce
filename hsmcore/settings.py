"""The HSM's settings, which are chosen at initialisation, stored sealed, and read-only afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from hsmcore.errors import StoreDamaged


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an HSM.

    ``clear_key_extraction`` lets the owner of an extractable key read its material. ``extractable_default`` is the
    default of EXTRACTABLE. ``strict_limits`` refuses data beyond the mechanism's ``limit``. ``strong_hashes`` refuses
    ECDSA signatures over a hash that is weaker than the key.
    """

    clear_key_extraction: bool = False
    extractable_default: bool = True
    strict_limits: bool = False
    strong_hashes: bool = False

    def encode(self) -> bytes:
        """Return the settings as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> Settings:
        """Read the settings from JSON.

        Raises:
            StoreDamaged: The JSON is not that of this version.
        """
        try:
            values = json.loads(encoded)
            known = {field.name for field in fields(cls)}
            if values.keys() <= known and all(type(value) is bool for value in values.values()):
                return cls(**values)
        except (ValueError, AttributeError) as error:
            raise StoreDamaged("the settings of this HSM are not readable; restore the state directory") from error
        raise StoreDamaged("the settings of this HSM are not those of this version; restore the state directory")
