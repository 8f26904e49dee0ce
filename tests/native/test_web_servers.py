"""nginx and Apache, whose keys are in the HSM: handshakes, reload, restart, killed workers, docs/tls-offload.md."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import repeated
from tests.docs.pages import ROOT
from tests.docs.test_pkcs11 import console_blocks
from tests.native.engine import engine_site, libp11_variables, make_keys, run
from tests.native.proxy import Proxy
from tests.native.web_servers import (
    PORT,
    TLS12,
    TLS13,
    Storm,
    WebServer,
    apache,
    apache_with,
    handshake,
    nginx,
    nginx_with,
)
from tests.requirements import tool
from tests.site import Site

Started = Callable[[dict[str, str], Path, str], AbstractContextManager[WebServer]]
_PAGE = ROOT / "docs" / "tls-offload.md"
_NAMES = ("rsa", "ec")
# Certificate, version, and for TLS 1.2 the suite that chooses the certificate.
_WAYS = (
    ("rsa", TLS12, "ECDHE-RSA-AES128-GCM-SHA256"),
    ("ec", TLS12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("ec", TLS13, ""),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with engine_site(tmp_path_factory.mktemp("s")) as site:
        yield site


@pytest.fixture(scope="module")
def keys(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(site, tmp_path_factory.mktemp("keys"), _NAMES)


def _shake(server: WebServer, keys: Path, number: int) -> str:
    name, version, ciphers = _WAYS[number % len(_WAYS)]
    return handshake(server.port, keys / f"{name}.crt", version, ciphers)


def _restart(site: Site) -> None:
    site.must_here("stop")
    site.must("start")


def _restart_server(server: WebServer) -> None:
    server.stop()
    server.start()


def test_nginx_loses_no_handshake_but_those_in_flight(site: Site, keys: Path, tmp_path: Path) -> None:
    pairs = [(keys / f"{name}.crt", keys / f"{name}.key") for name in _NAMES]
    with nginx(site.environment, tmp_path / "nginx", nginx_with("ssl_engine cloudhsm;", *pairs)) as server:
        assert [_shake(server, keys, number) for number in range(2)] == [way[2] for way in _WAYS[:2]]
        storm = Storm(lambda number: _shake(server, keys, number), repeated(90, 600, "HSMBRIDGE_HANDSHAKES"))
        kill = storm.outage(server.kill_worker)
        restarts = (storm.outage(lambda: _restart(site)), storm.outage(lambda: _restart_server(server)))
        storm.run(server.reload, kill, restarts[0], kill, restarts[1], kill, server.reload)
        # Those of before the reload end after their last connection.
        deadline = time.monotonic() + 30
        while len(server.workers()) != 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(server.workers()) == 2


def test_apache_serves_with_keys_in_the_hsm(site: Site, keys: Path, tmp_path: Path) -> None:
    pairs = [(keys / f"{name}.crt", keys / f"{name}.key") for name in _NAMES]
    with apache(site.environment, tmp_path / "apache", apache_with("SSLCryptoDevice cloudhsm", *pairs)) as server:
        assert [_shake(server, keys, number) for number in range(2)] == [way[2] for way in _WAYS[:2]]
        storm = Storm(lambda number: _shake(server, keys, number), repeated(60, 300, "HSMBRIDGE_HANDSHAKES"))
        restarts = (storm.outage(lambda: _restart(site)), storm.outage(lambda: _restart_server(server)))
        storm.run(server.reload, *restarts)


def test_a_handshake_is_one_request(site: Site, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Proxy(tmp_path_factory.mktemp("p"), site.home).running() as proxy:
        environment = site.environment | {"HSM_HOME": str(proxy.home)}
        text = nginx_with("ssl_engine cloudhsm;", (keys / "ec.crt", keys / "ec.key"))
        text = text.replace("worker_processes 2", "worker_processes 1")
        with nginx(environment, tmp_path_factory.mktemp("n") / "nginx", text) as server:
            handshake(server.port, keys / "ec.crt", TLS13)
            proxy.count()
            for _ in range(10):
                handshake(server.port, keys / "ec.crt", TLS13)
            assert proxy.count() == 10


@pytest.mark.parametrize(
    ("start", "configuration", "head", "prefix"),
    [(nginx, nginx_with, "", "engine:pkcs11:"), (apache, apache_with, "SSLCryptoDevice pkcs11", "")],
    ids=["nginx", "apache"],
)
def test_web_servers_sign_through_libp11(
    site: Site, keys: Path, tmp_path: Path, start: Started, configuration: Callable[..., str], head: str, prefix: str
) -> None:
    variables = site.environment | libp11_variables(tmp_path)
    pairs = [(keys / f"{name}.crt", f"{prefix}pkcs11:token=hsm1;object={name};type=private") for name in _NAMES]
    with start(variables, tmp_path / "server", configuration(head, *pairs)) as server:
        for number in range(6):
            assert _shake(server, keys, number)
        server.reload()
        for number in range(6):
            assert _shake(server, keys, number)


@pytest.fixture(scope="module")
def made(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key and the certificate that the page's commands make."""
    folder = tmp_path_factory.mktemp("offload")
    environment = {name: value for name, value in site.environment.items() if not name.startswith("CLOUDHSM_")}
    (commands, _), _ = console_blocks(_PAGE)
    run(Site(site.home, environment | {"PATH": site.path}), folder, "bash", "-euc", commands)
    return folder


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)


def _check(site: Site, made: Path, server: WebServer) -> None:
    _, (commands, shown) = console_blocks(_PAGE)
    tool("curl")
    commands = commands.replace("localhost/", f"localhost:{server.port}/").replace(":443", f":{server.port}")
    said = run(site, made, "bash", "-euc", commands)
    assert shown
    assert all(line in said for line in shown), said


def test_the_pages_nginx_serves(site: Site, made: Path, tmp_path: Path) -> None:
    (text,) = _blocks("nginx")
    for place in ("/etc/pki/nginx/private", "/etc/pki/nginx"):
        text = text.replace(place, str(made))
    with nginx(site.environment, tmp_path / "nginx", text.replace("listen 443", f"listen 127.0.0.1:{PORT}")) as server:
        _check(site, made, server)


def test_the_pages_apache_serves(site: Site, made: Path, tmp_path: Path) -> None:
    head, host = _blocks("apache")
    for place, file in (("certs/localhost.crt", "server.crt"), ("private/localhost.key", "server.key")):
        host = host.replace(f"/etc/ssl/{place}", str(made / file))
    text = f"{head}\n<VirtualHost 127.0.0.1:{PORT}>\n{host}\n</VirtualHost>\n"
    with apache(site.environment, tmp_path / "apache", text) as server:
        _check(site, made, server)
