"""python-pkcs11: a Python program that uses the library, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.native.cryptoki import library
from tests.requirements import missing
from tests.site import PASSWORD, Site

_PROGRAM = Path(__file__).with_name("python_pkcs11.py")


def test_python_pkcs11_uses_keys_of_every_kind(site: Site) -> None:
    if find_spec("pkcs11") is None:
        missing("python-pkcs11 is missing (pip install python-pkcs11)")
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), str(library()), f"cu1:{PASSWORD}"],
        env=site.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["aes", "rsa", "ec", "hmac", "found"]
