"""A Java thread's Python state is kept while the thread lives and given back when it has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import jdk
from tests.conftest import repeated

_HERE = Path(__file__).parent

_THREADS = repeated(1_000, 2_000)

_SCRIPT = """
import ctypes, json, sys, threading, time
from pathlib import Path
from bridge.carriers import inprocess, jvm
from bridge.pytest_plugin import USER, fresh_hsm
from jpype import JClass

python = ctypes.pythonapi
for name in ("PyInterpreterState_Get", "PyInterpreterState_ThreadHead", "PyThreadState_Next"):
    getattr(python, name).restype = ctypes.c_void_p
python.PyInterpreterState_ThreadHead.argtypes = python.PyThreadState_Next.argtypes = (ctypes.c_void_p,)

def states():
    count, state = 0, python.PyInterpreterState_ThreadHead(python.PyInterpreterState_Get())
    while state:
        count, state = count + 1, python.PyThreadState_Next(state)
    return count

def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])

def settled():
    deadline = time.monotonic() + 20
    while states() > before + 20 and time.monotonic() < deadline:
        JClass("java.lang.System").gc()
        time.sleep(0.1)
    return states() - before

jvm.start(["-Xmx64m", "-XX:+UseSerialGC"], [sys.argv[1]])
hsm = fresh_hsm(Path(sys.argv[2]), "thread-pass-1")
carrier = jvm.install(hsm)
provider = jvm.add_provider()
jvm.login(provider, USER, "thread-pass-1")
key = JClass("javax.crypto.KeyGenerator").getInstance("HmacSHA256", provider).generateKey()
mac = JClass("javax.crypto.Mac").getInstance("HmacSHA256", provider)
mac.init(key)
before, threads = states(), int(sys.argv[3])
run = JClass("ShortLivedThreads").run
run(mac, threads)
states_left = [settled()]
channels, grown = len(inprocess._channels), []
for _ in range(3):
    start = resident()
    run(mac, threads)
    states_left.append(settled())
    grown.append(resident() - start)
print(json.dumps({"states": states_left, "channels": len(inprocess._channels) - channels, "kib": grown}))
carrier.close()
hsm.close()
"""


def test_memory_is_flat_over_many_short_lived_threads(tmp_path: Path) -> None:
    classes = jdk.classes(_HERE / "ShortLivedThreads.java")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, classes, tmp_path / "hsm", str(_THREADS)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert max(found["states"]) <= 20, found
    assert found["channels"] <= 100, "the channels of threads that have ended serve the next ones"
    # An unreleased state is 5 KiB. A JVM and its compiler take as much at first, but not each time.
    assert min(found["kib"]) < 2 * _THREADS, found


_INSTALLED_AGAIN = """
import sys
from pathlib import Path
from bridge.carriers import jvm
from bridge.pytest_plugin import USER, fresh_hsm
from jpype import JClass

jvm.start(["-XX:MaxDirectMemorySize=24m"])
hsm = fresh_hsm(Path(sys.argv[1]), "again-pass-1")
for _ in range(40):
    carrier = jvm.install(hsm)
    provider = jvm.add_provider()
    jvm.login(provider, USER, "again-pass-1")
    cipher = JClass("javax.crypto.Cipher").getInstance("AES/GCM/NoPadding", provider)
    cipher.init(1, JClass("javax.crypto.KeyGenerator").getInstance("AES", provider).generateKey())
    assert len(cipher.doFinal(bytes(1 << 20))) == (1 << 20) + 16
    carrier.close()
print("done")
"""


def test_large_buffers_end_with_their_hsm(tmp_path: Path) -> None:
    """As in a run of many tests, each with a fresh HSM: forty buffers of 1 MiB do not fit."""
    done = subprocess.run(
        [sys.executable, "-c", _INSTALLED_AGAIN, tmp_path / "hsm"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "done\n", done.stderr


_TWO_HSMS = """
import sys
from pathlib import Path
from bridge.carriers import jvm
from bridge.pytest_plugin import USER, fresh_hsm
from jpype import JClass

jvm.start([])
seconds, threads = JClass("java.util.concurrent.TimeUnit").SECONDS, JClass("java.util.concurrent.Executors")
cycle = JClass("java.lang.System")
for turn in range(4):
    pool = threads.newFixedThreadPool(4)
    for place in range(2):
        hsm = fresh_hsm(Path(sys.argv[1]) / f"{turn}-{place}", "pool-pass-1")
        carrier = jvm.install(hsm)
        provider = jvm.add_provider()
        jvm.login(provider, USER, "pool-pass-1")
        generator = JClass("javax.crypto.KeyGenerator").getInstance("AES", provider)
        random = JClass("java.security.SecureRandom").getInstance("AES-CTR-DRBG", provider)
        tasks = [pool.submit(JClass("ShortLivedThreads").drawing(random)) for _ in range(40)]
        for task in tasks:
            task.get(30, seconds)
        carrier.close()
        hsm.close()
    pool.shutdown()
    pool.awaitTermination(30, seconds)
    del pool, tasks, random, generator, provider
    for _ in range(20):
        cycle.gc()
        __import__("time").sleep(0.05)
print("done")
"""


@pytest.mark.long
def test_a_thread_that_uses_two_hsms_in_turn_has_one_state(tmp_path: Path) -> None:
    """As the threads of a program's pool do in a run of many tests, each with a fresh HSM."""
    classes = jdk.classes(_HERE / "ShortLivedThreads.java")
    script = _TWO_HSMS.replace("jvm.start([])", f"jvm.start([], [{str(classes)!r}])")
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr
