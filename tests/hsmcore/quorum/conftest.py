"""An HSM with four admins, three of whom have registered a key for approvals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.sessions.session import Session
from tests.hsmcore.databases import copied
from tests.postgresql import Server
from tests.signing import Signer

PASSWORD = b"quorum-pass-1"
NEW = b"quorum-pass-2"
APPROVERS = ("admin", "ad2", "ad3")
"""Admins who have registered a key; ``ad4`` has not."""
GENERATED = 600


@dataclass
class Site:
    """An open HSM, the time that it sees, and the keys of its approvers."""

    hsm: Hsm
    home: Path
    now: list[float]
    signers: dict[str, Signer]

    def login(self, name: str, password: bytes = PASSWORD) -> Session:
        return self.hsm.users.login(name, password, "crypto-user" if name == "cu1" else "admin")

    def names(self) -> set[str]:
        return {user.username for user in self.hsm.users.all()}

    def raised(self, session: Session, value: int = 2) -> None:
        """Raise the values of quorum and user, in that order."""
        self.hsm.quorum.set_value(session, "quorum", value)
        self.present(session, "quorum", *APPROVERS[:value])
        self.hsm.quorum.set_value(session, "user", value)

    def file(self, session: Session, service: str, *approvers: str) -> bytes:
        """Return the file of a new token, signed by these approvers."""
        return self.signed(self.hsm.quorum.request(session, service), *approvers)

    def signed(self, file: bytes, *approvers: str) -> bytes:
        for name in approvers:
            file = self.signers[name].approved(file, name)
        return file

    def present(self, session: Session, service: str, *approvers: str) -> tuple[int, int]:
        return self.hsm.quorum.approve(session, self.file(session, service, *approvers))


def register(hsm: Hsm, session: Session, signer: Signer) -> None:
    """Register the key of an approver."""
    hsm.quorum.register(session, signer.public, signer.signed(hsm.quorum.request(session, "registration")))


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Signer(folder, name) for name in (*APPROVERS, "ad4", "cu1")}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, signers: dict[str, Signer]) -> Path:
    """A closed HSM whose values are all 1."""
    home = tmp_path_factory.mktemp("quorum") / "hsm"
    with Hsm.initialize(home, admin_password=PASSWORD) as hsm:
        admin = hsm.users.login("admin", PASSWORD, "admin")
        for name in ("ad2", "ad3", "ad4"):
            hsm.users.create(admin, name, "admin", PASSWORD)
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORD)
        for name in APPROVERS:
            register(hsm, hsm.users.login(name, PASSWORD, "admin"), signers[name])
    return home


@pytest.fixture
def site(template: Path, tmp_path: Path, signers: dict[str, Signer], engine: Server | None) -> Iterator[Site]:
    home, now = copied(engine, template, tmp_path / "hsm"), [1000.0]
    with Hsm.open(home, clock=lambda: now[0]) as hsm:
        yield Site(hsm, home, now, signers)


@pytest.fixture
def admin(site: Site) -> Session:
    """A session of ``admin`` in an HSM whose quorum and user values are 2."""
    session = site.login("admin")
    site.raised(session)
    return session
