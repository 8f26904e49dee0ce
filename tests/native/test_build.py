"""The build of the library: what it exports, how it is linked, and a machine without a C compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.native.cryptoki import library
from tests.requirements import tool

_ROOT = Path(__file__).parents[2]
_BUILD = _ROOT / "bridge" / "native" / "build_library.py"


def _read(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_library_exports_the_functions_of_the_standard_and_nothing_else() -> None:
    exported = {line.split()[-1] for line in _read(tool("nm"), "-D", "--defined-only", str(library())).splitlines()}
    assert len(exported) == 68
    assert all(name.startswith("C_") for name in exported)


def test_the_library_needs_libc_only_and_is_hardened() -> None:
    dynamic = _read(tool("readelf"), "-d", str(library()))
    assert [line for line in dynamic.splitlines() if "(NEEDED)" in line and "libc.so" not in line] == []
    assert "BIND_NOW" in dynamic
    headers = _read(tool("readelf"), "-lW", str(library()))
    assert "GNU_RELRO" in headers
    assert "RWE" not in headers


def test_without_a_compiler_the_library_is_left_out_and_nothing_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(_BUILD), "--check"], env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("note: the PKCS #11 library is left out: no C compiler was found")
