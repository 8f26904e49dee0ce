"""The console's page in a browser: with the keyboard alone, at a phone's width, and an approval for the HSM."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from tests.bridge.console.browser import ENTER, ESCAPE, SPACE, TAB, Browser, browser, wait_for
from tests.bridge.console.conftest import CREDENTIALS, Console
from tests.requirements import tool
from tests.site import PASSWORD, Site

_PHONE = (360, 740)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture
def page(window: Browser, console: Console) -> Iterator[Browser]:
    window.size(1100, 900)
    window.open("about:blank")
    window.open(f"{console.origin}/#{console.key}")
    window.run("sessionStorage.removeItem('login')")
    window.open("about:blank")
    window.log()
    window.open(f"{console.origin}/#{console.key}")
    yield window
    # A violation of the page's policy, a failed request or an error of the script is in the log.
    refused = [line for line in window.log() if "favicon" not in line]
    assert refused == []


def _log_in(page: Browser, role: str) -> None:
    name, password = CREDENTIALS[role]
    page.wait("document.activeElement.id === 'username'")
    page.type(name + TAB)
    page.run("document.getElementById('role').value = arguments[0]", role)
    page.type(TAB + password + ENTER)
    page.wait("document.getElementById('who').innerText === arguments[0]", f"{name}, {role}")


def _go(page: Browser, section: str) -> None:
    page.run("location.hash = arguments[0]", section)
    page.wait("!document.getElementById('view-' + arguments[0]).hidden", section)


def test_the_keyboard_alone_finds_a_key(page: Browser) -> None:
    assert page.run("return location.hash") == "#overview"
    _log_in(page, "crypto-user")
    page.wait("document.querySelector('#health .good')?.innerText === 'healthy'")
    # A login moves the focus to the first section's link; the skip link and the button are before it.
    assert page.run("return document.activeElement.innerText") == "Overview"
    page.run("document.querySelector('.skip').focus()")
    order = []
    for _ in range(3):
        page.type(TAB)
        order.append(page.run("return document.activeElement.innerText"))
    assert order == ["Log out", "Overview", "Keys"]
    page.type(ENTER)
    page.wait("document.querySelectorAll('#key-table tbody button').length === 2")
    page.run("document.getElementById('search').focus()")
    page.type("ARCHIVE")
    page.wait("document.querySelectorAll('#key-table tbody button').length === 1")
    # A label is text, whatever it holds.
    assert page.text("#key-table tbody button") == "<b>archive</b>"
    page.type(TAB + TAB + ENTER)
    page.wait("document.getElementById('key-dialog').open")
    assert "key length\n16" in page.text("#key-attributes")
    page.type(ESCAPE)
    page.wait("!document.getElementById('key-dialog').open")
    assert page.run("return document.activeElement.innerText") == "<b>archive</b>"
    page.run("document.getElementById('logout').focus()")
    page.type(SPACE)
    page.wait("document.activeElement.id === 'username'")
    assert page.text("#key-table") == ""


def test_an_admin_sees_charts_and_verifies_the_audit_log(page: Browser, site: Site) -> None:
    with Client.connect(Path(site.environment["HSM_HOME"])) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        (key,) = client.found_keys({"LABEL": "payments"})
        for _ in range(20):
            client.call("ENCRYPT", key["HANDLE"], "AES_GCM", None, b"data")
    _log_in(page, "admin")
    page.wait("document.querySelector('#operations tbody td')?.innerText === 'encrypt'")
    assert page.run("return document.querySelectorAll('#times rect').length") == 2
    _go(page, "audit")
    page.wait("document.querySelectorAll('#audit-table tbody tr').length > 5")
    page.run("document.querySelector('#verify-form button').click()")
    assert "all as they were written" in str(page.wait("document.querySelector('#verification .good')?.innerText"))


def test_a_role_without_the_audit_log_does_not_see_its_section(page: Browser) -> None:
    _log_in(page, "crypto-user")
    assert page.run("return document.querySelector('nav a[href=\"#audit\"]').hidden") is True
    page.run("location.hash = 'audit'")
    page.wait("!document.getElementById('view-overview').hidden")


def test_a_phone_shows_each_section_without_scrolling_sideways(page: Browser) -> None:
    page.size(*_PHONE)
    _log_in(page, "admin")
    for section in ("overview", "keys", "users", "audit"):
        _go(page, section)
        page.wait("document.querySelectorAll(`#view-${arguments[0]} tbody tr`).length > 0", section)
        assert page.run("return innerWidth - document.documentElement.scrollWidth") == 0
        assert page.run("return innerWidth") == _PHONE[0]
        visible = "[...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
        wide = f"{visible}.filter(e => e.scrollWidth > e.clientWidth).map(e => e.outerHTML)"
        assert page.run(f"return {wide}", ".scroll, dd, td") == []
        assert page.run(f"return {visible}.every(e => e.offsetWidth <= 1)", "thead") is True
        heights = page.run(f"return {visible}.map(e => e.offsetHeight)", "button:not(.plain), input, select")
        assert isinstance(heights, list)
        assert min(heights) >= 44


def test_an_approval_that_the_browser_signed_is_accepted(page: Browser, site: Site, tmp_path: Path) -> None:
    openssl, secret = tool("openssl"), tmp_path / "cu1.pem"

    def run(*words: object) -> bytes:
        return subprocess.run([openssl, *map(str, words)], check=True, capture_output=True, timeout=60).stdout

    run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", secret)
    with Client.connect(Path(site.environment["HSM_HOME"])) as client:
        client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        file = json.loads(_bytes(client.call("QUORUM_TOKEN", "registration", None)))
        (tmp_path / "token").write_bytes(b64decode(file["tokens"][0]["unsigned"]))
        signature = run("pkeyutl", "-sign", "-inkey", secret, "-pkeyopt", "digest:sha256", "-in", tmp_path / "token")
        file["tokens"][0]["signed"] = b64encode(signature).decode()
        client.call("QUORUM_REGISTER", run("pkey", "-in", secret, "-pubout"), json.dumps(file).encode())
        (key,) = client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": "guarded", "SIZE": 256, "ENCRYPT": True})
        assert isinstance(key, dict)
        client.call("QUORUM_SET_KEY", key["HANDLE"], 0, 1)
        approval = _bytes(client.call("QUORUM_TOKEN", "key-usage", key["HANDLE"]))
        (tmp_path / "approval.json").write_bytes(approval)

        _log_in(page, "crypto-user")
        _go(page, "users")
        page.wait("document.querySelector('#token-table').innerText.includes('key-usage')")
        page.download_to(tmp_path)
        page.choose_file("#approval-file", tmp_path / "approval.json")
        page.choose_file("#key-file", secret)
        page.run("document.querySelector('#approval-form button').click()")
        page.wait("document.activeElement.innerText === 'Save approval-cu1.json'")
        page.type(ENTER)
        saved = tmp_path / "approval-cu1.json"
        wait_for(saved.is_file)

        (answer,) = client.call("QUORUM_APPROVE", saved.read_bytes())
        assert answer == {"approvals-required": 1, "number-of-approvals": 1}
        client.call("ENCRYPT", key["HANDLE"], "AES_GCM", None, b"data")

    # A changed file and a service of the other role are refused before anything is signed.
    for change, refusal in (
        ({"token": b64encode(bytes(32)).decode()}, "changed"),
        ({"service": "user-management"}, "cannot"),
    ):
        (tmp_path / "approval.json").write_text(json.dumps(json.loads(approval) | change))
        page.choose_file("#approval-file", tmp_path / "approval.json")
        page.choose_file("#key-file", secret)
        page.run("document.querySelector('#approval-form button').click()")
        assert refusal in str(page.wait("document.getElementById('message').innerText"))
        page.run("document.getElementById('message').textContent = ''")


def _bytes(results: tuple[object, ...]) -> bytes:
    (value,) = results
    assert isinstance(value, bytes)
    return value
