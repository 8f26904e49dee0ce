"""The daemon as a process: what it has hardened, and its options."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

from bridge.carriers.client import Client
from tests.site import PASSWORD, Site

_DUMPABLE = """
import ctypes, os
from bridge.process.hardening import harden
get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
before = get()
left = harden()
print(before, get(), oct(os.umask(0)), len(left))
"""


def test_a_hardened_process_is_not_dumpable() -> None:
    done = subprocess.run([sys.executable, "-c", _DUMPABLE], capture_output=True, text=True, check=True, timeout=60)
    before, after, mask, _ = done.stdout.split()
    assert (before, after, mask) == ("1", "0", "0o77")


def test_the_daemon_is_hardened(site: Site) -> None:
    site.must("start", "--log-level", "debug")
    with Client.connect(site.home) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        client.call("GENERATE_KEY", "AES_KEY_GEN", {"TOKEN": True})
    status = json.loads(site.must("status", "--json"))
    process = Path("/proc") / str(status["pid"])
    limits = {line[:25].strip(): line[25:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max core file size"] == ["0", "0"]
    facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    assert facts["Umask"].strip() == "0077"
    assert (int(facts["VmLck"].split()[0]) > 0) == status["memory_locked"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in site.home.iterdir()}
    assert {"hsm.sock", "hsm.log", "hsm.db", "hsm.db-wal", "master.key", "hsm.lock", "audit.anchor"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    log = (site.home / "hsm.log").read_text()
    assert PASSWORD not in log
    assert all(json.loads(line)["message"] for line in log.splitlines())


def test_metrics_on_loopback_when_asked_for(site: Site) -> None:
    site.must("start")
    assert "metrics" not in json.loads(site.must("status", "--json"))
    assert "healthy        yes\n" in site.must("status")
    done = site.hsm("start", "--metrics-port", "0")
    assert (done.returncode, "serves no metrics; `hsm stop` it first" in done.stderr) == (1, True)
    site.must("stop")
    told = site.must("start", "--metrics-port", "0")
    status = json.loads(site.must("status", "--json"))
    assert status["healthy"] is True
    assert status["metrics"].startswith("http://127.0.0.1:")
    assert status["metrics"] in told
    site.must("start", "--metrics-port", "0")
    site.must("start", "--metrics-port", status["metrics"].split(":")[2].split("/")[0])
    assert f"serves metrics at {status['metrics']}" in site.hsm("start", "--metrics-port", "1").stderr
    with urllib.request.urlopen(status["metrics"], timeout=20) as answer:  # noqa: S310  # our own daemon's address
        assert b"HsmSessionCount" in answer.read()


def test_a_port_that_is_taken_is_told(site: Site, tmp_path: Path) -> None:
    site.must("start", "--metrics-port", "0")
    port = json.loads(site.must("status", "--json"))["metrics"].rpartition(":")[2].partition("/")[0]
    other = Site(tmp_path / "other", site.environment | {"HSM_HOME": str(tmp_path / "other")})
    other.must("init")
    done = other.hsm("start", "--metrics-port", port)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    other.must("start")
    other.must("stop")


def test_in_the_foreground_until_told(site: Site) -> None:
    command = [sys.executable, "-m", "bridge", "start", "--foreground"]
    with subprocess.Popen(command, env=site.environment) as process:
        try:
            for _ in range(600):
                if site.hsm("status").returncode == 0:
                    break
            site.must("stop")
            assert process.wait(30) == 0
        finally:
            process.kill()
