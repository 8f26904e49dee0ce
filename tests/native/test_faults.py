"""Wrong handles, null pointers, threads, fork, a daemon that restarts, hangs up or sends garbage."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from ctypes import byref, c_char, c_ubyte, c_ulong
from pathlib import Path

import pytest

from bridge.process.paths import socket_path
from bridge.protocol import codec
from bridge.pytest_plugin import fresh_hsm
from tests.bridge.conftest import served
from tests.conftest import repeated
from tests.native import cryptoki as ck
from tests.native.conftest import PIN
from tests.native.cryptoki import Cryptoki, CryptokiError, Mechanism, library
from tests.native.proxy import Proxy
from tests.site import PASSWORD, Site

ARGUMENTS_BAD, SLOT_INVALID, DEVICE_ERROR, SESSION_INVALID, NOT_SUPPORTED = 0x7, 0x3, 0x30, 0xB3, 0x54
NULL = None


@pytest.fixture
def key(cryptoki: Cryptoki, session: int) -> int:
    return cryptoki.generate(session, 0x1080, [(0x161, 32), (0x104, True), (0x105, True)])


def test_a_wrong_session_handle_is_told(cryptoki: Cryptoki, session: int, key: int) -> None:
    mechanism, out, length = Mechanism(0x1081), (c_ubyte * 64)(), c_ulong(64)
    for wrong in (0, session + 1, session | 5 << 32, c_ulong(-1).value):
        for function, *arguments in (
            ("C_CloseSession",), ("C_GetSessionInfo", out), ("C_Login", 1, b"x", 1), ("C_Logout",),
            ("C_FindObjectsInit", NULL, 0), ("C_FindObjectsFinal",), ("C_GenerateRandom", out, 8),
            ("C_DestroyObject", key), ("C_EncryptInit", byref(mechanism), key),
            ("C_Encrypt", b"x" * 16, 16, out, byref(length)), ("C_EncryptFinal", out, byref(length)),
            ("C_DigestInit", byref(Mechanism(0x250))), ("C_GetAttributeValue", key, ck.template([(3, b"")]), 1),
        ):  # fmt: skip
            assert cryptoki.call(function, wrong, *arguments) == SESSION_INVALID, function
    assert cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))


def test_a_closed_session_is_told_even_where_the_operation_is_prepared(
    cryptoki: Cryptoki, session: int, key: int
) -> None:
    other = cryptoki.open()
    assert cryptoki.run("Encrypt", other, 0x1081, key, bytes(16)) == cryptoki.run(
        "Encrypt", session, 0x1081, key, bytes(16)
    )
    assert cryptoki.begin("Encrypt", other, 0x1081, key) == ck.OK
    cryptoki.must("C_CloseSession", other)
    out, length = (c_ubyte * 64)(), c_ulong(64)
    assert cryptoki.call("C_Encrypt", other, bytes(16), 16, out, byref(length)) == SESSION_INVALID
    assert cryptoki.begin("Encrypt", other, 0x1081, key) == SESSION_INVALID


def test_a_logout_ends_prepared_operations(cryptoki: Cryptoki, session: int, key: int) -> None:
    for _ in range(2):
        cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
    cryptoki.must("C_Logout", session)
    codes = {cryptoki.begin("Encrypt", session, 0x1081, key)}
    out, length = (c_ubyte * 64)(), c_ulong(64)
    codes.add(cryptoki.call("C_Encrypt", session, bytes(16), 16, out, byref(length)))
    assert 0x101 in codes or 0x91 in codes
    assert length.value == 64
    cryptoki.login(session, PIN)
    assert cryptoki.begin("Encrypt", session, 0x1081, key) in {ck.OK, 0x60}
    with pytest.raises(CryptokiError) as refused:
        cryptoki.once("Encrypt", session, bytes(16))
    assert refused.value.rv in {0x60, 0x91}


def test_a_destroyed_key_is_told(cryptoki: Cryptoki, session: int, key: int) -> None:
    for _ in range(2):
        cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
    cryptoki.must("C_DestroyObject", session, key)
    assert cryptoki.call("C_DestroyObject", session, key) == 0x82
    with pytest.raises(CryptokiError) as refused:
        cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
    assert refused.value.rv == 0x60
    assert cryptoki.begin("Encrypt", session, 0x1081, key) == 0x60


def test_a_second_init_is_told_also_where_the_first_took_no_request(cryptoki: Cryptoki, session: int, key: int) -> None:
    cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
    assert cryptoki.begin("Encrypt", session, 0x1081, key) == ck.OK
    assert cryptoki.begin("Encrypt", session, 0x1081, key) == 0x90
    assert cryptoki.begin("Decrypt", session, 0x1081, key) == ck.OK
    assert len(cryptoki.once("Encrypt", session, bytes(16))) == 16
    out, length = (c_ubyte * 64)(), c_ulong(64)
    assert cryptoki.call("C_Encrypt", session, bytes(16), 16, out, byref(length)) == 0x91


def test_data_that_does_not_fit_is_told_whether_prepared_or_not(cryptoki: Cryptoki, session: int, key: int) -> None:
    for _ in range(3):
        for kind, code in (("Encrypt", 0x21), ("Decrypt", 0x41)):
            with pytest.raises(CryptokiError) as refused:
                cryptoki.run(kind, session, 0x1081, key, bytes(15))
            assert refused.value.rv == code
        cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
        cryptoki.run("Decrypt", session, 0x1081, key, bytes(16))


def test_null_pointers_are_told(cryptoki: Cryptoki, session: int, key: int) -> None:
    length, handle, mechanism = c_ulong(8), c_ulong(), Mechanism(0x1081)
    for function, *arguments in (
        ("C_GetInfo", NULL), ("C_GetSlotList", c_ubyte(0), NULL, NULL), ("C_GetSlotInfo", 0, NULL),
        ("C_GetTokenInfo", 0, NULL), ("C_GetMechanismList", 0, NULL, NULL), ("C_GetMechanismInfo", 0, 1, NULL),
        ("C_OpenSession", 0, 6, NULL, NULL, NULL), ("C_GetSessionInfo", session, NULL),
        ("C_Login", session, 1, NULL, 3),
        ("C_CreateObject", session, NULL, 1, byref(handle)), ("C_CreateObject", session, NULL, 0, NULL),
        ("C_GetAttributeValue", session, key, NULL, 1), ("C_FindObjectsInit", session, NULL, 3),
        ("C_FindObjects", session, NULL, 1, NULL), ("C_EncryptInit", session, NULL, key),
        ("C_Encrypt", session, NULL, 16, NULL, byref(length)), ("C_Encrypt", session, b"", 0, NULL, NULL),
        ("C_GenerateKey", session, NULL, NULL, 0, byref(handle)), ("C_GenerateRandom", session, NULL, 8),
        ("C_GenerateKey", session, byref(mechanism), NULL, 0, NULL), ("C_GetFunctionList", NULL),
        ("C_WrapKey", session, NULL, key, key, NULL, byref(length)),
        ("C_UnwrapKey", session, byref(mechanism), key, NULL, 9, NULL, 0, byref(handle)),
        ("C_DeriveKey", session, NULL, key, NULL, 0, byref(handle)), ("C_Verify", session, b"x", 1, NULL, 8),
        ("C_Finalize", byref(length)),
    ):  # fmt: skip
        assert cryptoki.call(function, *arguments) in {ARGUMENTS_BAD, 0x101 if function == "C_Login" else 0x7}, function
    template = ck.template([(0x161, 16), (3, b"x")])
    template[1].value = None
    made = cryptoki.call("C_GenerateKey", session, byref(Mechanism(0x1080)), template, 2, byref(handle))
    assert made == 0x13


def test_wrong_slots_and_initialisation_arguments_are_told(cryptoki: Cryptoki) -> None:
    for function, *arguments in (
        ("C_GetSlotInfo", NULL), ("C_GetTokenInfo", NULL), ("C_CloseAllSessions",), ("C_GetMechanismInfo", 1, NULL),
    ):  # fmt: skip
        assert cryptoki.call(function, 7, *arguments) == SLOT_INVALID
    assert cryptoki.call("C_Initialize", byref(ck.InitializeArguments(reserved=1))) == ARGUMENTS_BAD
    assert cryptoki.call("C_Initialize", byref(ck.InitializeArguments(create=1))) == ARGUMENTS_BAD


def test_the_other_functions_are_not_supported(cryptoki: Cryptoki, session: int) -> None:
    for function, count in (("C_SetAttributeValue", 4), ("C_CopyObject", 5), ("C_InitPIN", 3), ("C_SeedRandom", 3),
                            ("C_SignRecoverInit", 3), ("C_WaitForSlotEvent", 3),
                            ("C_GetOperationState", 3)):  # fmt: skip
        assert cryptoki.call(function, session, *[NULL] * (count - 1)) == NOT_SUPPORTED


def test_attributes_are_read_into_buffers_that_fit(cryptoki: Cryptoki, session: int) -> None:
    inner = [(0x104, True), (0x161, 16)]
    key = cryptoki.generate(session, 0x1080, [(0x161, 16), (3, b"label"), (0x106, True), (0x40000211, inner)])
    buffer = (c_char * 3)()
    attributes = (ck.Attribute * 3)(
        ck.Attribute(3, ck.ctypes.addressof(buffer), 3), ck.Attribute(0x161), ck.Attribute(0x11)
    )
    assert cryptoki.call("C_GetAttributeValue", session, key, attributes, 3) == 0x11
    assert [one.length for one in attributes] == [ck.UNAVAILABLE, 8, ck.UNAVAILABLE]
    attributes[0].length = 3
    assert cryptoki.call("C_GetAttributeValue", session, key, attributes, 1) == 0x150
    outer = ck.Attribute(0x40000211)
    cryptoki.must("C_GetAttributeValue", session, key, byref(outer), 1)
    assert outer.length == 2 * ck.sizeof(ck.Attribute)
    places = (c_ubyte * 1)(), (c_ulong * 1)()
    array = (ck.Attribute * 2)(*(ck.Attribute(0, ck.ctypes.addressof(one), ck.sizeof(one)) for one in places[::-1]))
    outer.value = ck.cast(array, ck.c_void_p)
    rv = cryptoki.call("C_GetAttributeValue", session, key, byref(outer), 1)
    assert sorted(one.type for one in array) == [0x104, 0x161]
    assert rv in {ck.OK, 0x150}


def test_threads_use_one_library(cryptoki: Cryptoki, session: int) -> None:
    public, private = cryptoki.generate_pair(session, 0x1040, [(0x180, ck.P256), (0x10A, True)], [(0x108, True)])
    failures: list[object] = []

    def work(number: int) -> None:
        try:
            own = cryptoki.open()
            for count in range(20):
                data = b"%d %d" % (number, count)
                signature = cryptoki.run("Sign", own, 0x1044, private, data)
                assert cryptoki.verify(own, 0x1044, public, data, signature) == ck.OK
            cryptoki.must("C_CloseSession", own)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not failures


def test_threads_in_one_session_harm_nothing(cryptoki: Cryptoki, session: int, key: int) -> None:
    """The standard leaves the results open; each call returns a code, and the session works afterwards."""

    def work() -> None:
        out, length = (c_ubyte * 64)(), c_ulong(64)
        for _ in range(50):
            cryptoki.begin("Encrypt", session, 0x1081, key)
            cryptoki.call("C_Encrypt", session, bytes(16), 16, out, byref(length))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    cryptoki.call("C_Encrypt", session, bytes(16), 16, (c_ubyte * 64)(), byref(c_ulong(64)))
    assert len(cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))) == 16


def test_a_lost_connection_is_made_again_and_the_login_stays(
    cryptoki: Cryptoki, session: int, key: int, proxy: Proxy
) -> None:
    expected = cryptoki.run("Encrypt", session, 0x1081, key, bytes(16))
    for _ in range(3):
        proxy.disconnect()
        assert cryptoki.run("Encrypt", session, 0x1081, key, bytes(16)) == expected
        proxy.disconnect()
        assert cryptoki.read(session, key, 0x161) == (32).to_bytes(8, "little")


def _garbage(draw: random.Random, request: bytes) -> bytes:
    """Return an answer that a hostile daemon might give."""
    _, session, number = codec.decode_header(request)
    values: list[codec.Value] = [
        draw.choice((0, 0, 0, 0x150, -1)),
        draw.choice(
            (
                [], [None], [b"x" * draw.randrange(300), draw.randrange(-5, 400), b"iv"], [[1, 2, 3]], [[[0] * 9], 0],
                [-1, -1, -1], [[draw.randrange(-9, 99), 1, 2, 3, 4]], ["text"] * 9, [{"a": 1}], [[[[[[[[1]]]]]]]],
                [[5] * 4000, 0], ["a", "b", "c", "d", 0, [0] * 10, [0] * 4], [None, 1 << 40, b""],
            )
        ),
    ]  # fmt: skip
    frame = bytearray(codec.encode_request(draw.choice((0, 0, 0, 5, 45, 999)), session, number, values))
    for _ in range(draw.choice((0, 0, 1, 3))):
        frame[draw.randrange(len(frame))] = draw.randrange(256)
    kind = draw.randrange(8)
    if kind == 0:
        return bytes(frame[: draw.randrange(len(frame))])
    if kind == 1:
        return draw.randbytes(draw.randrange(1, 200))
    if kind == 2:
        return (draw.choice((0, 19, 24, 1 << 26, (1 << 32) - 1))).to_bytes(4, "big") + frame[4:]
    return bytes(frame)


def test_a_hostile_daemon_harms_nothing(cryptoki: Cryptoki, session: int, key: int, proxy: Proxy) -> None:
    draw = random.Random(14)
    out, length, handle = (c_ubyte * 128)(), c_ulong(), c_ulong()
    mechanism, template = Mechanism(0x1081), ck.template([(3, b"x" * 20), (0x161, 16), (0x40000211, [(0x104, True)])])
    calls: list[tuple[object, ...]] = [
        ("C_GetTokenInfo", 0, (c_ubyte * 512)()), ("C_GetMechanismList", 0, (c_ulong * 4)(), byref(length)),
        ("C_GetMechanismInfo", 0, 1, (c_ubyte * 64)()), ("C_GetSessionInfo", session, (c_ubyte * 64)()),
        ("C_GetAttributeValue", session, key, template, 3),
        ("C_FindObjects", session, (c_ulong * 4)(), 4, byref(length)),
        ("C_GenerateRandom", session, out, 16),
        ("C_GenerateKey", session, byref(mechanism), template, 3, byref(handle)),
        ("C_EncryptInit", session, byref(mechanism), key), ("C_Encrypt", session, bytes(16), 16, out, byref(length)),
        ("C_EncryptUpdate", session, bytes(16), 16, out, byref(length)),
        ("C_EncryptFinal", session, out, byref(length)),
        ("C_VerifyInit", session, byref(mechanism), key), ("C_Verify", session, b"data", 4, bytes(64), 64),
        ("C_WrapKey", session, byref(mechanism), key, key, out, byref(length)), ("C_Login", session, 1, b"a:b", 3),
    ]  # fmt: skip
    proxy.answer = lambda request: None if request[7] == 1 else _garbage(draw, request)
    try:
        for count in range(repeated(600, 5_000, "HSMBRIDGE_FUZZ_ANSWERS")):
            # The caller says how long its buffer is; a library that trusts the daemon writes beyond it.
            length.value = 128 if count % 3 else 4
            function, *arguments = draw.choice(calls)
            if function in {"C_FindObjects", "C_GetMechanismList"}:
                length.value = 4
            cryptoki.call(str(function), *arguments)
            template[0].length = 20
    finally:
        proxy.answer = lambda _request: None
    cryptoki.call("C_CloseAllSessions", 0)
    again = cryptoki.open()
    cryptoki.login(again, PIN)
    cryptoki.must("C_GenerateRandom", again, out, 8)
    cryptoki.must("C_CloseAllSessions", 0)


def _program(site: Site, text: str) -> str:
    """Run a program that uses the library of this site."""
    head = (
        "import os, subprocess, sys\nfrom ctypes import byref, c_ubyte, c_ulong\n"
        f"from tests.native.cryptoki import Cryptoki\nck = Cryptoki()\nPIN = b'cu1:{PASSWORD}'\n"
        "def hsm(*words): subprocess.run([sys.executable, '-m', 'bridge', *words], check=True, capture_output=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + text], env=site.environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_after_a_restart_the_program_logs_in_again(site: Site) -> None:
    library()
    said = _program(
        site,
        """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (1, True), (3, b"kept")])
    for _ in range(2):
        before = ck.run("Encrypt", session, 0x1081, key, bytes(16))
    hsm("stop")
    count = c_ulong(9)
    ck.must("C_GetSlotList", c_ubyte(1), None, byref(count))
    print("slots", count.value, "down", hex(ck.begin("Encrypt", session, 0x1082, key)))
    hsm("start")
    out, length = (c_ubyte * 64)(), c_ulong(64)
    print("prepared", hex(ck.begin("Encrypt", session, 0x1081, key) or
                          ck.call("C_Encrypt", session, bytes(16), 16, out, byref(length))))
    print("again", hex(ck.begin("Encrypt", session, 0x1081, key)))
    session = ck.open()
    print("login", hex(ck.begin("Encrypt", session, 0x1081, key)))
    ck.login(session, PIN)
    print("old handle", hex(ck.begin("Encrypt", session, 0x1081, key)))
    (key,) = ck.find(session, [(3, b"kept")])
    print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == before)
