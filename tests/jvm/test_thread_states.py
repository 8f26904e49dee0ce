"""A Java thread's Python state is kept while the thread lives and given back when it has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_ENDED = "ended"

_SCRIPT = """
import ctypes, sys, threading, time
from pathlib import Path
from bridge import inprocess, jvm
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
before = states()
run = JClass("ShortLivedThreads").run
run(mac, 4000)
print("states", settled())
start, channels = resident(), len(inprocess._channels)
run(mac, 9000)
print("states", settled())
print("channels", len(inprocess._channels) - channels)
print("kib", resident() - start)
carrier.close()
hsm.close()
print("ended", flush=True)
"""


def test_memory_is_flat_over_many_short_lived_threads(tmp_path: Path) -> None:
    subprocess.run(["javac", "-d", tmp_path, _HERE / "ShortLivedThreads.java"], check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, tmp_path, tmp_path / "hsm"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[-1] == _ENDED
    states, channels, grown = [int(words[1]), int(words[3])], int(words[5]), int(words[7])
    assert max(states) <= 20, done.stdout
    assert channels <= 100, "the channels of threads that have ended serve the next ones"
    # An unreleased state is 5 KiB a thread, so 45 000; what one JVM and its compiler take meanwhile was up to 4500.
    assert grown < 15_000, done.stdout
