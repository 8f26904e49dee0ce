"""The wheel: what is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from docs.installed_files import files
from tests.docs.pages import ROOT

_INSIDE = (
    "bridge/hsmbridge.jar",
    "bridge/hsmbridge-junit5.jar",
    "bridge/maven/hsmbridge-jce-sources.jar",
    "bridge/launcher/First.java",
    "bridge/console/page/index.html",
    "hsmcore/storage/migrations/versions/v0001_first.py",
)


def test_the_installed_files_are_those_of_the_tables() -> None:
    folder = ROOT / "packaging" / "share"
    written = {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}
    assert written == files(), "make docs"


@pytest.mark.long
def test_what_the_wheel_holds(tmp_path: Path) -> None:
    """``make release`` installs it with pipx and uses it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, timeout=240)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    shared = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/"
    assert names >= {*_INSIDE, f"{shared}man/man1/hsm.1", *(shared + name for name in files())}
    built = (ROOT / "bridge" / "libcloudhsm_pkcs11.so").exists()
    assert ("bridge/libcloudhsm_pkcs11.so" in names) == built
    assert wheel.name.endswith("-none-any.whl") != built
