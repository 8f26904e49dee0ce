"""The build of the library: what it exports, how it is linked, and a machine without a C compiler."""

from __future__ import annotations

import json
import os
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


def test_the_library_is_installed_where_programs_look_for_it(tmp_path: Path) -> None:
    library()
    command = [sys.executable, "-m", "bridge", "pkcs11"]
    environment = os.environ | {"HSM_HOME": "/srv/hsm"}

    def hsm(*words: str) -> str:
        return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=True).stdout

    folder = tmp_path / "opt"
    names: tuple[str, ...] = (
        "lib/libcloudhsm_pkcs11.so",
        "include/pkcs11/cloudhsm_pkcs11_vendor_defs.h",
        "etc/cloudhsm-pkcs11.cfg",
    )
    engine = "lib/libcloudhsm_openssl_engine.so"
    if (_ROOT / "bridge" / "libcloudhsm_openssl_engine.so").exists():
        names += (engine,)
    for _ in range(2):
        assert set(hsm("--install", str(folder)).split()) == {str(folder / name) for name in names}
        assert all((folder / name).stat().st_size for name in names)
    assert json.loads((folder / names[2]).read_text())["clusters"][0]["cluster"]["servers"][0]["hostname"] == (
        "/srv/hsm/hsm.sock"
    )
    assert hsm("--path").strip() == hsm().strip() == str(_ROOT / "bridge" / "libcloudhsm_pkcs11.so")
    assert f"module: {_ROOT}/bridge/libcloudhsm_pkcs11.so" in hsm("--p11-kit")


_SPELLINGS = """
typedef unsigned long CK_ULONG;
typedef void *CK_VOID_PTR;
#include "cloudhsm_pkcs11_vendor_defs.h"
_Static_assert(CKM_SP800_108_COUNTER_KDF == 0x80000001 && CKM_DES3_NIST_WRAP == CKM_CLOUDHSM_DES3_NIST_WRAP, "");
_Static_assert(SP800_108_COUNTER_FORMAT == 4 && SP800_108_PRF_LABEL == 5 && SP800_108_PRF_CONTEXT == 6, "");
_Static_assert(SP800_108_DKM_FORMAT == CK_SP800_108_DKM_LENGTH && CK_SP800_108_BYTE_ARRAY == 8, "");
_Static_assert(sizeof(CK_SP800_108_KDF_PARAMS) == 3 * sizeof(long), "");
"""


def test_the_header_has_both_spellings_of_the_vendors_names(tmp_path: Path) -> None:
    include = _ROOT / "bridge" / "native" / "include"
    (tmp_path / "spellings.c").write_text(_SPELLINGS)
    command = [tool("cc"), "-std=c11", "-Wall", "-Werror", "-fsyntax-only", f"-I{include}"]
    subprocess.run([*command, str(tmp_path / "spellings.c")], check=True, timeout=60)
