"""``hsm fault`` as processes on a daemon: what it adds, lists and clears, its metrics, and where it is refused."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import Site, fresh_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    own = {"HSM_HOME": str(tmp_path / "h"), "HSM_PASSWORD": "a-good-password", "HSM_USER": "cu1"}
    site = Site(tmp_path / "h", kept | own)
    started = json.loads(site.must("start", "--ephemeral", "--allow-faults", "--json", "--metrics-port", "0"))
    try:
        yield Site(site.home, site.environment | {"METRICS": started["metrics"]})
    finally:
        site.hsm("stop")


def test_its_life(site: Site, tmp_path: Path) -> None:
    assert site.must("fault", "list") == "No faults\n"
    options = ("--error", "StoreFull", "--operation", "FIND_KEYS,LOGIN", "--count", "1")
    assert site.must("fault", "add", "error", *options) == "1\n"
    done = site.hsm("key", "list")
    assert done.returncode == 1
    assert "a fault that was asked for: StoreFull" in done.stderr
    assert site.must("key", "list") == "No keys\n"
    (row,) = json.loads(site.must("fault", "list", "--json"))
    assert row == {"number": 1, "kind": "error", "hits": 1, "left": 0, "operations": ["FIND_KEYS", "LOGIN"]}
    with urllib.request.urlopen(site.environment["METRICS"], timeout=60) as told:  # noqa: S310  # of the daemon
        assert 'hsmbridge_faults_total{kind="error",operation="LOGIN"} 1.0' in told.read().decode()
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\nkind = "disconnect-before"\noperation = ["LOGIN"]\n[[fault]]\nkind = "throttling"\nrate = 0.5\n'
    )
    assert site.must("fault", "add", "--file", str(file)) == "2\n3\n"
    assert "went away before it answered" in site.hsm("key", "list").stderr
    assert "throttling" in site.must("fault", "list")
    site.must("fault", "clear", "2")
    assert [row["number"] for row in json.loads(site.must("fault", "list", "--json"))] == [1, 3]
    site.must("fault", "clear")
    assert site.must("key", "list") == "No keys\n"


def test_where_it_is_refused(site: Site, tmp_path: Path) -> None:
    for words, code, said in (
        (("add", "nonsense"), 1, "there is no fault 'nonsense'"),
        (("add",), 2, "give a KIND with its options, or --file"),
        (("add", "latency"), 1, "needs the option milliseconds"),
        (("add", "--file", str(tmp_path / "none")), 1, "No such file"),
    ):
        done = site.hsm("fault", *words)
        assert done.returncode == code, done
        assert said in done.stderr
    with fresh_site(tmp_path / "plain") as plain:
        assert "hsm start" in plain.hsm("fault", "list").stderr
        plain.must("start")
        done = plain.hsm("fault", "add", "throttling")
        assert done.returncode == 1
        assert "made without --allow-faults" in done.stderr
