"""Lengths, PINs, templates and configuration files of every kind: a code, no crash, and the next call works."""

from __future__ import annotations

import os
import subprocess
import sys
from ctypes import addressof, byref, c_char, c_ubyte, c_ulong, sizeof
from pathlib import Path

import pytest

from tests.native import cryptoki as ck
from tests.native.conftest import PIN
from tests.native.cryptoki import Cryptoki, Mechanism, with_parameter
from tests.site import Site

MAX = c_ulong(-1).value
HUGE = (MAX, MAX - 15, MAX // 24 * 24, 1 << 63, 1 << 32, 1 << 26)
"""Lengths beyond every frame; one is a whole number of attributes."""
ARGUMENTS_BAD, DATA_LENGTH, PARAMETER_INVALID, PIN_INCORRECT = 0x7, 0x21, 0x71, 0xA0
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def key(cryptoki: Cryptoki, session: int) -> int:
    return cryptoki.generate(session, 0x1080, [(0x161, 32), *((one, True) for one in (0x104, 0x105, 0x106, 0x107))])


@pytest.mark.parametrize("length", HUGE)
def test_lengths_beyond_every_frame_are_refused(cryptoki: Cryptoki, session: int, key: int, length: int) -> None:
    ecb, wrap, handle, room = Mechanism(0x1081), Mechanism(0x80002109), c_ulong(), c_ulong(64)
    data, out = (c_ubyte * 64)(), (c_ubyte * 64)()
    one = ck.Attribute(3, addressof(data), length)
    nested = ck.Attribute(0x40000211, addressof(data), length)
    refused = {ARGUMENTS_BAD, DATA_LENGTH, PARAMETER_INVALID, 0x13}
    for function, *arguments in (
        ("C_Login", 1, data, length), ("C_CreateObject", byref(one), 1, byref(handle)),
        ("C_CreateObject", byref(one), length, byref(handle)), ("C_CreateObject", byref(nested), 1, byref(handle)),
        ("C_FindObjectsInit", byref(one), length), ("C_FindObjectsInit", byref(one), 1),
        ("C_GetAttributeValue", key, byref(one), length), ("C_GenerateRandom", data, length),
        ("C_GenerateKey", byref(Mechanism(0x1080)), byref(one), length, byref(handle)),
        ("C_GenerateKey", byref(Mechanism(0x1080, addressof(data), length)), None, 0, byref(handle)),
        ("C_EncryptInit", byref(Mechanism(0x1082, addressof(data), length)), key),
        ("C_UnwrapKey", byref(wrap), key, data, length, None, 0, byref(handle)),
    ):  # fmt: skip
        rv = cryptoki.call(function, session, *arguments)
        # A search for what no object has finds nothing.
        if function == "C_FindObjectsInit" and rv == ck.OK:
            cryptoki.must("C_FindObjectsFinal", session)
            continue
        assert rv in refused | ({0x100} if function == "C_Login" else set()), (function, hex(rv))
    for kind in ("Encrypt", "Decrypt", "Digest"):
        assert cryptoki.begin(kind, session, 0x250 if kind == "Digest" else ecb, None if kind == "Digest" else key) == 0
        assert cryptoki.call(f"C_{kind}", session, data, length, out, byref(room)) == DATA_LENGTH
        cryptoki.call(f"C_{kind}", session, data, 16, out, byref(c_ulong(64)))
    assert len(cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))) == 16


@pytest.mark.parametrize("room", HUGE)
def test_a_buffer_of_any_stated_size_gets_the_result(cryptoki: Cryptoki, session: int, key: int, room: int) -> None:
    out, length = (c_ubyte * 64)(), c_ulong(room)
    assert cryptoki.begin("Encrypt", session, 0x1081, key) == ck.OK
    assert cryptoki.call("C_Encrypt", session, bytes(16), 16, out, byref(length)) == ck.OK
    assert length.value == 16
    length.value = room
    wrap = byref(Mechanism(0x80002109))
    assert cryptoki.call("C_WrapKey", session, wrap, key, key, out, byref(length)) == ck.OK
    assert length.value == 40


