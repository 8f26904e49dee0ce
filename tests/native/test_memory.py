"""Memory of the library: sanitizers over the other tests, and no growth over many operations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import repeated
from tests.native.cryptoki import LIBRARY
from tests.requirements import missing, tool
from tests.site import PASSWORD, Site

_ROOT = Path(__file__).parents[2]
_BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, "bridge/native")
import build_library
build_library.build(Path("."), Path(sys.argv[1]), ("-g", *sys.argv[2:]))
"""


def _built(target: Path, *flags: str) -> Path:
    """Build the library with sanitizers."""
    subprocess.run([sys.executable, "-c", _BUILD, str(target), *flags], cwd=_ROOT, check=True, timeout=120)
    return target


@pytest.mark.long
@pytest.mark.timeout(600)
def test_sanitizers_find_nothing_in_the_other_tests(tmp_path: Path) -> None:
    runtime = subprocess.run([tool("gcc"), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(runtime.stdout.strip()).is_absolute():
        missing("gcc has no address sanitizer (libasan)")
    sanitized = tmp_path / "libcloudhsm_pkcs11.so"
    _built(sanitized, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    tests = tuple(f"test_{name}.py" for name in ("first_steps", "mechanisms", "faults", "inputs", "life", "tls"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *(f"tests/native/{name}" for name in tests)],
        env=os.environ | {
            "LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", LIBRARY: str(sanitized),
            "HSMBRIDGE_TEST_ALL": "0", "HSMBRIDGE_FUZZ_ANSWERS": "2000",
        },
        cwd=_ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_operations_of_a_c_program_leak_nothing(site: Site, tmp_path: Path) -> None:
    """The leak sanitizer looks when the program ends: every block must have been freed, or be reachable."""
    sanitized = _built(tmp_path / "libcloudhsm_pkcs11.so", "-fsanitize=address")
    program = tmp_path / "loop"
    source, include = _ROOT / "tests" / "bench" / "cryptoki_loop.c", _ROOT / "bridge" / "native"
    compiled = [tool("gcc"), "-g", "-fsanitize=address", "-pthread", f"-I{include}", str(source), "-o", str(program)]
    subprocess.run(compiled, check=True, timeout=120)
    wanted = repeated(20_000, 100_000, "HSMBRIDGE_LEAK_OPERATIONS")
    with subprocess.Popen(
        [str(program), str(sanitized), f"cu1:{PASSWORD}", "1"],
        env=site.environment | {"ASAN_OPTIONS": "detect_leaks=1"}, cwd=_ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        names = [line.rstrip("\n") for line in iter(process.stdout.readline, "\n")]
        done = 0
        # Most operations are the quickest one; each of the others has a window too.
        while done < wanted:
            for name in names if done == 0 else names[-1:]:
                print(name, 2, 1000, sep="\t", file=process.stdin, flush=True)
                line = process.stdout.readline()
                assert line, process.communicate(timeout=60)[1][:4000]
                rate = int(line)
                assert rate, name
                done += rate
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said[-4000:]


_OPERATIONS = """
import ctypes, sys
from ctypes import byref, c_char, c_ulong
from tests.native import cryptoki as pkcs11

class Usage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Usage

def used():
    usage = libc.mallinfo2()
    return usage.uordblks + usage.hblkhd

ck = pkcs11.Cryptoki()
with ck.started():
    session = ck.open()
    ck.login(session, sys.argv[1].encode())
    public, private = ck.generate_pair(session, 0x1040, [(0x180, pkcs11.P256), (0x10A, True)], [(0x108, True)])
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (0x105, True)])
    iv = (c_char * 12)()

    def round():
        signature = ck.run("Sign", session, 0x1044, private, b"data")
        assert ck.verify(session, 0x1044, public, b"data", signature) == 0
        ctypes.memset(iv, 0, 12)
        sealed = ck.run("Encrypt", session, pkcs11.gcm(0x1087, iv), key, b"plain")
        assert ck.run("Decrypt", session, pkcs11.gcm(0x1087, iv), key, sealed) == b"plain"
        assert ck.run("Digest", session, 0x250, None, b"data")
        other = ck.open()
        assert ck.find(other, [(0, 3)]) and ck.read(other, public, 0x181)
        ck.begin("Encrypt", other, 0x1081, key + 1)
        ck.begin("Sign", other, 0x1044, private)
        ck.must("C_CloseSession", other)

    for _ in range(50):
        round()
    before = used()
    for _ in range(int(sys.argv[2])):
        round()
    print(used() - before)
"""


def test_memory_does_not_grow(site: Site) -> None:
    rounds = repeated(150, 1_000, "HSMBRIDGE_LEAK_ROUNDS")
    done = subprocess.run(
        [sys.executable, "-c", _OPERATIONS, f"cu1:{PASSWORD}", str(rounds)],
        env=site.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, cwd=_ROOT, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Less than a byte for each call: the interpreter's own memory varies by some kilobytes.
    assert int(done.stdout) < 16 * 1024, done.stdout
