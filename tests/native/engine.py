"""An HSM for the OpenSSL engine, and reference PEM files with certificates, made as the guide has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import fork_server
from tests.native.cryptoki import library
from tests.requirements import missing
from tests.site import PASSWORD, Site, fresh_site

ENGINE = Path(__file__).parents[2] / "bridge" / "libcloudhsm_openssl_engine.so"
LIBP11 = Path("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
KEYS = {
    "rsa": ("rsa", "--public-exponent", "65537", "--modulus-size-bits", "2048"),
    "ec": ("ec", "--curve", "secp256r1"),
    "p384": ("ec", "--curve", "secp384r1"),
    "k1": ("ec", "--curve", "secp256k1"),
}


@contextmanager
def engine_site(folder: Path) -> Iterator[Site]:
    """Yield an HSM that runs, with the variables by which OpenSSL finds the engine; skip where it was not built."""
    library()
    if not ENGINE.exists():
        missing("the OpenSSL engine was not built: OpenSSL's headers are missing (libssl-dev)")
    with fresh_site(folder / "hsm") as site:
        engines = folder / "engines"
        engines.mkdir()
        shutil.copy(ENGINE, engines / "cloudhsm.so")
        own = {"CLOUDHSM_PIN": f"cu1:{PASSWORD}", "CLOUDHSM_ROLE": "crypto-user", "OPENSSL_ENGINES": str(engines)}
        site.must("start")
        yield Site(site.home, site.environment | own)


def run(site: Site, folder: Path, *command: str, code: int = 0, **variables: str) -> str:
    """Run a command, expect success, or failure with another ``code`` than 0, and return what it printed."""
    environment = site.environment | variables
    if command[0] == "cloudhsm-cli":
        done = fork_server.run(command, environment, directory=folder)
    else:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return done.stdout


def make_keys(site: Site, folder: Path, names: Iterable[str]) -> Path:
    """Make keys; write ``NAME.key``, the reference PEM, ``NAME.csr`` and ``NAME.crt`` of each, and return the folder.

    libp11 finds the public key of an EC key by its ID.
    """
    for name in names:
        usages = ("sign=true", "decrypt=true") if name == "rsa" else ("sign=true",)
        run(
            site, folder, "cloudhsm-cli", "key", "generate-asymmetric-pair", *KEYS[name],
            "--public-label", name, "--private-label", name,
            "--public-attributes", "token=true", f"id=0x{name.encode().hex()}",
            "--private-attributes", "token=true", f"id=0x{name.encode().hex()}", *usages,
        )  # fmt: skip
        run(
            site, folder, "cloudhsm-cli", "key", "generate-file", "--encoding", "reference-pem",
            "--path", f"{name}.key", "--filter", f"attr.label={name}", "attr.class=private-key",
        )  # fmt: skip
        engine = ("-engine", "cloudhsm", "-keyform", "engine")
        request = ("-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        run(site, folder, "openssl", "req", *engine, *request)
        signed = ("-req", "-days", "365", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-out", f"{name}.crt")
        run(site, folder, "openssl", "x509", *engine, *signed)
    return folder


def libp11_variables(folder: Path) -> dict[str, str]:
    """Write a configuration of OpenSSL with libp11's engine ``pkcs11``, and return the variables of its programs."""
    if not LIBP11.exists():
        missing("libp11's engine for OpenSSL is missing (libengine-pkcs11-openssl)")
    configuration = folder / "openssl.cnf"
    configuration.write_text(
        f"openssl_conf = all\n[all]\nengines = list\n[list]\npkcs11 = own\n[own]\nengine_id = pkcs11\n"
        f"dynamic_path = {LIBP11}\nMODULE_PATH = {library()}\nPIN = cu1:{PASSWORD}\ninit = 1\n"
        "[req]\ndistinguished_name = name\n[name]\n"
    )
    options = "enable_certificate_storage,enable_read_only_sessions"
    return {"OPENSSL_CONF": str(configuration), "HSM_PKCS11_OPTIONS": options}