@pytest.mark.parametrize(
    "parameter",
    [
        ck.Gcm(1 << 40, MAX, 96, None, 0, 128),
        ck.Gcm(None, 0, 0, 1 << 40, MAX, 128),
        ck.Gcm(None, MAX, MAX, None, MAX, MAX),
    ],
)
def test_lengths_inside_a_parameter_are_refused(cryptoki: Cryptoki, session: int, key: int, parameter: ck.Gcm) -> None:
    """The pointers lead nowhere: a library that reads what they claim to have ends the program."""
    mechanism = with_parameter(0x1087, parameter)
    assert cryptoki.begin("Encrypt", session, mechanism, key) == PARAMETER_INVALID
    out, length = (c_ubyte * 64)(), c_ulong(64)
    rv = cryptoki.call("C_WrapKey", session, byref(mechanism), key, key, out, byref(length))
    assert rv in {DATA_LENGTH, PARAMETER_INVALID}


def test_many_attributes_are_read_or_refused(cryptoki: Cryptoki, session: int, key: int) -> None:
    for count, code in ((4096, ck.OK), (4097, ARGUMENTS_BAD)):
        assert cryptoki.call("C_GetAttributeValue", session, key, (ck.Attribute * count)(), count) == code
    handle, place = c_ulong(), (c_char * 1024)()
    for count, size in ((257, 1), (256, 1024), (2, 1 << 25)):
        large = (c_char * size)() if size > sizeof(place) else place
        array = (ck.Attribute * count)(*(ck.Attribute(3, addressof(large), size) for _ in range(count)))
        rv = cryptoki.call("C_GenerateKey", session, byref(Mechanism(0x1080)), array, count, byref(handle))
        assert rv in {ARGUMENTS_BAD, DATA_LENGTH, 0x13, 0xD1}, hex(rv)


@pytest.mark.parametrize(
    "pin",
    [b"", b":", b"::::", b"nobody:" + b":" * 1000, b"nobody\0:x", b"\0\0:\0", b"no\xff\xfe:x", b"x" * 4096,
     b"x" * 4096 + b":" + b"y" * 4096, b"nobody:" + b"\0" * 4096, b"nobody:" + b"z" * (1 << 20)],
    ids=range(11),
)  # fmt: skip
def test_pins_that_are_nobodys(cryptoki: Cryptoki, pin: bytes) -> None:
    session = cryptoki.open()
    assert cryptoki.call("C_Login", session, 1, pin, len(pin)) == PIN_INCORRECT
    cryptoki.login(session, PIN)
    cryptoki.must("C_CloseAllSessions", 0)


def test_a_pin_is_right_to_its_last_byte(cryptoki: Cryptoki) -> None:
    session = cryptoki.open()
    for wrong in (PIN + b":", PIN + b"\0", PIN[:-1]):
        assert cryptoki.call("C_Login", session, 1, wrong, len(wrong)) == PIN_INCORRECT
    cryptoki.login(session, PIN)
    cryptoki.must("C_CloseAllSessions", 0)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\0" * 64, b"\xff" * 64, b"[" * 100_000, b'{"clusters":' * 1000, b'{"clusters": []}', b"null", b"{}",
     b'{"clusters": [{"cluster": {"servers": [{"hostname": "' + b"h" * 300_000, b'"' + b"\\" * 1001],
    ids=range(11),
)  # fmt: skip
def test_a_configuration_that_is_none(content: bytes, tmp_path: Path, site: Site) -> None:
    path = tmp_path / "garbage.cfg"
    path.write_bytes(content)
    assert _initialised(site, path) == "0x5"


@pytest.mark.parametrize("kind", ["directory", "missing", "pipe", "device", "endless", "unreadable"])
def test_a_configuration_that_is_no_file(kind: str, tmp_path: Path, site: Site) -> None:
    path = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unreadable":
        path.symlink_to(path)
    elif kind != "missing":
        path = Path({"device": "/dev/null", "endless": "/dev/zero"}[kind])
    assert _initialised(site, path) == "0x5"


def _initialised(site: Site, path: Path) -> str:
    """Return the code of C_Initialize with a configuration file."""
    text = "from tests.native.cryptoki import Cryptoki; print(hex(Cryptoki().call('C_Initialize', None)))"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=_ROOT, capture_output=True, text=True, timeout=60,
        env=site.environment | {"PYTHONPATH": os.pathsep.join(sys.path), "HSM_PKCS11_CONFIG": str(path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
