"""Two HSMs of one cluster, each in a process of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS
from tests.hsmcore.databases import copied, url_of
from tests.postgresql import Server

from .actor import Actor, Session


@dataclass(frozen=True)
class Pair:
    """Two HSMs, with sessions of the admin and of both crypto users at each."""

    url: str
    homes: tuple[Path, Path]
    hsms: tuple[Actor, Actor]
    admins: tuple[Session, Session]
    users: tuple[Session, Session]
    others: tuple[Session, Session]


def make_cluster(homes: tuple[Path, ...], url: str) -> None:
    """Make a cluster with an admin and two crypto users, and close its HSMs."""
    with Hsm.initialize(homes[0], admin_password=ADMIN_PASSWORD, store=url) as hsm:
        admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        for name, password in PASSWORDS.items():
            hsm.users.create(admin, name, "crypto-user", password)
    for home in homes[1:]:
        Hsm.join(home, url, key_file=(homes[0] / "master.key").read_bytes()).close()


@pytest.fixture
def url(server: Server) -> str:
    """An empty store."""
    return server.new()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, server: Server) -> tuple[Path, Path]:
    """The state directories of two closed HSMs of one cluster."""
    root = tmp_path_factory.mktemp("cluster")
    homes = (root / "one", root / "two")
    make_cluster(homes, server.new())
    return homes


@pytest.fixture
def pair(closed: tuple[Path, Path], tmp_path: Path, server: Server) -> Iterator[Pair]:
    """A copy of them, open."""
    homes = (copied(server, closed[0], tmp_path / "one"), Path(shutil.copytree(closed[1], tmp_path / "two")))
    url = url_of(homes[0])
    (homes[1] / "store.json").write_text(json.dumps({"url": url, "number": 2}))
    hsms: list[Actor] = []
    try:
        hsms = [Actor(home) for home in homes]
        admins = tuple(hsm.login("admin", ADMIN_PASSWORD, "admin") for hsm in hsms)
        users, others = (tuple(hsm.login(name, PASSWORDS[name]) for hsm in hsms) for name in ("cu1", "cu2"))
        yield Pair(url, homes, (hsms[0], hsms[1]), *(pair[:2] for pair in (admins, users, others)))  # type: ignore[arg-type]
    finally:
        for hsm in hsms:
            hsm.close()
