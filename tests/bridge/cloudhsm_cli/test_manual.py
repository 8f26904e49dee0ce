"""The command table against the reference and docs/cli.md, and the ways in besides ``cloudhsm-cli`` itself."""

from __future__ import annotations

from pathlib import Path

from bridge.cloudhsm_cli.commands import COMMANDS
from bridge.cloudhsm_cli.manual import HEAD, rewritten
from bridge.cloudhsm_cli.table import COMMON, Kind

from .conftest import Site

_PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
_WRAPPING = (
    "aes-gcm",
    "aes-no-pad",
    "aes-pkcs5-pad",
    "aes-zero-pad",
    "cloudhsm-aes-gcm",
    "rsa-aes",
    "rsa-oaep",
    "rsa-pkcs",
)
_SIGNING = ("ecdsa", "rsa-pkcs", "rsa-pkcs-pss", "ed25519ph", "ed25519", "ml-dsa")
REFERENCE = {
    "cluster activate",
    "cluster hsm-info",
    "cluster mtls register-trust-anchor",
    "cluster mtls deregister-trust-anchor",
    "cluster mtls list-trust-anchors",
    "cluster mtls get-enforcement",
    "cluster mtls set-enforcement",
    "login",
    "login mfa-token-sign",
    "logout",
    "user create",
    "user delete",
    "user list",
    "user change-password",
    "user change-mfa token-sign",
    "user change-quorum token-sign register",
    "user change-quorum token-sign activate",
    "user replicate",
    "quorum token-sign generate",
    "quorum token-sign list",
    "quorum token-sign delete",
    "quorum token-sign list-quorum-values",
    "quorum token-sign get-quorum-values",
    "quorum token-sign set-quorum-value",
    "quorum token-sign list-timeouts",
    "quorum token-sign set-timeout",
    "key generate-symmetric aes",
    "key generate-symmetric generic-secret",
    "key generate-asymmetric-pair rsa",
    "key generate-asymmetric-pair ec",
    "key generate-asymmetric-pair ml-dsa",
    "key import pem",
    "key generate-file",
    "key list",
    "key delete",
    "key share",
    "key unshare",
    "key set-attribute",
    "key replicate",
    *(f"key {verb} {mechanism}" for verb in ("wrap", "unwrap") for mechanism in _WRAPPING),
    *(f"crypto {verb} {mechanism}" for verb in ("sign", "verify") for mechanism in _SIGNING),
}
"""Every command of the user guide, and the two other names that its walkthrough of quorum uses."""


def test_the_table_has_every_command_of_the_reference() -> None:
    assert {command.path for command in COMMANDS} == REFERENCE
    assert len(COMMANDS) == len(REFERENCE)


def test_a_command_works_or_says_why_not() -> None:
    for command in COMMANDS:
        assert (command.handler is None) == bool(command.missing), command.path


def test_an_option_takes_as_much_wherever_it_stands() -> None:
    """The parser reads options before it knows the whole path."""
    kinds: dict[str, set[object]] = {}
    for command in COMMANDS:
        for option in command.options:
            kinds.setdefault(option.name, set()).add(
                option.kind if option.kind in {Kind.FLAG, Kind.LIST} else "one word"
            )
    assert {name for name, found in kinds.items() if len(found) > 1} == set()


def test_the_page_is_the_tables() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    assert page == rewritten(page, COMMANDS), "make docs"
    assert page.count(HEAD) == 1


def test_hsm_has_the_commands_whose_names_it_does_not_use(site: Site) -> None:
    made = site.run(
        "key", "generate-symmetric", "aes", "--label", "by hsm", "--key-length-bytes", "16", user="cu1", program="hsm"
    )
    assert isinstance(made.data, dict)
    login = {"HSM_USER": "cu1", "HSM_PASSWORD": "first-pass-1"}
    table = site.run("key", "list", program="hsm", variables=login)
    assert table.status == 0
    assert "by hsm" in table.text
    assert "error_code" not in table.text
    assert site.run("crypto", "sign", "ecdsa", user="cu1", program="hsm").error
    assert site.run("key", "delete", "--filter", "attr.label=by hsm", user="cu1", program="hsm").data
    shown = site.run("help", "key", "share", program="hsm")
    assert shown.status == 0
    assert site.run("key", "share", "--help", program="hsm").text.startswith("Share a key")
    for words in (["--help"], ["key", "--help"]):
        assert "cloudhsm-cli" in site.run(*words, program="hsm").text


def test_every_command_accepts_the_common_options(site: Site) -> None:
    for command in COMMANDS:
        assert command.options[: len(COMMON)] == COMMON, command.path
    assert isinstance(site.run("key", "list", "--cluster-id", "c", user="cu1").data, dict)
    for words in (["--config", "x", "key", "list"], ["key", "list", "--config", "x"]):
        assert "No such file or directory: 'x'" in str(site.run(*words, user="cu1").error)
