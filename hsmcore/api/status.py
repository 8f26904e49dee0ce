"""Descriptions of an HSM and of the cluster that it is in. None needs a login."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from hsmcore.api.core import Core
from hsmcore.storage.database import FIRST_HSM


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """An HSM of a cluster. ``alive``: it runs and has renewed its lease lately. ``own``: it is the one that was asked.

    ``address`` is where clients reach it; empty where it listens on no network.
    """

    number: int
    name: str
    address: str
    alive: bool
    own: bool


def members(core: Core) -> list[MemberInfo]:
    """Return the HSMs of the cluster; an HSM alone is the only one.

    Raises:
        StoreUnreachable: The database does not answer.
    """
    cluster = core.cluster
    if cluster is None:
        return [MemberInfo(FIRST_HSM, f"hsm-{core.store.serial()[:11]}", "", alive=True, own=True)]
    return [
        MemberInfo(one.number, one.name, one.address, alive=cluster.alive(one), own=one.number == cluster.number)
        for one in cluster.members()
    ]


def status(core: Core, version: str) -> dict[str, Any]:
    """Return process, version, health, numbers of keys and sessions, and directory.

    Raises:
        StoreUnreachable: The database does not answer.
    """
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "version": version,
        "healthy": not core.log.trouble,
        "keys": len(core.ring),
        "sessions": len(core.sessions),
        "home": str(core.state.home or ""),
    }
    return found if core.cluster is None else found | {"hsms": [asdict(member) for member in members(core)]}


def info(core: Core, version: str) -> dict[str, Any]:
    """Return vendor, model, serial number and versions, and the members of a cluster.

    Raises:
        StoreUnreachable: The database does not answer.
    """
    major, minor, build = version.split(".")[:3]
    found = {
        "vendor": "hsmbridge",
        "model": "software HSM",
        "serial-number": core.store.serial(),
        "hardware-version-major": "0",
        "hardware-version-minor": "0",
        "firmware-version-major": major,
        "firmware-version-minor": minor,
        "firmware-build-number": build,
        "firmware-id": f"hsmbridge {version}",
        "fips-state": "0 [non-FIPS mode with single factor authentication]",
    }
    return found if core.cluster is None else found | {"members": [_shown(one) for one in members(core)]}


def _shown(member: MemberInfo) -> dict[str, str]:
    state = "ACTIVE" if member.alive else "NOT RESPONDING"
    return {"hsm-id": member.name, "number": str(member.number), "address": member.address, "state": state}
