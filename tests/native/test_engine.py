"""The OpenSSL engine: requests, certificates, signatures and decryption with keys in the HSM."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

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


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
def test_rsa_signatures_of_every_hash(site: Site, keys: Path, digest: str) -> None:
    run(site, keys, "openssl", "x509", "-in", "rsa.crt", "-pubkey", "-noout", "-out", "rsa.pub")
    variables = {
        "n3fips_password" if name == "CLOUDHSM_PIN" else name: value for name, value in site.environment.items()
    }
    older = Site(site.home, variables)
    for options in ((), ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")):
        use = ("openssl", "dgst", f"-{digest}", *options)
        # The PIN's variable has the name that SDK 3 has.
        run(older, keys, *use, "-engine", "cloudhsm", "-sign", "rsa.key", "-out", "hashed", "rsa.csr")
        assert "Verified OK" in run(site, keys, *use, "-verify", "rsa.pub", "-signature", "hashed", "rsa.csr")


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


@pytest.mark.parametrize(
    "wrong", ["garbage", "cut", "empty", "directory", "missing", "public", "of no key", "another curve"]
)
def test_a_wrong_key_file_is_refused(site: Site, keys: Path, tmp_path: Path, wrong: str) -> None:
    """The command ends with an error, by no signal."""
    reference, path = (keys / "ec.key").read_text(), tmp_path / "wrong.key"
    contents = {"garbage": "garbage", "cut": reference[:90], "empty": ""}
    if wrong in contents:
        path.write_text(contents[wrong])
    elif wrong == "directory":
        path.mkdir()
    elif wrong == "public":
        run(site, keys, "openssl", "ec", "-in", "ec.key", "-pubout", "-out", str(path))
    elif wrong != "missing":
        curve = "secp521r1" if wrong == "another curve" else "prime256v1"
        path.write_bytes(_reference(curve))
    for mode in ((), ("-keyform", "engine")):
        done = subprocess.run(
            [tool("openssl"), "dgst", "-engine", "cloudhsm", *mode, "-sha256", "-sign", str(path), "ec.crt"],
            cwd=keys, env=site.environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1, (wrong, mode, done.returncode, done.stderr)


def _reference(curve: str) -> bytes:
    """Return a reference PEM of a key that the HSM does not have."""
    made = ec.derive_private_key(12345, ec.SECP521R1() if curve == "secp521r1" else ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def test_other_keys_stay_openssls_own(site: Site, keys: Path) -> None:
    for algorithm in (("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
        new = ("-newkey", *algorithm, "-nodes", "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.crt")
        run(site, keys, "openssl", "req", "-x509", *new)
        sign = ("-sha256", "-sign", "own.key", "-out", "own", "own.crt")
        run(site, keys, "openssl", "dgst", "-engine", "cloudhsm", *sign)
        run(site, keys, "openssl", "x509", "-in", "own.crt", "-pubkey", "-noout", "-out", "own.pub")
        verify = ("openssl", "dgst", "-sha256", "-verify", "own.pub", "-signature", "own", "own.crt")
        assert "Verified OK" in run(site, keys, *verify)
