"""Many threads of a Java program for some time: no wrong result, nothing lost, no defect, flat memory.

``make soak`` runs it for five minutes.
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
SECONDS = repeated(5, 20, "HSMBRIDGE_SOAK_SECONDS")
SLACK_KIB = 10 * 1024
"""By how much the daemon's memory may grow in the second half: the number of its connections varies."""
SESSION_SECONDS = 60
"""How long the sessions of a program that has ended may take to end."""


def _memory(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.long
def test_many_threads_for_some_time(site: Site, tally: Tally, tmp_path: Path) -> None:
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
        program = Application(site, tmp_path, (classes,), seconds=SECONDS + 120)
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
    tally(f"soak of {THREADS} threads, {SECONDS} s, nothing lost").update(counts)
    tally("soak, memory in KiB").update({"daemon after a half": half, "daemon at the end": late, "Java heap": heap})


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
