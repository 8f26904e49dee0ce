"""Beginning and end of the library beside other threads, and forks beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.process.paths import socket_path
from bridge.protocol import codec
from hsmcore.errors import OperationLimit
from tests.conftest import repeated
from tests.native.proxy import Proxy
from tests.site import PASSWORD, Site

_ROOT = Path(__file__).parents[2]
LIMIT = OperationLimit.code
_HEAD = """
import ctypes, os, signal, sys, threading, time
from ctypes import byref, c_ubyte, c_ulong
from tests.native.cryptoki import Cryptoki, Mechanism
ck = Cryptoki()
PIN, ROUNDS = sys.argv[1].encode(), int(sys.argv[2])

def started(count, work):
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    [thread.start() for thread in threads]
    return threads

def ended(threads):
    [thread.join(60) for thread in threads]
    return not any(thread.is_alive() for thread in threads)

def sockets():
    names = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return [name for name in names if os.path.exists(name) and os.readlink(name).startswith("socket:")]

def log_in():
    session = ck.open()
    ck.login(session, PIN)
    return session
"""


def _run(site: Site, text: str, rounds: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + text, f"cu1:{PASSWORD}", str(rounds)], cwd=_ROOT, capture_output=True, text=True,
        env=site.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_one_of_many_threads_initialises(site: Site) -> None:
    text = """
for _ in range(ROUNDS):
    codes, ends, gate = [], [], threading.Barrier(20)
    def begin():
        gate.wait(60)
        codes.append(ck.call("C_Initialize", None))
    def end():
        gate.wait(60)
        ends.append(ck.call("C_Finalize", None))
    assert ended(started(20, begin)) and ended(started(20, end))
    assert sorted(codes) == [0] + [0x191] * 19, codes
    assert sorted(ends) == [0] + [0x190] * 19, ends
print("one each")
"""
    assert _run(site, text, repeated(3, 100)) == "one each\n"


def test_the_end_waits_for_the_calls_of_other_threads(site: Site) -> None:
    """The standard leaves this open. After the end nothing of the library is in progress."""
    text = """
stopped = False
unexpected = set()
def work():
    out, length = (c_ubyte * 64)(), c_ulong(64)
    while not stopped:
        session, handle = c_ulong(), c_ulong()
        codes = [ck.call("C_OpenSession", 0, 6, None, None, byref(session)),
                 ck.call("C_Login", session, 1, PIN, len(PIN)),
                 ck.call("C_DigestInit", session, byref(Mechanism(0x250))),
                 ck.call("C_DigestUpdate", session, b"data", 4),
                 ck.call("C_DigestFinal", session, out, byref(length)),
                 ck.call("C_GetTokenInfo", 0, (c_ubyte * 512)()),
                 ck.call("C_FindObjectsInit", session, None, 0)]
        unexpected.update(set(codes) - {0, 0x190, 0xB3, 0x91, 0x90, 0x100, 0x101})
threads = started(6, work)
for _ in range(ROUNDS):
    ck.must("C_Initialize", None)
    time.sleep(0.02)
    ck.must("C_Finalize", None)
    assert not sockets()
stopped = True
print(ended(threads), unexpected)
with ck.started():
    log_in()
"""
    assert _run(site, text, repeated(8, 100)) == "True set()\n"


def test_children_begin_whatever_the_parents_threads_do(site: Site) -> None:
    text = """
ck.must("C_Initialize", None)
session = log_in()
key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
stopped = False
def work():
    own = ck.open()
    while not stopped:
        ck.run("Encrypt", own, 0x1081, key, bytes(16))
        ck.must("C_CloseSession", ck.open())
        ck.call("C_EncryptInit", own, byref(Mechanism(0x1081)), key + 1)
def begin():
    while not stopped:
        assert ck.call("C_Initialize", None) == 0x191
