"""Oracle TDE without Oracle: the Cryptoki calls of a database that keeps its master keys in the HSM.

Each step is a program of its own, as each start of the database is: set a key, open the wallet, rotate.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.site import PASSWORD, Site

_HEAD = """
import os, sys
from tests.native.cryptoki import Cryptoki, with_parameter

CLASS, TOKEN, LABEL, ID, KEY_TYPE, ENCRYPT, DECRYPT, VALUE_LEN = 0, 1, 3, 0x102, 0x100, 0x104, 0x105, 0x161
SENSITIVE, EXTRACTABLE, MODIFIABLE = 0x103, 0x162, 0x170
ck = Cryptoki()

def master(session, label):
    return ck.generate(session, 0x1080, [
        (CLASS, 4), (KEY_TYPE, 0x1F), (TOKEN, True), (LABEL, label), (ID, label[-8:]), (VALUE_LEN, 32),
        (ENCRYPT, True), (DECRYPT, True), (SENSITIVE, True), (EXTRACTABLE, False), (MODIFIABLE, False)])

def only(session, label):
    (key,) = ck.find(session, [(CLASS, 4), (LABEL, label)])
    return key

def sealed(session, key, table_key):
    iv = os.urandom(16)
    return iv + ck.run("Encrypt", session, with_parameter(0x1085, iv), key, table_key)

def opened(session, key, stored):
    return ck.run("Decrypt", session, with_parameter(0x1085, stored[:16]), key, stored[16:])

with ck.started():
    session = ck.open()
    ck.login(session, sys.argv[1].encode())
    other = ck.open()
"""
_SET_KEY = """
    master(session, b"ORACLE.TDE.HSM.MK.0001")
    for number in range(3):
        table_key = os.urandom(32)
        stored = sealed(session, only(other, b"ORACLE.TDE.HSM.MK.0001"), table_key)
        print(table_key.hex(), stored.hex())
"""
_OPEN = """
    key = only(session, sys.argv[2].encode())
    for line in sys.stdin:
        table_key, stored = map(bytes.fromhex, line.split())
        assert opened(other, key, stored) == table_key
    print("opened")
"""
_ROTATE = """
    old, new = only(session, b"ORACLE.TDE.HSM.MK.0001"), master(session, b"ORACLE.TDE.HSM.MK.0002")
    for line in sys.stdin:
        table_key, stored = map(bytes.fromhex, line.split())
        print(table_key.hex(), sealed(other, new, opened(session, old, stored)).hex())
"""


def _program(site: Site, text: str, stored: str = "", *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + text, f"cu1:{PASSWORD}", *arguments], input=stored,
        env=site.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_master_keys_are_made_used_after_a_restart_and_rotated(site: Site) -> None:
    stored = _program(site, _SET_KEY)
    site.must_here("stop")
    site.must("start")
    assert _program(site, _OPEN, stored, "ORACLE.TDE.HSM.MK.0001") == "opened\n"
    rotated = _program(site, _ROTATE, stored)
    assert rotated != stored
    assert _program(site, _OPEN, rotated, "ORACLE.TDE.HSM.MK.0002") == "opened\n"
    assert _program(site, _OPEN, stored, "ORACLE.TDE.HSM.MK.0001") == "opened\n"
