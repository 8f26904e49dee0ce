"""OpenSSL 3 through the PKCS #11 provider, with the configuration of docs/tls-offload.md."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clusters import free_port
from tests.native.cryptoki import library
from tests.requirements import tool
from tests.site import PASSWORD, Site, fresh_site

PROVIDER = "HSMBRIDGE_PKCS11_PROVIDER"
"""The variable that names the provider's file, if it is not in OpenSSL's directory of modules."""
_KEYS = {"ec": ("--curve", "secp256r1"), "rsa": ("--modulus-size-bits", "2048", "--public-exponent", "65537")}


def _provider() -> str:
    said = subprocess.run([tool("openssl"), "version", "-m"], capture_output=True, text=True, check=False).stdout
    folder = re.search(r'"(.*)"', said)
    path = os.environ.get(PROVIDER) or f"{folder[1] if folder else ''}/pkcs11.so"
    if not Path(path).exists():
        pytest.skip("OpenSSL's PKCS #11 provider is not installed (Debian 13: pkcs11-provider; Debian 12 has none)")
    return path


@dataclass(frozen=True)
class OpenSsl:
    """The command, with the provider, in a folder of its own."""

    site: Site
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["openssl", *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsl]:
    path, folder = _provider(), tmp_path_factory.mktemp("openssl")
    documented = Path(__file__).parents[2] / "docs" / "tls-offload.md"
    text = next(block for block in documented.read_text().split("```") if "pkcs11-module-path" in block)
    lines = {"module": path, "pkcs11-module-path": library(), "pkcs11-module-token-pin": f"cu1:{PASSWORD}"}
    for name, value in lines.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    (folder / "openssl.cnf").write_text(text.removeprefix("ini\n"))
    with fresh_site(tmp_path_factory.mktemp("s") / "hsm") as site:
        site.must("start")
        for number, (name, size) in enumerate(_KEYS.items(), 1):
            attributes = ("token=true", f"id=0x{number:02}")
            site.must("key", "generate-asymmetric-pair", name, *size, "--public-label", name, "--private-label", name,
                      "--public-attributes", *attributes, "--private-attributes", *attributes, "sign=true")  # fmt: skip
        own = {"OPENSSL_CONF": str(folder / "openssl.cnf"), "HSM_PKCS11_OPTIONS": "enable_read_only_sessions"}
        yield OpenSsl(site, folder, site.environment | own)


@pytest.mark.parametrize("name", _KEYS)
def test_certificates_signatures_and_handshakes(openssl: OpenSsl, name: str) -> None:
    key = f"pkcs11:token=hsm1;object={name};type=private"
    openssl.run("req", "-new", "-key", key, "-subj", "/CN=server", "-out", "csr")
    assert "OK" in openssl.run("req", "-in", "csr", "-noout", "-verify")
    openssl.run("x509", "-req", "-days", "365", "-in", "csr", "-signkey", key, "-out", "crt")
    assert "OK" in openssl.run("verify", "-CAfile", "crt", "crt")
    openssl.run("dgst", "-sha256", "-sign", key, "-out", "signature", "csr")
    public = f"pkcs11:token=hsm1;object={name};type=public"
    assert "Verified OK" in openssl.run("dgst", "-sha256", "-verify", public, "-signature", "signature", "csr")
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    serve = ["openssl", "s_server", "-accept", address, "-cert", "crt", "-key", key, "-www"]
    with subprocess.Popen(
        serve, cwd=openssl.folder, env=openssl.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if line.startswith("ACCEPT"):
                    break
            for version in ("-tls1_2", "-tls1_3"):
                said = subprocess.run(
                    ["openssl", "s_client", "-connect", address, version, "-CAfile", "crt", "-verify_return_error"],
                    cwd=openssl.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                )  # fmt: skip
                assert "Verify return code: 0 (ok)" in said.stdout, said.stdout + said.stderr
        finally:
            server.kill()
