"""The OpenSSL engine: requests, certificates, signatures and decryption with keys in the HSM."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.engine import KEYS, engine_site, make_keys, run
from tests.requirements import tool
from tests.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with engine_site(tmp_path_factory.mktemp("s")) as site:
        yield site


@pytest.fixture(scope="module")
def keys(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a reference PEM and a certificate of each key."""
    return make_keys(site, tmp_path_factory.mktemp("keys"), KEYS)


def test_the_engine_is_available(site: Site, tmp_path: Path) -> None:
    said = run(site, tmp_path, tool("openssl"), "engine", "-t", "cloudhsm").split("\n")
    assert said[:2] == ["(cloudhsm) CloudHSM OpenSSL Engine", "     [ available ]"]


@pytest.mark.parametrize("name", KEYS)
def test_requests_and_certificates_are_signed_in_the_hsm(site: Site, keys: Path, name: str) -> None:
    assert "OK" in run(site, keys, "openssl", "verify", "-CAfile", f"{name}.crt", f"{name}.crt")
    # The file has no private key: without the engine nothing is signed that verifies.
    run(site, keys, "openssl", "x509", "-in", f"{name}.crt", "-pubkey", "-noout", "-out", f"{name}.pub")
    sign = ("openssl", "dgst", "-sha256", "-sign", f"{name}.key", "-out", f"{name}.sig")
    run(site, keys, *sign, "-engine", "cloudhsm", f"{name}.csr")
    verify = ("openssl", "dgst", "-sha256", "-verify", f"{name}.pub", "-signature", f"{name}.sig", f"{name}.csr")
    assert "Verified OK" in run(site, keys, *verify)
    run(site, keys, *sign, "-engine", "cloudhsm", f"{name}.csr", code=1, CLOUDHSM_PIN="cu1:wrong-password")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"CLOUDHSM_PIN": "cu1:wrong-password"}, "the HSM refuses the login of CLOUDHSM_PIN"),
        ({"HSM_HOME": "/nowhere"}, "no HSM answers at /nowhere/hsm.sock"),
        ({"HSM_PKCS11_CONFIG": "/no.cfg"}, "the configuration file /no.cfg cannot be read"),
        ({}, "CLOUDHSM_PIN is not set"),
    ],
)
def test_a_failure_has_a_reason(site: Site, keys: Path, variables: dict[str, str], reason: str) -> None:
    environment = {name: value for name, value in site.environment.items() if variables or name != "CLOUDHSM_PIN"}
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", "ec.key", "-engine", "cloudhsm", "-out", "no.sig", "ec.crt"],
        cwd=keys, env=environment | variables, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert reason in done.stderr


def test_rsa_decryption_is_in_the_hsm(site: Site, keys: Path) -> None:
    (keys / "plain").write_bytes(b"a secret")
    run(site, keys, "openssl", "pkeyutl", "-encrypt", "-certin", "-inkey", "rsa.crt", "-in", "plain", "-out", "sealed")
    decrypt = ("openssl", "pkeyutl", "-engine", "cloudhsm", "-decrypt", "-inkey", "rsa.key", "-in", "sealed")
    assert run(site, keys, *decrypt) == "a secret"


def test_other_keys_stay_openssls_own(site: Site, keys: Path) -> None:
    for algorithm in (("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
        new = ("-newkey", *algorithm, "-nodes", "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.crt")
        run(site, keys, "openssl", "req", "-x509", *new)
        sign = ("-sha256", "-sign", "own.key", "-out", "own", "own.crt")
        run(site, keys, "openssl", "dgst", "-engine", "cloudhsm", *sign)
        run(site, keys, "openssl", "x509", "-in", "own.crt", "-pubkey", "-noout", "-out", "own.pub")
        verify = ("openssl", "dgst", "-sha256", "-verify", "own.pub", "-signature", "own", "own.crt")
        assert "Verified OK" in run(site, keys, *verify)
