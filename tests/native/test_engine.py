"""The OpenSSL engine: requests, certificates, and TLS servers whose keys are in the HSM."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import repeated
from tests.native.cryptoki import library
from tests.requirements import missing, tool
from tests.site import PASSWORD, Site, fresh_site

_ENGINE = Path(__file__).parents[2] / "bridge" / "libcloudhsm_openssl_engine.so"
KEYS = {
    "rsa": ("rsa", "--public-exponent", "65537", "--modulus-size-bits", "2048"),
    "ec": ("ec", "--curve", "secp256r1"),
    "p384": ("ec", "--curve", "secp384r1"),
    "k1": ("ec", "--curve", "secp256k1"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    library()
    if not _ENGINE.exists():
        missing("the OpenSSL engine was not built: OpenSSL's headers are missing (libssl-dev)")
    with fresh_site(tmp_path_factory.mktemp("s") / "hsm") as site:
        engines = tmp_path_factory.mktemp("engines")
        shutil.copy(_ENGINE, engines / "cloudhsm.so")
        own = {"CLOUDHSM_PIN": f"cu1:{PASSWORD}", "CLOUDHSM_ROLE": "crypto-user", "OPENSSL_ENGINES": str(engines)}
        site.must("start")
        yield Site(site.home, site.environment | own)


def _run(site: Site, folder: Path, *command: str, code: int = 0, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=site.environment | variables, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a reference PEM and a certificate of each key, made as the guide has it."""
    folder = tmp_path_factory.mktemp("keys")
    cli = (str(Path(sys.executable).with_name("cloudhsm-cli")),)
    for name, kind in KEYS.items():
        usages = ("sign=true", "decrypt=true") if name == "rsa" else ("sign=true",)
        _run(
            site, folder, *cli, "key", "generate-asymmetric-pair", *kind,
            "--public-label", name, "--private-label", name,
            "--public-attributes", "token=true", "--private-attributes", "token=true", *usages,
        )  # fmt: skip
        _run(
            site, folder, *cli, "key", "generate-file", "--encoding", "reference-pem", "--path", f"{name}.key",
            "--filter", f"attr.label={name}", "attr.class=private-key",
        )  # fmt: skip
        engine = ("-engine", "cloudhsm", "-keyform", "engine")
        request = ("-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        _run(site, folder, "openssl", "req", *engine, *request)
        signed = ("-req", "-days", "365", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-out", f"{name}.crt")
        _run(site, folder, "openssl", "x509", *engine, *signed)
    return folder


def test_the_engine_is_available(site: Site, tmp_path: Path) -> None:
    said = _run(site, tmp_path, tool("openssl"), "engine", "-t", "cloudhsm").split("\n")
    assert said[:2] == ["(cloudhsm) CloudHSM OpenSSL Engine", "     [ available ]"]


@pytest.mark.parametrize("name", KEYS)
def test_requests_and_certificates_are_signed_in_the_hsm(site: Site, keys: Path, name: str) -> None:
    assert "OK" in _run(site, keys, "openssl", "verify", "-CAfile", f"{name}.crt", f"{name}.crt")
    # The file has no private key: without the engine nothing is signed that verifies.
    _run(site, keys, "openssl", "x509", "-in", f"{name}.crt", "-pubkey", "-noout", "-out", f"{name}.pub")
    sign = ("openssl", "dgst", "-sha256", "-sign", f"{name}.key", "-out", f"{name}.sig")
    _run(site, keys, *sign, "-engine", "cloudhsm", f"{name}.csr")
    verify = ("openssl", "dgst", "-sha256", "-verify", f"{name}.pub", "-signature", f"{name}.sig", f"{name}.csr")
    assert "Verified OK" in _run(site, keys, *verify)
    _run(site, keys, *sign, "-engine", "cloudhsm", f"{name}.csr", code=1, CLOUDHSM_PIN="cu1:wrong-password")


def test_rsa_decryption_is_in_the_hsm(site: Site, keys: Path) -> None:
    (keys / "plain").write_bytes(b"a secret")
    _run(site, keys, "openssl", "pkeyutl", "-encrypt", "-certin", "-inkey", "rsa.crt", "-in", "plain", "-out", "sealed")
    decrypt = ("openssl", "pkeyutl", "-engine", "cloudhsm", "-decrypt", "-inkey", "rsa.key", "-in", "sealed")
    assert _run(site, keys, *decrypt) == "a secret"


def test_other_keys_stay_openssls_own(site: Site, keys: Path) -> None:
    for algorithm in ("rsa:2048", "ec"):
        more = ("-pkeyopt", "ec_paramgen_curve:prime256v1") if algorithm == "ec" else ()
        new = (
            "-x509",
            "-newkey",
            algorithm,
            *more,
            "-nodes",
            "-subj",
            "/CN=own",
            "-keyout",
            "own.key",
            "-out",
            "own.crt",
        )
        _run(site, keys, "openssl", "req", *new)
        _run(
            site,
            keys,
            "openssl",
            "dgst",
            "-engine",
            "cloudhsm",
            "-sha256",
            "-sign",
            "own.key",
            "-out",
            "own",
            "own.crt",
        )
        _run(site, keys, "openssl", "x509", "-in", "own.crt", "-pubkey", "-noout", "-out", "own.pub")
        verify = ("openssl", "dgst", "-sha256", "-verify", "own.pub", "-signature", "own", "own.crt")
        assert "Verified OK" in _run(site, keys, *verify)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


_CONFIGURATION = """
user root;
ssl_engine cloudhsm;
env CLOUDHSM_PIN; env HSM_HOME; env OPENSSL_ENGINES;
worker_processes 2; daemon off; pid nginx.pid; error_log error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {keys}/rsa.crt; ssl_certificate_key {keys}/rsa.key;
        ssl_certificate {keys}/ec.crt; ssl_certificate_key {keys}/ec.key;
        location / {{ return 200 ok; }}
    }}
}}
"""


@contextmanager
def _nginx(site: Site, keys: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(port=port, keys=keys))
    command = [tool("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, cwd=folder, env=site.environment) as server:
        try:
            _wait(port)
            yield server
        finally:
            server.terminate()
            server.wait(30)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx does not listen")


def _handshake(port: int, keys: Path, name: str, version: ssl.TLSVersion) -> str:
    """Make one handshake whose server's certificate is checked; return the cipher."""
    context = ssl.create_default_context(cafile=str(keys / f"{name}.crt"))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    if version is ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256" if name == "rsa" else "ECDHE-ECDSA-AES128-GCM-SHA256")
    with (
        socket.create_connection(("127.0.0.1", port), 60) as plain,
        context.wrap_socket(plain, server_hostname="any") as secured,
    ):
        return str(secured.cipher())


@pytest.mark.skipif(os.geteuid() != 0, reason="the configuration has `user root`, so that workers reach the daemon")
def test_nginx_serves_with_keys_in_the_hsm(site: Site, keys: Path, tmp_path: Path) -> None:
    port = _free_port()
    old, new = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    with _nginx(site, keys, tmp_path, port) as server:
        for _ in range(repeated(10, 2500, "HSMBRIDGE_HANDSHAKES")):
            assert "RSA" in _handshake(port, keys, "rsa", old)
            assert "ECDSA" in _handshake(port, keys, "ec", old)
            assert "TLS_AES" in _handshake(port, keys, "ec", new)
        site.must("stop")
        site.must("start")
        for _ in range(6):
            assert "ECDSA" in _handshake(port, keys, "ec", old)
        server.send_signal(1)
        for _ in range(6):
            assert "TLS_AES" in _handshake(port, keys, "ec", new)
