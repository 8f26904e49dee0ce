"""An HSM with its daemon for the tests of a module, and the real programs that talk to it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tests.site
from tests import fork_server

BIN = Path(sys.executable).parent
PASSWORDS = {"admin": "admin-pass-1", "cu1": "first-pass-1", "cu2": "second-pass-2"}
ROLES = {"admin": "admin", "cu1": "crypto-user", "cu2": "crypto-user"}


@dataclass(frozen=True)
class Answer:
    """The result of a process: its exit status, its output, and the JSON objects in the output."""

    status: int
    text: str
    errors: str

    @property
    def objects(self) -> list[dict[str, object]]:
        """The JSON objects printed, in order."""
        decoder, rest, found = json.JSONDecoder(), self.text.lstrip(), []
        while rest:
            value, end = decoder.raw_decode(rest)
            found.append(value)
            rest = rest[end:].lstrip()
        return found

    @property
    def data(self) -> object:
        """The data of one successful command."""
        assert self.status == 0, self.text + self.errors
        (answer,) = self.objects
        assert answer["error_code"] == 0
        return answer["data"]

    @property
    def error(self) -> str:
        """The message of one failed command."""
        assert self.status == 1, self.text + self.errors
        (answer,) = self.objects
        assert answer["error_code"] == 1
        assert isinstance(answer["data"], str)
        return answer["data"]


@dataclass(frozen=True)
class Site:
    """A state directory and a directory for files."""

    home: Path
    work: Path

    def environment(self, user: str | None) -> dict[str, str]:
        """Return the environment of a process, with a user's login."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "CLOUDHSM_"))}
        kept |= {"HSM_HOME": str(self.home), "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "xterm"}
        if user is not None:
            kept |= {"CLOUDHSM_ROLE": ROLES[user], "CLOUDHSM_PIN": f"{user}:{PASSWORDS[user]}"}
        return kept

    def run(
        self, *words: str, user: str | None = None, typed: str = "", program: str = "cloudhsm-cli",
        variables: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Run a program."""
        environment = self.environment(user) | (variables or {})
        given = typed.encode("utf-8", "surrogateescape")
        done = fork_server.run((program, *words), environment, directory=self.work, given=given)
        return Answer(done.returncode, done.stdout, done.stderr)

    def state(self) -> object:
        """Return all that the HSM tells its users."""
        listed = [self.run("key", "list", "--verbose", "--max-items", "10000", user=user).data for user in PASSWORDS]
        asked = (
            ["user", "list"],
            ["quorum", "token-sign", "list-quorum-values"],
            ["quorum", "token-sign", "list-timeouts"],
        )
        return listed, [self.run(*words).data for words in asked]


def sign_token(key: Path, token: bytes) -> str:
    """Sign a token, which is a digest, as the user guide says, with openssl; return the signature in base64."""
    command = ["openssl", "pkeyutl", "-sign", "-inkey", str(key), "-pkeyopt", "digest:sha256"]
    signed = subprocess.run(command, input=token, capture_output=True, check=True, timeout=60)
    return base64.b64encode(signed.stdout).decode()


def make_key(directory: Path, name: str) -> Path:
    """Make a user's RSA key outside the HSM: ``name.pem``, and ``name-public.pem``."""
    key = directory / f"{name}.pem"
    for command in (
        ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)],
        ["pkey", "-in", str(key), "-pubout", "-out", str(directory / f"{name}-public.pem")],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=60)
    return key


def make_site(directory: Path) -> Site:
    """Make an HSM with an admin and two crypto users, and start its daemon."""
    site = Site(directory / "hsm", directory / "work")
    site.work.mkdir()
    environment = site.environment(None) | {
        "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORDS["cu1"], "HSM_ADMIN_PASSWORD": PASSWORDS["admin"],
    }  # fmt: skip
    # Passwords that this process sets have hashes of little cost.
    hsm = tests.site.Site(site.home, environment)
    hsm.must_here("init")
    hsm.must("start")
    added = site.run(
        "user", "create", "--username", "cu2", "--role", "crypto-user", "--password", PASSWORDS["cu2"], user="admin"
    )
    assert added.data == {"username": "cu2", "role": "crypto-user"}
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One HSM with a running daemon for the tests of a module."""
    made = make_site(tmp_path_factory.mktemp("cli"))
    yield made
    assert made.run("stop", program="hsm").status == 0
