"""kill -9 at any moment loses no acknowledged key and no entry of the audit log, and corrupts nothing."""

from __future__ import annotations

import json
import random
import threading
import time

from bridge.carriers.client import Client
from hsmcore.errors import HsmError
from tests.conftest import Tally, repeated
from tests.site import PASSWORD, Site, kill

ROUNDS = repeated(5, 12, "HSMBRIDGE_KILL_ROUNDS")


def test_kill_at_random_points(site: Site, tally: Tally) -> None:
    acknowledged: dict[int, str] = {}
    destroyed: set[int] = set()
    chance = random.Random(20)
    for number in range(ROUNDS):
        site.must("start")
        pid = json.loads(site.must("status", "--json"))["pid"]
        _check(site, acknowledged, destroyed)
        begun = threading.Event()
        worker = threading.Thread(target=_generate, args=(site, number, acknowledged, destroyed, begun))
        worker.start()
        assert begun.wait(60)
        time.sleep(chance.uniform(0.0, 0.2))
        kill(pid)
        worker.join(timeout=120)
        assert not worker.is_alive()
    site.must("start")
    _check(site, acknowledged, destroyed)
    assert acknowledged
    _check_log(site, acknowledged, destroyed)
    tally("kill -9, none lost")[f"acknowledged keys in {ROUNDS} rounds"] += len(acknowledged)


def _login(site: Site) -> Client:
    client = Client.connect(site.home)
    client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
    return client


def _generate(
    site: Site, number: int, acknowledged: dict[int, str], destroyed: set[int], begun: threading.Event
) -> None:
    """Make and destroy token keys until the daemon dies, noting what was answered."""
    try:
        with _login(site) as client:
            for count in range(10_000):
                label = f"{number}-{count}"
                (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": label, "SIZE": 256, "TOKEN": True})
                acknowledged[record["HANDLE"]] = label
                begun.set()
                client.call("GENERATE_KEY", "AES_KEY_GEN", {"TOKEN": False})
                if count % 4 == 3:
                    handle = record["HANDLE"]
                    del acknowledged[handle]
                    client.call("DESTROY_KEY", handle)
                    destroyed.add(handle)
    except (OSError, HsmError):
        return


def _check(site: Site, acknowledged: dict[int, str], destroyed: set[int]) -> None:
    """Every acknowledged key is there under its label and works; no destroyed key came back."""
    with _login(site) as client:
        found = {record["HANDLE"]: record["LABEL"] for record in client.found_keys({})}
        assert not destroyed & found.keys()
        for handle, label in acknowledged.items():
            assert found[handle] == label
        for handle in list(acknowledged)[-5:]:
            sealed, parameters = client.call("ENCRYPT", handle, "AES_GCM", None, b"text")
            assert client.call("DECRYPT", handle, "AES_GCM", parameters, sealed) == (b"text",)


def _check_log(site: Site, acknowledged: dict[int, str], destroyed: set[int]) -> None:
    """The log is whole, and what was acknowledged is in it, session keys too."""
    verified = json.loads(site.must("audit", "verify", "--json"))
    assert verified["findings"] == []
    assert verified["reboot"] > ROUNDS
    log = [json.loads(line) for line in site.must("audit", "list", "--json").splitlines()]
    assert [entry["sequence"] for entry in log] == list(range(len(log)))
    made = {entry["secret_handle"] for entry in log if entry["opcode"] == "CN_GENERATE_KEY"}
    gone = {entry["secret_handle"] for entry in log if entry["opcode"] == "CN_TOMBSTONE_OBJECT"}
    assert made >= acknowledged.keys() | destroyed
    assert gone >= destroyed
    assert not gone & acknowledged.keys()
