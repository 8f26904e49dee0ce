"""Programs of the distribution that load the library, against a daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_pkcs11 import console_blocks
from tests.native.cryptoki import library
from tests.requirements import tool
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

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._site.environment, capture_output=True, text=True, timeout=120
        )
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
