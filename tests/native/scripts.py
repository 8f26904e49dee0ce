"""Scripts that use the library in a process of their own, with a configuration file in place of ``HSM_HOME``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.site import PASSWORD, Site

_ROOT = Path(__file__).parents[2]
HEAD = """
import os, subprocess, sys
from ctypes import byref, c_ubyte, c_ulong
from tests.native.cryptoki import Cryptoki
ck = Cryptoki()
PIN = sys.argv[1].encode()
P256 = bytes.fromhex("06082a8648ce3d030107")
def hsm(*words, home=None):
    own = os.environ | ({"HSM_HOME": home} if home else {"HSM_HOME": sys.argv[2]})
    subprocess.run([sys.executable, "-m", "bridge", *words], check=True, capture_output=True, env=own)
def slots():
    count = c_ulong(9)
    ck.must("C_GetSlotList", c_ubyte(1), None, byref(count))
    return count.value
"""
"""Begins every script: the library, the PIN, and ``hsm`` for another HSM's commands."""


def configure(path: Path, authority: Path, servers: Sequence[tuple[str, int]], **cluster: object) -> Path:
    """Write a configuration file without key availability check, unless ``cluster`` has other options."""
    hosts = [{"hostname": host, "port": port, "enable": True} for host, port in servers]
    options = {"disable_key_availability_check": True}
    content = {"hsm_ca_file": str(authority), "servers": hosts, "options": options, **cluster}
    logging = {"log_type": "term", "log_level": "error"}
    path.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": content}], "logging": logging}))
    return path


def environment(site: Site, configuration: Path) -> dict[str, str]:
    """Return the environment of a program that uses a configuration file."""
    kept = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    return kept | {"HSM_PKCS11_CONFIG": str(configuration), "PYTHONPATH": os.pathsep.join(sys.path)}


def run_script(text: str, site: Site, configuration: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script; its arguments are the PIN, the HSM's directory, and ``words``."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + text, f"cu1:{PASSWORD}", str(site.home), *words],
        env=environment(site, configuration), cwd=_ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
