"""The progress bar over a long file: at a terminal, and nowhere else. That of an import is in ``tests/migration``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pexpect
import pytest

from .conftest import BIN, Site

LONG = 64 << 20
"""Bytes from which on there is a bar."""
SIGN = ["crypto", "sign", "ecdsa", "--hash-function", "sha256", "--key-filter", "attr.label=bar", "--data-path"]


@pytest.fixture(scope="module")
def files(site: Site) -> Iterator[tuple[str, str]]:
    """A key, and names of a long file and of one a byte shorter; they take no room on the disk."""
    made = site.run(
        "key", "generate-asymmetric-pair", "ec", "--curve", "secp256r1", "--public-label", "public",
        "--private-label", "bar", "--private-attributes", "sign=true", user="cu1",
    )  # fmt: skip
    assert made.data
    for name, size in (("long", LONG), ("short", LONG - 1)):
        with (site.work / name).open("wb") as file:
            os.truncate(file.fileno(), size)
    yield "long", "short"
    for name in ("long", "short"):
        (site.work / name).unlink()


@pytest.mark.parametrize("stream", ["terminal", "output redirected", "errors redirected"])
def test_a_bar_at_a_terminal_only(site: Site, files: tuple[str, str], stream: str) -> None:
    redirected = {"terminal": "", "output redirected": " >answer", "errors redirected": " 2>errors"}[stream]
    for name in files:
        command = " ".join([str(BIN / "cloudhsm-cli"), *SIGN, name, redirected])
        child = pexpect.spawn(
            "bash", ["-c", command], env=site.environment("cu1"), cwd=str(site.work), encoding="utf-8", timeout=120,
            dimensions=(40, 120),
        )  # fmt: skip
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        shown = str(child.before)
        assert ("Hashing" in shown) == (name == "long" and stream != "errors redirected")
        if stream == "errors redirected":
            assert (site.work / "errors").read_text() == ""
        answer = (site.work / "answer").read_text() if stream == "output redirected" else shown
        assert '"error_code": 0' in answer
        assert "Hashing" not in answer or stream == "terminal"


def test_nothing_beside_the_answer_without_a_terminal(site: Site, files: tuple[str, str]) -> None:
    done = site.run(*SIGN, files[0], user="cu1")
    assert done.data
    assert done.errors == ""
