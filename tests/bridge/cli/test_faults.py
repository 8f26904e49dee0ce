"""``hsm fault`` as processes on a daemon: what it adds, lists and clears, its metrics, and where it is refused."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fork_server
from tests.signing import Signer
from tests.site import Site, fresh_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    own = {"HSM_HOME": str(tmp_path / "h"), "HSM_PASSWORD": "a-good-password", "HSM_USER": "cu1"}
    own["HSM_ADMIN_PASSWORD"] = "another-good-password"
    site = Site(tmp_path / "h", kept | own)
    started = json.loads(site.must("start", "--ephemeral", "--allow-faults", "--json", "--metrics-port", "0"))
    try:
        yield Site(site.home, site.environment | {"METRICS": started["metrics"]})
    finally:
        site.here("stop")


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


def _cloudhsm_cli(site: Site, role: str, *words: str, code: int = 0) -> Any:
    """Run a command of ``cloudhsm-cli`` as a user and return its data."""
    name, secret = ("admin", "HSM_ADMIN_PASSWORD") if role == "admin" else ("cu1", "HSM_PASSWORD")
    login = {"CLOUDHSM_ROLE": role, "CLOUDHSM_PIN": f"{name}:{site.environment[secret]}"}
    destination = {f"DESTINATION_{key}": value for key, value in login.items()}
    done = fork_server.run(("cloudhsm-cli", *words), site.environment | login | destination)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["error_code"]) == (code, code), done.stdout + done.stderr
    return answer["data"]


def test_an_hsm_that_is_down(site: Site) -> None:
    (alone,) = _cloudhsm_cli(site, "crypto-user", "cluster", "hsm-info")["hsms"]
    assert "state" not in alone
    site.must("fault", "add", "hsm-down", "--member", "3")
    up, down = _cloudhsm_cli(site, "crypto-user", "cluster", "hsm-info")["hsms"]
    assert (up["number"], up["state"], up["serial-number"]) == ("1", "ACTIVE", alone["serial-number"])
    assert (down["number"], down["state"]) == ("3", "NOT RESPONDING")
    words = ("key", "generate-symmetric", "aes", "--label", "refused", "--key-length-bytes", "32")
    refused = _cloudhsm_cli(site, "crypto-user", *words, code=1)
    assert refused == "Cannot perform the requested key operation as the key must be available on at least 2 HSMs"
    site.must("fault", "clear")
    assert _cloudhsm_cli(site, "crypto-user", "cluster", "hsm-info")["hsms"] == [alone]


def test_hsms_that_differ(site: Site) -> None:
    words = ("key", "generate-symmetric", "aes", "--label", "one", "--key-length-bytes", "32")
    _cloudhsm_cli(site, "crypto-user", *words, "--attributes", "token=true")
    site.must("fault", "add", "inconsistent", "--name", "cu1", "--field", "cluster-coverage,role,locked,mfa")
    users = {user["username"]: user for user in _cloudhsm_cli(site, "admin", "user", "list")["users"]}
    assert users["admin"]["cluster-coverage"] == "full"
    assert users["cu1"] == {
        "username": "cu1", "role": "inconsistent", "locked": "inconsistent",
        "mfa": [{"strategy": "token-sign", "status": "inconsistent"}], "quorum": [],
        "cluster-coverage": "inconsistent",
    }  # fmt: skip
    clone = ("--destination-cluster-id", str(site.home))
    replicate = ("user", "replicate", "--username", "cu1", "--role", "crypto-user", *clone)
    refused = _cloudhsm_cli(site, "admin", *replicate, "--source-cluster-id", str(site.home), code=1)
    assert refused == "Specified user is inconsistent across the cluster"
    (key,) = _cloudhsm_cli(site, "crypto-user", "key", "list", "--verbose")["matched_keys"]
    assert key["key-info"]["cluster-coverage"] == "full"
    site.must("fault", "add", "inconsistent")
    (key,) = _cloudhsm_cli(site, "crypto-user", "key", "list", "--verbose")["matched_keys"]
    assert key["key-info"]["cluster-coverage"] == "inconsistent"
    assert key["key-info"]["key-owners"] == [{"username": "cu1", "key-coverage": "inconsistent"}]
    replicate = ("key", "replicate", "--filter", "attr.label=one", *clone, "--source-cluster-id", str(site.home))
    refused = _cloudhsm_cli(site, "crypto-user", *replicate, code=1)
    assert refused == "The selected key is not synchronized throughout the cluster"


def test_a_clock_that_is_ahead_ends_tokens(site: Site, tmp_path: Path) -> None:
    signer, token, public = Signer(tmp_path, "key"), tmp_path / "token.json", tmp_path / "public.pem"
    public.write_bytes(signer.public)
    generate = ("quorum", "token-sign", "generate", "--service", "registration", "--token", str(token))
    register = ("user", "change-quorum", "token-sign", "register", "--public-key", str(public))
    for code in (1, 0):
        _cloudhsm_cli(site, "admin", *generate)
        token.write_bytes(signer.signed(token.read_bytes()))
        if code:
            site.must("fault", "add", "clock-skew", "--ahead", "86400")
        registered = _cloudhsm_cli(site, "admin", *register, "--signed-token", str(token), code=code)
        site.must("fault", "clear")
        token.unlink()
        assert code == 0 or "has expired" in registered


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