threads = started(3, work) + started(2, begin)
time.sleep(0.2)
for _ in range(ROUNDS):
    child = os.fork()
    if not child:
        signal.alarm(30)
        assert ck.call("C_GetSessionInfo", session, (c_ubyte * 64)()) == 0x190
        ck.must("C_Initialize", None)
        ck.run("Digest", log_in(), 0x250, None, b"data")
        ck.must("C_Finalize", None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stopped = True
assert ended(threads)
print(len(ck.run("Encrypt", session, 0x1081, key, bytes(16))))
"""
    assert _run(site, text, repeated(6, 80)) == "16\n"


@pytest.mark.parametrize(("mode", "requests"), [("standard", 2), ("off", 1)])
def test_a_lost_answer_is_asked_for_again_unless_that_is_off(
    site: Site, tmp_path: Path, mode: str, requests: int
) -> None:
    file = tmp_path / "cloudhsm-pkcs11.cfg"
    with Proxy(tmp_path, site.home).running() as proxy:
        cluster = {"servers": [{"hostname": str(socket_path(proxy.home))}], "options": {"default_retry_mode": mode}}
        file.write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
        proxy.answer = lambda request: b"" if b"C_GetMechanismInfo" in request else None
        text = """
with ck.started():
    ck.open()
    print(hex(ck.call("C_GetMechanismInfo", 0, 1, (c_ubyte * 64)())))
"""
        said = _run(Site(site.home, site.environment | {"HSM_PKCS11_CONFIG": str(file)}), text, 1)
        # One request opens the application, one the session.
        assert (said, proxy.count()) == ("0x30\n", 2 + requests)


def test_a_limit_of_the_hsm_is_a_function_that_failed(site: Site, tmp_path: Path) -> None:
    """So the original tells that it is throttled."""

    def limited(request: bytes) -> bytes | None:
        _, session, number = codec.decode_header(request)
        return codec.encode_request(LIMIT, session, number, []) if b"C_GetMechanismInfo" in request else None

    file = tmp_path / "cloudhsm-pkcs11.cfg"
    with Proxy(tmp_path, site.home).running() as proxy:
        proxy.answer = limited
        file.write_text(
            json.dumps({"clusters": [{"cluster": {"servers": [{"hostname": str(socket_path(tmp_path))}]}}]})
        )
        text = 'ck.must("C_Initialize", None)\nprint(hex(ck.call("C_GetMechanismInfo", 0, 1, (c_ubyte * 64)())))'
        assert _run(Site(site.home, site.environment | {"HSM_PKCS11_CONFIG": str(file)}), text, 1) == "0x6\n"


@pytest.mark.long
def test_a_stopped_daemon_is_told_and_goes_on(site: Site) -> None:
    """The call waits for HSM_TIMEOUT; a daemon that goes on in time still has the session."""
    text = """
import json, subprocess
said = subprocess.run([sys.executable, "-m", "bridge", "status", "--json"], capture_output=True)
pid = json.loads(said.stdout)["pid"]
with ck.started():
    session = log_in()
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
    expected = ck.run("Encrypt", session, 0x1081, key, bytes(16))
    def stop():
        os.kill(pid, signal.SIGSTOP)
        while open(f"/proc/{pid}/stat").read().rpartition(") ")[2][0] != "T":
            time.sleep(0.01)
    def stopped(call):
        stop()
        try:
            return call()
        finally:
            os.kill(pid, signal.SIGCONT)
    print(hex(stopped(lambda: ck.call("C_GetTokenInfo", 0, (c_ubyte * 512)()))))
    print(hex(stopped(lambda: ck.begin("Encrypt", session, 0x1082, key))))
    print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == expected)
    timer = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
    stop()
    timer.start()
    print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == expected)
"""
    said = _run(Site(site.home, site.environment | {"HSM_TIMEOUT": "4"}), text, 1)
    # Token information has no token where no HSM answers.
    assert said.replace("0xe0", "0x30", 1).split() == ["0x30", "0x30", "True", "True"]


@pytest.mark.parametrize("seconds", ["0", "86401", "-1", "1.5", "soon", "99999999999"])
def test_a_limit_that_is_no_number_of_seconds(site: Site, seconds: str) -> None:
    text = 'print(hex(ck.call("C_Initialize", None)))'
    assert _run(Site(site.home, site.environment | {"HSM_TIMEOUT": seconds}), text, 1) == "0x5\n"


@pytest.mark.parametrize("handles", ["another session's", "a child's parent's"])
def test_handles_of_others_mean_nothing(site: Site, handles: str) -> None:
    text = """
ck.must("C_Initialize", None)
session = log_in()
key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (1, True)])
if not os.fork():
    ck.must("C_Initialize", None)
    own = log_in()
    print(hex(ck.begin("Encrypt", own, 0x1081, key)), hex(ck.call("C_CloseSession", session)), flush=True)
    os._exit(0)
os.wait()
print(hex(ck.begin("Encrypt", session, 0x1081, key)))
""" if handles == "a child's parent's" else """
ck.must("C_Initialize", None)
session, other = log_in(), ck.open()
key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
print(hex(ck.begin("Encrypt", other, 0x1081, key)), end=" ")
ck.must("C_CloseSession", session)
print(hex(ck.call("C_Encrypt", session, bytes(16), 16, (c_ubyte * 64)(), byref(c_ulong(64)))))
print(hex(ck.begin("Decrypt", other, 0x1081, key)))
"""  # fmt: skip
    expected = {"a child's parent's": "0x60 0xb3\n0x0\n", "another session's": "0x0 0xb3\n0x60\n"}
    assert _run(site, text, 1) == expected[handles]
