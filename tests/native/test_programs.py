"""Programs of the distribution that load the library, against a daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_pkcs11 import console_blocks
from tests.native.cryptoki import library
from tests.requirements import missing, tool
from tests.site import PASSWORD, Site, fresh_site

_PAGE = Path(__file__).parents[2] / "docs" / "pkcs11.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    library()
    with fresh_site(tmp_path_factory.mktemp("s") / "hsm") as site:
        site.must("start")
        yield site


class Pkcs11Tool:
    """``pkcs11-tool`` of OpenSC, logged in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._command = [
            tool("pkcs11-tool"), "--module", str(library()), "--session-rw", "--login", "--pin", f"cu1:{PASSWORD}",
        ]  # fmt: skip

    def run(self, *arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._site.environment | variables, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def generate(self, *arguments: str) -> str:
        return self.run("--keypairgen", "--private", *arguments)


@pytest.fixture(scope="module")
def pkcs11_tool(site: Site) -> Pkcs11Tool:
    return Pkcs11Tool(site)


def test_pkcs11_tool_tests_the_library(pkcs11_tool: Pkcs11Tool) -> None:
    pkcs11_tool.generate("--key-type", "rsa:2048", "--label", "tested", "--id", "77")
    report = pkcs11_tool.run("--test")
    assert "No errors" in report
    for line in ("SHA256: OK", "SHA256-RSA-PKCS: OK", "RSA-PKCS-OAEP: ", "RSA-PKCS: OK"):
        assert line in report, report


def test_pkcs11_tool_lists_what_it_generated(pkcs11_tool: Pkcs11Tool) -> None:
    pkcs11_tool.generate("--key-type", "EC:secp384r1", "--label", "listed", "--id", "78")
    pkcs11_tool.run("--keygen", "--private", "--sensitive", "--key-type", "AES:32", "--label", "secret")
    listed = pkcs11_tool.run("--list-objects")
    for line in ("label:      listed", "Private Key Object; EC", "Public Key Object; EC  EC_POINT 384 bits"):
        assert line in listed, listed
    assert "Secret Key Object; AES length 32" in listed
    pkcs11_tool.run("--delete-object", "--type", "secrkey", "--label", "secret")
    assert "secret" not in pkcs11_tool.run("--list-objects")


def test_the_pages_commands_do_what_they_say(site: Site, tmp_path: Path) -> None:
    tool("pkcs11-tool")
    for commands, output in console_blocks(_PAGE):
        done = subprocess.run(
            ["bash", "-euc", commands.replace("hsm start\n", "")],
            cwd=tmp_path, env=site.environment | {"PATH": site.path}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for line in output:
            assert line in done.stdout, done.stdout


ENGINE = Path("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
_STORED = {"HSM_PKCS11_OPTIONS": "enable_certificate_storage"}
"""Options of programs that read certificates."""
_READ_ONLY = {"HSM_PKCS11_OPTIONS": "enable_certificate_storage,enable_read_only_sessions"}
"""Options of programs that open read-only sessions too."""


def _run(site: Site, folder: Path, *command: str, **variables: str) -> str:
    environment = site.environment | variables
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def signer(site: Site, pkcs11_tool: Pkcs11Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cert.pem``, the certificate of the key ``signer`` that OpenSSL makes through libp11's engine.

    The certificate is in the HSM too.
    """
    if not ENGINE.exists():
        missing("libp11's engine for OpenSSL is missing (libengine-pkcs11-openssl)")
    folder = tmp_path_factory.mktemp("signer")
    pkcs11_tool.generate("--key-type", "rsa:2048", "--label", "signer", "--id", "55")
    (folder / "openssl.cnf").write_text(
        f"openssl_conf = all\n[all]\nengines = list\n[list]\npkcs11 = own\n[own]\nengine_id = pkcs11\n"
        f"dynamic_path = {ENGINE}\nMODULE_PATH = {library()}\nPIN = cu1:{PASSWORD}\ninit = 0\n"
        "[req]\ndistinguished_name = name\n[name]\n"
    )
    engine = {"OPENSSL_CONF": "openssl.cnf", **_READ_ONLY}
    key = "pkcs11:token=hsm1;object=signer;type=private"
    _run(
        site, folder, "openssl", "req", "-engine", "pkcs11", "-keyform", "engine", "-new", "-x509", "-key", key,
        "-subj", "/CN=signer", "-out", "cert.pem", **engine,
    )  # fmt: skip
    _run(
        site, folder, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign",
        f"{key};pin-value=cu1:{PASSWORD}", "-out", "signature", "cert.pem", **engine,
    )  # fmt: skip
    _run(site, folder, "openssl", "x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der")
    store = ("--write-object", str(folder / "cert.der"), "--type", "cert", "--label", "signer", "--id", "55")
    pkcs11_tool.run(*store, **_STORED)
    return folder


def test_openssl_signs_through_libp11s_engine(site: Site, signer: Path) -> None:
    assert "OK" in _run(site, signer, "openssl", "verify", "-CAfile", "cert.pem", "cert.pem")
    public = _run(site, signer, "openssl", "x509", "-in", "cert.pem", "-pubkey", "-noout")
    (signer / "public.pem").write_text(public)
    verified = ("openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "cert.pem")
    assert "Verified OK" in _run(site, signer, *verified)


def test_keytool_and_jarsigner_use_the_library_through_sunpkcs11(site: Site, signer: Path) -> None:
    (signer / "sun.cfg").write_text(f"name = hsm1\nlibrary = {library()}\nslot = 0\n")
    store = ("-keystore", "NONE", "-storetype", "PKCS11", "-storepass", f"cu1:{PASSWORD}")
    sun = ("-addprovider", "SunPKCS11", "-providerarg", "sun.cfg")
    listed = _run(site, signer, "keytool", "-list", *store, *sun, **_STORED)
    assert "signer, PrivateKeyEntry" in listed
    (signer / "file.txt").write_text("signed")
    _run(site, signer, "jar", "cf", "app.jar", "file.txt")
    assert "jar signed." in _run(site, signer, "jarsigner", *store, *sun, "app.jar", "signer", **_STORED)
    assert "jar verified." in _run(site, signer, "jarsigner", "-verify", "app.jar")


def test_p11tool_lists_the_token(site: Site, signer: Path) -> None:
    command = (tool("p11tool"), "--provider", str(library()), "--login", "--set-pin", f"cu1:{PASSWORD}", "--list-all")
    listed = _run(site, signer, *command, "pkcs11:token=hsm1", **_READ_ONLY)
    assert "object=signer;type=private" in listed
    assert "object=signer;type=cert" in listed


def test_ssh_keygen_prints_the_public_keys(site: Site, signer: Path) -> None:
    ask = signer / "ask"
    ask.write_text(f"#!/bin/sh\necho cu1:{PASSWORD}\n")
    ask.chmod(0o700)
    asked = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    printed = _run(site, signer, tool("ssh-keygen"), "-D", str(library()), **asked)
    der = _run(site, signer, "openssl", "x509", "-in", "cert.pem", "-pubkey", "-noout")
    (signer / "pub8.pem").write_text(der)
    converted = _run(site, signer, "ssh-keygen", "-i", "-m", "PKCS8", "-f", "pub8.pem").split()[1]
    assert converted in printed
