"""The wheel: what is in it, and that pipx installs it where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from docs.installed_files import files
from tests.docs.pages import ROOT
from tests.requirements import missing, tool

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


def _run(*command: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "PYTHON", "PIPX_"))}
    done = subprocess.run(command, env=kept | variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long  # two minutes
@pytest.mark.timeout(1200)
def test_pipx_installs_the_wheel(tmp_path: Path) -> None:
    tool("jarsigner")
    wheel_of = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run(*wheel_of, "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    shared = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/"
    assert names >= {*_INSIDE, f"{shared}man/man1/hsm.1", *(shared + name for name in files())}
    built = (ROOT / "bridge" / "libcloudhsm_pkcs11.so").exists()
    assert ("bridge/libcloudhsm_pkcs11.so" in names) == built
    assert wheel.name.endswith("-none-any.whl") != built

    _run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    got = subprocess.run(
        [tmp_path / "venv" / "bin" / "pip", "install", "--quiet", "pipx"], capture_output=True, text=True, timeout=300
    )
    if got.returncode != 0:
        missing("pipx cannot be downloaded")
    own = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin"), "HOME": str(tmp_path),
           "PIPX_MAN_DIR": str(tmp_path / "man"), "HSM_HOME": str(tmp_path / "hsm")}  # fmt: skip
    _run(str(tmp_path / "venv" / "bin" / "pipx"), "install", "--python", sys.executable, str(wheel), **own)
    assert (tmp_path / "man" / "man1" / "hsm.1").exists()
    hsm = str(tmp_path / "bin" / "hsm")
    said = _run(hsm, "quickstart", "--folder", str(tmp_path / "first"), **own)
    assert "jar verified." in said
    # The unit runs the program of pipx's environment.
    unit = _run(hsm, "service", "install", "--user", "--dry-run", **own)
    assert f"ExecStart={tmp_path / 'pipx'}" in unit
    _run(hsm, "doctor", **own)
