"""A headless Chromium, driven through ChromeDriver's HTTP interface (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import tool

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_PATIENCE = 60.0
TAB, ENTER, ESCAPE, SPACE = "\ue004", "\ue007", "\ue00c", " "
"""Keys of WebDriver."""


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, address: str) -> None:
        """Load a page."""
        _send(f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: object) -> object:
        """Run JavaScript in the page and return its result."""
        return _send(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def type(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        _send(f"{self._session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": pressed}]})

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input of the page."""
        found = _send(f"{self._session}/element", {"using": "css selector", "value": selector})
        assert isinstance(found, dict)
        _send(f"{self._session}/element/{found[_ELEMENT]}/value", {"text": str(path)})

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def wait(self, condition: str, *arguments: object) -> object:
        """Wait until an expression of JavaScript is true in the page, and return its value."""
        return wait_for(lambda: self.run(f"return {condition}", *arguments), condition)

    def size(self, width: int, height: int) -> None:
        """Set the size of the page, as a telephone has it."""
        given = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._devtools("Emulation.setDeviceMetricsOverride", given)

    def picture(self, path: Path) -> None:
        """Write a picture of the page."""
        shown = _send(f"{self._session}/screenshot", None)
        path.write_bytes(base64.b64decode(str(shown)))

    def log(self) -> list[str]:
        """Return the errors and warnings that the page has caused since the last call."""
        entries = _send(f"{self._session}/se/log", {"type": "browser"})
        return [str(entry["message"]) for entry in entries] if isinstance(entries, list) else []

    def download_to(self, folder: Path) -> None:
        """Save the files that the page offers into a folder."""
        self._devtools("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})

    def _devtools(self, command: str, parameters: object) -> None:
        _send(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})


def wait_for(condition: Callable[[], object], name: str = "") -> object:
    """Wait until a condition is true, and return its value."""
    end = time.monotonic() + _PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, name
        time.sleep(0.05)
    return value


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Yield a window; without Chromium and ChromeDriver the test is skipped."""
    driver, chromium = tool("chromedriver"), tool("chromium")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    session = ""
    try:
        assert process.stdout is not None
        port = next(found[1] for line in process.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
        ]
        wanted = {"goog:chromeOptions": {"binary": chromium, "args": options}, "goog:loggingPrefs": {"browser": "ALL"}}
        made = _send(f"http://127.0.0.1:{port}/session", {"capabilities": {"alwaysMatch": wanted}})
        assert isinstance(made, dict)
        session = f"http://127.0.0.1:{port}/session/{made['sessionId']}"
        yield Browser(session)
    finally:
        if session:
            _send(session, None, "DELETE")
        process.terminate()
        process.wait(60)


def _send(address: str, body: object, method: str | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.loads(answer.read())["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
