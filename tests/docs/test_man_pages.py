"""The manual pages are those of the tables, and a formatter accepts them."""

from __future__ import annotations

import re
import subprocess

import pytest

from bridge.cloudhsm_cli.commands import COMMANDS
from docs.man_pages import pages
from tests.docs.pages import ROOT
from tests.requirements import tool

_FOLDER = ROOT / "packaging" / "man"


@pytest.mark.parametrize("name", ["hsm.1", "cloudhsm-cli.1"])
def test_the_page_is_the_tables(name: str) -> None:
    assert (_FOLDER / name).read_text(encoding="utf-8") == pages()[name], "make docs"


@pytest.mark.parametrize("name", ["hsm.1", "cloudhsm-cli.1"])
def test_a_formatter_accepts_the_page(name: str) -> None:
    checked = subprocess.run(
        [tool("mandoc"), "-T", "lint", "-W", "warning", str(_FOLDER / name)], capture_output=True, text=True, timeout=60
    )
    # A page without a date stays the same from day to day.
    assert [line for line in checked.stdout.splitlines() if "missing date" not in line] == []


def test_each_command_and_variable_is_on_a_page() -> None:
    done = subprocess.run(
        [tool("mandoc"), "-T", "utf8", "-O", "width=400", *sorted(map(str, _FOLDER.iterdir()))],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    shown = re.sub(r".\x08", "", done.stdout)
    for command in COMMANDS:
        assert f"   {command.path} [OPTIONS]" in shown
    for words in (
        "hsm init [OPTIONS]",
        "hsm audit verify [OPTIONS]",
        "hsm start [OPTIONS]",
        "hsm user create [OPTIONS] NAME",
    ):
        assert f"   {words}" in shown
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bridge").rglob("*.py")))
    for variable in set(re.findall(r'"((?:HSM|CLOUDHSM)_[A-Z_]+)"', sources)) - {"HSM_INFO"}:
        assert variable in shown
