"""kill -9 at any moment loses no acknowledged key and corrupts nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time

import pytest

from bridge.client import Client
from hsmcore.errors import HsmError
from tests.site import PASSWORD, Site

ROUNDS = 50


def test_kill_at_random_points(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    acknowledged: dict[int, str] = {}
    destroyed: set[int] = set()
    chance = random.Random(20)
    for number in range(ROUNDS):
        site.must("start")
        pid = json.loads(site.must("status", "--json"))["pid"]
        _check(site, acknowledged, destroyed)
        worker = threading.Thread(target=_generate, args=(site, number, acknowledged, destroyed))
        worker.start()
        time.sleep(chance.uniform(0.05, 0.25))
        os.kill(pid, signal.SIGKILL)
        worker.join(timeout=30)
        assert not worker.is_alive()
    site.must("start")
    _check(site, acknowledged, destroyed)
    assert acknowledged
    with capsys.disabled():
        print(
            f"\nkill -9: {ROUNDS} rounds, {len(acknowledged)} acknowledged keys, {len(destroyed)} destroyed, none lost"
        )


def _login(site: Site) -> Client:
    client = Client.connect(site.home)
    client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
    return client


def _generate(site: Site, number: int, acknowledged: dict[int, str], destroyed: set[int]) -> None:
    """Make and destroy token keys until the daemon dies, noting what was answered."""
    try:
        with _login(site) as client:
            for count in range(10_000):
                label = f"{number}-{count}"
                (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": label, "SIZE": 256, "TOKEN": True})
                acknowledged[record["HANDLE"]] = label
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
        found = {record["HANDLE"]: record["LABEL"] for record in client.call("FIND_KEYS", {}, 0)[0]}
        assert not destroyed & found.keys()
        for handle, label in acknowledged.items():
            assert found[handle] == label
        for handle in list(acknowledged)[-5:]:
            sealed, parameters = client.call("ENCRYPT", handle, "AES_GCM", None, b"text")
            assert client.call("DECRYPT", handle, "AES_GCM", parameters, sealed) == (b"text",)
