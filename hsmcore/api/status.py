"""Descriptions of an HSM and of the cluster that it is in. None needs a login."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from hsmcore.api.core import Core
from hsmcore.primitives.secrecy import random_bytes
from hsmcore.storage.database import FIRST_HSM


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """An HSM of a cluster. ``alive``: it runs and has renewed its lease lately. ``own``: it is the one that was asked.

    ``address`` is where clients reach it, several with commas between them; empty where it listens on no network.
    ``process`` is a random number of the process that has it.
    """

    number: int
    name: str
    address: str
    alive: bool
    own: bool
    process: str


class StatusService:
    """Describes an HSM and its cluster. ``address`` is where clients reach the HSM, empty for no network."""

    def __init__(self, core: Core, version: str) -> None:
        self._core = core
        self._version = version
        self.address = ""
        self._process = random_bytes(16).hex()

    def members(self) -> list[MemberInfo]:
        """Return the HSMs of the cluster; an HSM alone is the only one.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        cluster = self._core.cluster
        if cluster is None:
            name = f"hsm-{self._core.store.serial()[:11]}"
            return [MemberInfo(FIRST_HSM, name, self.address, alive=True, own=True, process=self._process)]
        return [
            MemberInfo(
                one.number, one.name, one.address, alive=cluster.alive(one), own=one.number == cluster.number,
                process=one.process,
            )
            for one in cluster.members()
        ]  # fmt: skip

    def alive_members(self) -> int:
        """Return how many HSMs of the cluster are alive, as this HSM has seen last without asking the database."""
        cluster = self._core.cluster
        return 1 if cluster is None else 1 + sum(alive for _, alive in cluster.known())

    def set_address(self, address: str) -> None:
        """Set where clients reach this HSM, which the other HSMs of its cluster tell them too.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        self.address = address
        if self._core.cluster is not None:
            self._core.cluster.set_address(address)

    def status(self) -> dict[str, Any]:
        """Return process, version, health, numbers of keys and sessions, and directory.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        core = self._core
        found: dict[str, Any] = {
            "pid": os.getpid(),
            "version": self._version,
            "healthy": not core.log.trouble,
            "keys": len(core.ring),
            "sessions": len(core.sessions),
            "home": str(core.state.home or ""),
        }
        return found if core.cluster is None else found | {"hsms": [asdict(member) for member in self.members()]}

    def info(self) -> dict[str, Any]:
        """Return vendor, model, serial number and versions, and the members of a cluster.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        major, minor, build = self._version.split(".")[:3]
        found = {
            "vendor": "hsmbridge",
            "model": "software HSM",
            "serial-number": self._core.store.serial(),
            "hardware-version-major": "0",
            "hardware-version-minor": "0",
            "firmware-version-major": major,
            "firmware-version-minor": minor,
            "firmware-build-number": build,
            "firmware-id": f"hsmbridge {self._version}",
            "fips-state": "0 [non-FIPS mode with single factor authentication]",
        }
        return found if self._core.cluster is None else found | {"members": [_shown(one) for one in self.members()]}


def _shown(member: MemberInfo) -> dict[str, str]:
    state = "ACTIVE" if member.alive else "NOT RESPONDING"
    return {"hsm-id": member.name, "number": str(member.number), "address": member.address, "state": state}