""",
    )
    assert said.splitlines() == [
        "slots 0 down 0x30", "prepared 0xb3", "again 0xb3", "login 0x101", "old handle 0x60", "True",
    ]  # fmt: skip


def test_a_child_initialises_again_and_the_parent_goes_on(site: Site) -> None:
    library()
    said = _program(
        site,
        """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    public, private = ck.generate_pair(session, 0x1040, [(0x180, bytes.fromhex("06082a8648ce3d030107")), (0x10A, True)],
                                       [(0x108, True), (3, b"mine")])
    ck.run("Sign", session, 0x1044, private, b"before")
    child = os.fork()
    if not child:
        codes = [ck.call("C_Logout", session), ck.call("C_Initialize", None)]
        own = ck.open()
        ck.login(own, PIN)
        codes.append(len(ck.find(own, [(3, b"mine")])))
        codes.append(ck.call("C_Finalize", None))
        print(*map(hex, codes), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    signature = ck.run("Sign", session, 0x1044, private, b"after")
    print(ck.verify(session, 0x1044, public, b"after", signature))
""",
    )
    assert said.splitlines() == ["0x190 0x0 0x0 0x0", "0"]


def _clusters(*homes: Path) -> str:
    servers = [json.dumps({"hostname": str(socket_path(home)), "port": 2223, "enable": True}) for home in homes]
    clusters = ", ".join(f'{{"type": "hsm2m", "cluster": {{"servers": [{one}]}}}}' for one in servers)
    return f'{{"clusters": [{clusters}], "logging": {{"log_level": "info", "n": [1, -2.5e3, null, "\\""]}}}}\n'


def test_two_slots_are_two_hsms(
    cryptoki: Cryptoki, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pkcs11.cfg"
    monkeypatch.setenv("HSM_PKCS11_CONFIG", str(config))
    cryptoki.must("C_Finalize", NULL)
    try:
        with fresh_hsm(tmp_path / "two", "another-pass-1") as second, served(second) as other:
            config.write_text(_clusters(home, other))
            with cryptoki.started():
                sessions = [cryptoki.open(slot=slot) for slot in (0, 1)]
                cryptoki.login(sessions[0], PIN)
                cryptoki.login(sessions[1], b"cu1:another-pass-1")
                before = len(cryptoki.find(sessions[0], []))
                cryptoki.generate(sessions[1], 0x1080, [(0x161, 32), (1, True)])
                assert [len(cryptoki.find(session, [])) for session in sessions] == [before, 1]
                cryptoki.must("C_CloseAllSessions", 0)
                assert len(cryptoki.find(sessions[1], [])) == 1
        for content in (
            "",
            "{}",
            "[",
            '{"clusters": []}',
            '{"clusters": [{"cluster": {}}]}',
            '{"clusters": ' + "[" * 9999,
        ):
            config.write_text(content)
            assert cryptoki.call("C_Initialize", NULL) == 0x5
    finally:
        monkeypatch.undo()
        cryptoki.must("C_Initialize", NULL)
