"""Completion in real shells at a terminal: lines are typed, completed with Tab, and what came of them is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pexpect
import pytest

from tests.requirements import tool

from .conftest import Site

TAB, BEGIN = "\t", "\x01"
_SHELLS = {
    "bash": (["--norc"], "bind 'set enable-bracketed-paste off'"),
    "zsh": (["-f"], "unsetopt zle_bracketed_paste; bindkey -e"),
    "fish": (["--no-config"], "true"),
}
"""Options that keep out the user's own configuration, and a first line."""
_LOAD = {
    "bash": 'eval "$(cloudhsm-cli completion bash)"',
    "zsh": 'eval "$(cloudhsm-cli completion zsh)"',
    "fish": "cloudhsm-cli completion fish | source",
}

_SHARE = Path(__file__).parents[3] / "packaging" / "share"
_INSTALLED = {
    "bash": f"for file in {_SHARE}/bash-completion/completions/*; do source $file; done",
    "zsh": f"fpath=({_SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D",
    "fish": f"for file in {_SHARE}/fish/vendor_completions.d/*; source $file; end",
}
"""The same from the files that the wheel installs."""

_LINES = [
    ("cloudhsm-cli clus", "", "cloudhsm-cli cluster"),
    ("cloudhsm-cli inter", "", "cloudhsm-cli interactive"),
    ("cloudhsm-cli key gener", "file", "cloudhsm-cli key generate-file"),
    ("cloudhsm-cli key share --fil", "x", "cloudhsm-cli key share --filter x"),
    # After an equals sign goes no space, after a whole word one.
    (
        "cloudhsm-cli key list --filter attr.wrap-w",
        "true",
        "cloudhsm-cli key list --filter attr.wrap-with-trusted=true",
    ),
    (
        "cloudhsm-cli key list --filter=attr.wrap-w",
        "true",
        "cloudhsm-cli key list --filter=attr.wrap-with-trusted=true",
    ),
    ("cloudhsm-cli login --username=x --ro", "admin", "cloudhsm-cli login --username=x --role admin"),
    ('cloudhsm-cli login --username "a b" --ro', "admin", 'cloudhsm-cli login --username "a b" --role admin'),
    ("cloudhsm-cli key import pem --key-type-class rsa", "", "cloudhsm-cli key import pem --key-type-class rsa-public"),
    ("cloudhsm-cli key import pem --path onl", "", "cloudhsm-cli key import pem --path only.pem"),
    ("hsm stat", "", "hsm status"),
    ("hsm keystore imp", "x", "hsm keystore import x"),
    ("hsm quorum tok", "", "hsm quorum token-sign"),
    ("hsm key generate-symmetric ae", "", "hsm key generate-symmetric aes"),
    ("hsm crypto sign ecdsa --hash-function sha3", "", "hsm crypto sign ecdsa --hash-function sha384"),
    ("hsm jarsigner onl", "", "hsm jarsigner only.pem"),
]
"""Input before and after Tab, and the resulting words."""
_PRINTED = re.compile(r"((?:<[^>\r\n]*>)+)\r*\n")


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize("load", [_LOAD, pytest.param(_INSTALLED, marks=pytest.mark.long)], ids=["asked", "installed"])
def test_completion(site: Site, shell: str, load: dict[str, str]) -> None:
    options, first = _SHELLS[shell]
    (site.work / "only.pem").touch()
    environment = site.environment(None) | {"TERM": "xterm", "HISTFILE": "/dev/null", "HOME": str(site.work)}
    child = pexpect.spawn(
        tool(shell), [*options, "-i"], env=environment, cwd=str(site.work), encoding="utf-8", timeout=60,
        dimensions=(50, 250),
    )  # fmt: skip
    child.send(f"{first}\r{load[shell]}\rprintf '<%s>' loaded; echo\r")
    child.expect(_PRINTED)
    for typed, after, expected in _LINES:
        child.send(f"{typed}{TAB}{after}; echo{BEGIN}printf '<%s>' \r")
        child.expect(_PRINTED)
        assert child.match
        assert re.findall("<([^>]*)>", child.match[1]) == shlex.split(expected), typed
    child.close(force=True)


def test_completion_of_an_unknown_shell(site: Site) -> None:
    assert site.run("completion", "tcsh").error == "completion takes one of bash, zsh, fish"
