"""Tomcat serves HTTPS with keys in the HSM, set up as AWS's guide does; ``curl`` is the client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consumers.application import Application
from tests.consumers.conftest import KEYS
from tests.requirements import tool


@pytest.fixture(scope="module", params=["first", "last"])
def ports(request: pytest.FixtureRequest, library_user: Application, store: Path) -> Iterator[dict[str, str]]:
    """The port of each alias."""
    with library_user.started("Web", request.param, store, library_user.folder, *KEYS) as lines:
        yield dict(line.split() for line in lines[:-1])


@pytest.mark.parametrize("alias", KEYS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_gets_a_page(ports: dict[str, str], store: Path, alias: str, version: str) -> None:
    command = [tool("curl"), "--silent", "--show-error", "--verbose", "--max-time", "60"]
    only = ["--tls-max", version, f"--tlsv{version}", "--cacert", str(store.with_name(f"{alias}.pem"))]
    done = subprocess.run([*command, *only, f"https://localhost:{ports[alias]}/"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "served over https\n"
    assert f"SSL connection using TLSv{version}" in done.stderr
    assert f"subject: CN={alias}" in done.stderr


def test_curl_refuses_it_without_the_certificate(ports: dict[str, str], store: Path) -> None:
    other = str(store.with_name("ec.pem"))
    command = [tool("curl"), "--silent", "--show-error", "--cacert", other, f"https://localhost:{ports['rsa']}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # CURLE_PEER_FAILED_VERIFICATION
    assert done.returncode == 60, done.stderr
