"""Many threads of a Java program for some time: no wrong result, nothing lost, no defect, flat memory.

``make soak`` runs it for five minutes over the Unix socket, and as long over TLS.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from tests import jdk
from tests.conftest import Tally, repeated
from tests.consumers.application import Application
from tests.site import ADMIN_PASSWORD, Site

THREADS = 32
SECONDS = repeated(5, 10, "HSMBRIDGE_SOAK_SECONDS")
SLACK_KIB = 10 * 1024
"""By how much the daemon's memory may grow in the second half: the number of its connections varies."""
SESSION_SECONDS = 60
"""How long the sessions of a program that has ended may take to end."""


def _memory(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def _begin_with_tls(site: Site, folder: Path) -> Site:
    """Start the daemon with TLS, and return the site of programs that reach it over TLS only."""
    site.must("cluster", "initialize", "--new-ca", str(folder / "ca"), "--name", "127.0.0.1")
    site.must("start", "--listen", "127.0.0.1:0")
    port = int(json.loads(site.must("status", "--json"))["listen"].rpartition(":")[2])
    cluster = {
        "hsm_ca_file": str(folder / "ca" / "customerCA.crt"),
        "servers": [{"hostname": "127.0.0.1", "port": port}],
        "options": {"disable_key_availability_check": True},
    }
    file = folder / "jce.cfg"
    file.write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
    kept = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    return Site(site.home, kept | {"HSM_CONFIG": str(file)})


@pytest.mark.long
@pytest.mark.parametrize("carrier", ["unix", "tls"])
def test_many_threads_for_some_time(site: Site, tally: Tally, tmp_path: Path, carrier: str) -> None:
    programs = site
    if carrier == "tls":
        programs = _begin_with_tls(site, tmp_path)
    else:
        site.must("start")
    with Client.connect(site.home) as client:
        client.call("LOGIN", "cu1", site.environment["HSM_PASSWORD"].encode(), "crypto-user")
        client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": "kept", "TOKEN": True})
        kept = client.found_keys({})
    classes = jdk.classes(Path(__file__).parent / "java")
    pid = json.loads(site.must("status", "--json"))["pid"]
    memory: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS / 50):
            memory.append(_memory(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        program = Application(programs, tmp_path, (classes,), seconds=SECONDS + 120)
        printed = program.run("Soak", THREADS, SECONDS, HSM_USER="cu1")
    finally:
        ended.set()
        watcher.join()
    counts = {name: int(count) for name, _, count in (line.partition("=") for line in printed.splitlines()) if count}
    heap = counts.pop("heap KiB")
    # The smallest of several, because a login takes 19 MiB for a moment.
    some = len(memory) // 5
    half, late = min(memory[2 * some : 3 * some]), min(memory[-some:])
    assert min(counts.values()) > 0
    assert late < half + SLACK_KIB, memory
    _check_the_rest(site, kept)
    tally(f"soak of {THREADS} threads over {carrier}, {SECONDS} s, nothing lost").update(counts)
    tally(f"soak over {carrier}, memory in KiB").update(
        {"daemon after a half": half, "daemon at the end": late, "Java heap": heap}
    )


def _check_the_rest(site: Site, kept: list[object]) -> None:
    """The sessions have ended with the program, and their keys and operations; the token key is there, and the log."""
    with Client.connect(site.home) as client:
        client.call("LOGIN", "admin", ADMIN_PASSWORD.encode(), "admin")
        end = time.monotonic() + SESSION_SECONDS
        while client.call("STATUS")[0]["sessions"] > 1 and time.monotonic() < end:
            time.sleep(0.5)
        (status,) = client.call("STATUS")
        assert (status["sessions"], status["keys"], status["healthy"]) == (1, len(kept), True)
        assert client.call("AUDIT_VERIFY", None)[0]["findings"] == []
    log = [json.loads(line) for line in (site.home / "hsm.log").read_text().splitlines()]
    assert [line for line in log if line["level"] in ("error", "warning")] == []
