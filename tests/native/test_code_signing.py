"""osslsigncode: Authenticode signatures by a key in the HSM, the nearest to the guide's SignTool."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.native.cryptoki import library
from tests.native.engine import LIBP11, libp11_variables, run
from tests.requirements import tool
from tests.site import PASSWORD, Site

_ALIGNMENT, _OPTIONAL = 0x200, 224


def _program() -> bytes:
    """Return a PE32 program for i386 of one section, which returns 0 (Microsoft's PE format specification)."""
    stub = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = struct.pack("<HHIIIHH", 0x14C, 1, 0, 0, 0, _OPTIONAL, 0x102)
    optional = struct.pack(
        "<HBBIIIIIIIIIHHHHHHIIIIHHIIIIII",
        0x10B, 1, 0, _ALIGNMENT, 0, 0, 0x1000, 0x1000, 0x2000, 0x400000, 0x1000, _ALIGNMENT,
        4, 0, 0, 0, 4, 0, 0, 0x2000, _ALIGNMENT, 0, 3, 0, 0x100000, 0x1000, 0x100000, 0x1000, 0, 16,
    )  # fmt: skip
    section = struct.pack("<8sIIIIIIHHI", b".text", 3, 0x1000, _ALIGNMENT, _ALIGNMENT, 0, 0, 0, 0, 0x60000020)
    headers = stub + b"PE\0\0" + coff + optional.ljust(_OPTIONAL, b"\0") + section
    return headers.ljust(_ALIGNMENT, b"\0") + b"\x31\xc0\xc3".ljust(_ALIGNMENT, b"\0")


def test_osslsigncode_signs_a_program(site: Site, tmp_path: Path) -> None:
    program = tool("osslsigncode")
    variables = libp11_variables(tmp_path)
    run(
        site, tmp_path, tool("pkcs11-tool"), "--module", str(library()), "--session-rw", "--login",
        "--pin", f"cu1:{PASSWORD}", "--keypairgen", "--private", "--key-type", "rsa:3072", "--label", "code",
        "--id", "c0",
    )  # fmt: skip
    key = "pkcs11:token=hsm1;object=code;type=private"
    run(
        site, tmp_path, "openssl", "req", "-engine", "pkcs11", "-keyform", "engine", "-new", "-x509", "-key", key,
        "-subj", "/CN=code", "-addext", "extendedKeyUsage=codeSigning", "-out", "code.pem", **variables,
    )  # fmt: skip
    (tmp_path / "program.exe").write_bytes(_program())
    options = {name: value for name, value in variables.items() if name != "OPENSSL_CONF"}
    run(
        site, tmp_path, program, "sign", "-pkcs11engine", str(LIBP11), "-pkcs11module", str(library()),
        "-certs", "code.pem", "-key", key, "-pass", f"cu1:{PASSWORD}", "-h", "sha256", "-n", "A program",
        "-in", "program.exe", "-out", "signed.exe", **options,
    )  # fmt: skip
    verify = (program, "verify", "-CAfile", "code.pem", "-in")
    verified = run(site, tmp_path, *verify, "signed.exe")
    assert "Signature verification: ok" in verified
    changed = bytearray((tmp_path / "signed.exe").read_bytes())
    changed[_ALIGNMENT] ^= 1
    (tmp_path / "changed.exe").write_bytes(changed)
    refused = subprocess.run([*verify, "changed.exe"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0
