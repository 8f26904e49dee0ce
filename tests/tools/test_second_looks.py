"""Each class of the public API in use while something happens to it: the HSM, the connection, the key, the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.carriers.jvm import provider_jar
from tests.site import PASSWORD

from .conftest import Desk
from .test_connections import Running, restart, stopped

pytestmark = pytest.mark.long
WORKS = "works"


class Looks(Running):
    """The program, a look at each class at a time."""

    def all(self, word: str) -> dict[str, str]:
        """Give a word to the program and return its outcome by class."""
        line, outcomes = self.step(f"{word}\n"), {}
        while line != "done":
            assert line, "the program ended"
            name, _, outcome = line.partition(": ")
            outcomes[name] = outcome
            line = self.says()
        return outcomes


def _user(desk: Desk) -> Client:
    client = Client.connect(desk.site.home)
    client.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
    return client


def test_a_second_look_at_every_class(desk: Desk) -> None:
    source = Path(__file__).with_name("SecondLooks.java")
    subprocess.run(["javac", "-cp", str(provider_jar()), "-d", str(desk.folder), source], check=True, timeout=120)
    command = ["java", "-Dhsmbridge.timeout=2", "-cp", f"{desk.folder}:{provider_jar()}", "SecondLooks"]
    with subprocess.Popen(
        command, env=desk.site.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            looks = Looks(process)
            assert looks.says() == "ready"
            _look(desk, looks)
        finally:
            process.kill()


def _look(desk: Desk, looks: Looks) -> None:
    def show(title: str, outcomes: dict[str, str]) -> None:
        for name, outcome in outcomes.items():
            print(f"{title:12} {name:28} {outcome}", file=sys.stderr)

    show("once", looks.all("use"))
    show("twice", looks.all("use"))
    show("hundred", looks.all("hundred"))
    looks.all("begin")
    with stopped(desk.site):
        show("stopped", looks.all("use"))
    show("continued", looks.all("use"))
    looks.all("begin")
    show("drop", looks.all("drop"))
    looks.all("begin")
    restart(desk.site)
    show("restarted", looks.all("use"))
    show("again", looks.all("use"))
    with _user(desk) as client:
        for key in client.found_keys({}):
            print(key["LABEL"], key["OBJECT_CLASS"])
            client.call("SET_ATTRIBUTES", key["HANDLE"], {"ENCRYPT": False} if key["ENCRYPT"] else {"SIGN": False})
        show("forbidden", looks.all("use"))
        for key in client.found_keys({}):
            client.call("DESTROY_KEY", key["HANDLE"])
        show("destroyed", looks.all("use"))
