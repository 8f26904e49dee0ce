"""Java over TLS on a slow network, and on connections whose other end has vanished without a word."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import jdk
from tests.relay import Relay, relaying
from tests.site import Site, fresh_site

from .conftest import programs
from .test_members import tell
from .test_tls import HOST, free_port

DELAY = 0.1
"""Seconds from one end to the other."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    with fresh_site(tmp_path_factory.mktemp("hsm") / "hsm") as site:
        site.must_here("cluster", "initialize", "--new-ca", str(site.home.with_name("ca")), "--name", HOST)
        words = "--curve secp256r1 --public-label shared --private-label shared --private-attributes sign=true"
        site.must_here("key", "generate-asymmetric-pair", "ec", *words.split())
        port = free_port()
        site.must("start", "--listen", f"{HOST}:{port}")
        yield site, port


@contextmanager
def program(site: Site, folder: Path, relay: Relay) -> Iterator[subprocess.Popen[str]]:
    """Run a program that reaches the HSM through a relay."""
    cluster = {
        "hsm_ca_file": str(site.home / "customerCA.crt"), "servers": [{"hostname": HOST, "port": relay.port}],
        "options": {"disable_key_availability_check": True},
    }  # fmt: skip
    path = folder / "relay.cfg"
    path.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": cluster}]}))
    options = [f"-Dhsmbridge.config={path}", "-Dhsmbridge.timeout=4"]
    kept = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    with subprocess.Popen(
        [*jdk.command("java"), *options, "-cp", programs(), "Members"],
        env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as running:  # fmt: skip
        try:
            yield running
        finally:
            running.kill()


def test_a_slow_network_and_a_vanished_server(site: tuple[Site, int], tmp_path: Path) -> None:
    with relaying(HOST, (HOST, site[1])) as relay:
        relay.delay = DELAY
        with program(site[0], tmp_path, relay) as running:
            # Short requests in four threads, then two megabytes in parts.
            for command in ("use 12", "session", "multi"):
                assert tell(running, command) == "ok"
            relay.delay = 0.0
            relay.hole = True
            assert f"the HSM at {HOST}:{relay.port} has not answered for 4 s" in tell(running, "use 1")
            relay.hole = False
            assert tell(running, "use 8") == "ok"
