"""The console's HTTP interface: who gets which answer, and which requests get none."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.console import logins
from bridge.console.logins import ConsoleFull, Logins
from bridge.console.rates import within
from hsmcore.errors import Unauthenticated
from tests.bridge.console.conftest import CREDENTIALS, Console
from tests.site import ADMIN_PASSWORD, Site


def test_a_crypto_user_reads_own_keys_and_no_audit_log(console: Console) -> None:
    token = console.login("crypto-user")
    headers = {"X_Console_Login": token}
    assert console.ask("/api/session", **headers)[1]["audit"] is False
    _, health = console.ask("/api/health", **headers)
    assert health["status"]["healthy"] is True  # type: ignore[index]
    _, found = console.ask("/api/keys?text=PAYM", **headers)
    (key,) = found["keys"]  # type: ignore[misc]
    assert key["LABEL"] == "payments"
    assert found["next"] is None
    _, whole = console.ask(f"/api/key?reference={key['reference']}", **headers)
    assert whole["key"]["OWNER"] == "cu1"  # type: ignore[index]
    assert whole["key"]["KEY_LENGTH"] == 32  # type: ignore[index]
    assert console.ask("/api/audit", **headers)[0] == 403
    assert console.ask("/api/verify", {}, **headers)[0] == 403
    _, numbers = console.ask("/api/operations", **headers)
    assert isinstance(numbers["rows"], list)


def test_an_admin_reads_the_audit_log_and_verifies_it(console: Console, site: Site) -> None:
    headers = {"X_Console_Login": console.login("admin")}
    _, last = console.ask("/api/audit", **headers)
    entries = last["entries"]
    assert isinstance(entries, list)
    assert "CN_LOGIN" in [entry["opcode"] for entry in entries]
    listed = [json.loads(line) for line in site.must("audit", "list", "--json").splitlines()]
    first = entries[0]["sequence"]
    assert [entry["hash"] for entry in entries] == [entry["hash"] for entry in listed[first : first + len(entries)]]
    _, earlier = console.ask("/api/audit?before=3", **headers)
    assert [entry["sequence"] for entry in earlier["entries"]] == [0, 1, 2]  # type: ignore[attr-defined]
    _, verified = console.ask("/api/verify", {}, **headers)
    assert verified["findings"] == []
    again = console.ask("/api/verify", {"anchor": verified["anchor"]}, **headers)
    assert again[1]["findings"] == []
    _, users = console.ask("/api/users", **headers)
    assert {user["username"] for user in users["users"]} >= {"admin", "cu1"}  # type: ignore[attr-defined]
    assert users["values"] == {"user": 1, "quorum": 1, "cluster": 1}


def test_a_login_ends_with_its_session_of_the_hsm(console: Console, site: Site) -> None:
    token = console.login("admin")
    sessions = json.loads(site.must("status", "--json"))["sessions"]
    assert console.ask("/api/logout", {}, X_Console_Login=token)[0] == 200
    assert console.ask("/api/session", X_Console_Login=token)[0] == 401
    assert json.loads(site.must("status", "--json"))["sessions"] == sessions - 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"password": "wrong-password"}, 400),
        ({"role": "admin"}, 400),
        ({"key": "x" * 22}, 403),
        ({"username": "\ud800"}, 400),
    ],
)
def test_a_login_that_fails(console: Console, given: dict[str, str], status: int) -> None:
    name, password = CREDENTIALS["crypto-user"]
    right = {"key": console.key, "username": name, "password": password, "role": "crypto-user"}
    answered, answer = console.ask("/api/login", right | given)
    assert answered == status
    assert answer.keys() == {"error"}
    assert console.login("crypto-user")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Length": "70000"}, 413),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": None}, 411),
    ],
)
def test_a_request_of_another_page_or_form_is_refused(
    console: Console, headers: dict[str, str | None], status: int
) -> None:
    body = b"{}"
    host, _, port = console.origin.removeprefix("http://").partition(":")
    given = {"Host": f"{host}:{port}", "Content-Type": "application/json", "Content-Length": str(len(body))} | headers
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.putrequest("POST", "/api/login", skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert answer.status == status
    # A login without the access key has the status 403 too.
    assert b"open the address" not in answer.read()
    connection.close()


def test_every_answer_has_a_strict_policy_and_no_cookie(console: Console) -> None:
    host, _, port = console.origin.removeprefix("http://").partition(":")
    for method, path in (("GET", "/"), ("GET", "/console.js"), ("GET", "/api/keys"), ("GET", "/../x"), ("PUT", "/")):
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers
        assert "access-control-allow-origin" not in headers
        assert console.key not in answer.read().decode()
        connection.close()


def test_the_page_names_no_other_host() -> None:
    folder = Path(logins.__file__).parent / "page"
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        unsafe = ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "style=")
        assert not [word for word in unsafe if word in text], file


def test_a_login_ends_when_it_is_idle_and_logins_are_few(site: Site) -> None:
    now = [0.0]
    held = Logins(Path(site.environment["HSM_HOME"]), lambda: now[0])
    try:
        first = held.begin("admin", "admin", ADMIN_PASSWORD)
        now[0] += logins.IDLE_SECONDS - 1
        assert held.find(first.token, by_user=False) is first
        now[0] += 2
        with pytest.raises(Unauthenticated):
            held.find(first.token, by_user=False)
        second = held.begin("admin", "admin", ADMIN_PASSWORD)
        for _ in range(int(logins.LONGEST_SECONDS / logins.IDLE_SECONDS) + 1):
            assert held.find(second.token, by_user=True) is second
            now[0] += logins.IDLE_SECONDS - 11
        now[0] += 600
        with pytest.raises(Unauthenticated):
            held.find(second.token, by_user=True)
        for _ in range(logins.MAX_LOGINS):
            held.begin("admin", "admin", ADMIN_PASSWORD)
        with pytest.raises(ConsoleFull):
            held.begin("admin", "admin", ADMIN_PASSWORD)
    finally:
        held.end_all()


def test_times_are_read_from_cumulative_counts() -> None:
    counts = {0.001: 50.0, 0.01: 90.0, 0.1: 100.0, float("inf"): 100.0}
    assert within(counts, 0.5) == pytest.approx(0.001)
    assert within(counts, 0.9) == pytest.approx(0.01)
    assert within(counts, 0.95) == pytest.approx(0.055)
    assert within({0.1: 0.0, float("inf"): 4.0}, 0.5) == 0.1
    assert within({0.1: 0.0, float("inf"): 0.0}, 0.5) is None


def test_without_a_daemon_the_command_says_which_one_starts_it(tmp_path: Path, site: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "console"], env=site.environment | {"HSM_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "hsm start" in done.stderr
