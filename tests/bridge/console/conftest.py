"""An HSM with keys and users, its daemon, and the console as a process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site

CREDENTIALS = {"admin": ("admin", ADMIN_PASSWORD), "crypto-user": ("cu1", PASSWORD)}


@dataclass(frozen=True)
class Console:
    """A running console: its origin, such as ``http://127.0.0.1:1234``, and its access key."""

    origin: str
    key: str

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, object]]:
        """Send a request, POST if there is a body, and return status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        given = ({} if body is None else {"Content-Type": "application/json"}) | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = urllib.request.Request(self.origin + path, data, given)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def login(self, role: str) -> str:
        """Log in and return the login's token."""
        name, password = CREDENTIALS[role]
        status, answer = self.ask("/api/login", {"key": self.key, "username": name, "password": password, "role": role})
        assert status == 200, answer
        return str(answer["token"])


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("console") / "hsm") as site:
        site.must("start", "--metrics-port", "0")
        for label, bits in (("payments", "32"), ("<b>archive</b>", "16")):
            site.must_here("key", "generate-symmetric", "aes", "--label", label, "--key-length-bytes", bits,
                      "--attributes", "encrypt=true")  # fmt: skip
        yield site


@pytest.fixture(scope="package")
def console(site: Site) -> Iterator[Console]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "console"], env=site.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"Console: (http://127\.0\.0\.1:\d+)/#([\w-]{22})\n", process.stdout.readline())
        assert found
        yield Console(found[1], found[2])
    finally:
        process.terminate()
        assert process.wait(60) == 0
