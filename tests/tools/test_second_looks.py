"""Each class of the public API in use while something happens to it: the HSM, the connection, the key, the program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

import pytest

from bridge.carriers.client import Client
from tests import jdk
from tests.site import PASSWORD

from .conftest import Desk, programs
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
    command = [*jdk.command("java"), "-Dhsmbridge.timeout=2", "-cp", programs(), "SecondLooks"]
    with subprocess.Popen(
        command, env=desk.site.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            looks = Looks(process)
            assert looks.says() == "ready"
            _look(desk, looks)
        finally:
            process.kill()


MESSAGES = ("Cipher", "Mac", "Signature", "Signature that verifies", "Cipher in mid-message", "Mac in mid-message")
"""Objects that hold a message."""
MID = MESSAGES[-2:]
LOST = "The message is lost, call init and pass all of it again"
NO_SESSION = "The session was lost, and its session keys and operations with it; the provider has logged in again"
OF_SESSION = "SecretKey of the session"


def _agrees(outcomes: dict[str, str], *different: tuple[Iterable[str], str], otherwise: str = WORKS) -> None:
    """Check each outcome: the text for the classes that are named, else ``otherwise``."""
    expected = {name: text for names, text in different for name in names}
    assert outcomes.keys() >= expected.keys()
    for name, outcome in outcomes.items():
        assert expected.get(name, otherwise) in outcome, f"{name}: {outcome}"


def _look(desk: Desk, looks: Looks) -> None:
    for _ in range(2):
        _agrees(looks.all("use"))
    _agrees(looks.all("hundred"), otherwise="100 answers")
    looks.all("begin")
    _agrees(looks.all("use"))
    looks.all("begin")
    with stopped(desk.site):
        _agrees(looks.all("use"), otherwise="has not answered for 2 s")
    # No repeated call gives the result of a part of the data.
    for _ in range(2):
        _agrees(looks.all("use"), (MESSAGES, LOST))
    looks.all("begin")
    _agrees(looks.all("use"))
    looks.all("drop")
    looks.all("begin")
    restart(desk.site)
    _agrees(looks.all("use"), (MID, NO_SESSION), ([OF_SESSION], NO_SESSION))
    _agrees(looks.all("use"), (MID, LOST), ([OF_SESSION], NO_SESSION))
    looks.all("begin")
    with _user(desk) as client:
        for key in client.found_keys({}):
            client.call("SET_ATTRIBUTES", key["HANDLE"], {"ENCRYPT": False} if key["ENCRYPT"] else {"SIGN": False})
        # Begun operations end as they began.
        _agrees(
            looks.all("use"),
            (("Cipher", "SecretKey"), "its ENCRYPT is false"),
            (("Mac", "Signature", "PrivateKey"), "its SIGN is false"),
            ([OF_SESSION], NO_SESSION),
        )
        for key in client.found_keys({}):
            usable = {"ENCRYPT": True} if key["KEY_TYPE"] == "AES" else {"SIGN": True}
            client.call("SET_ATTRIBUTES", key["HANDLE"], {} if key["OBJECT_CLASS"] == "PUBLIC_KEY" else usable)
        looks.all("begin")
        for key in client.found_keys({}):
            client.call("DESTROY_KEY", key["HANDLE"])
        gone = ("Cipher", "Mac", "Signature", "Signature that verifies", "SecretKey", "PrivateKey", OF_SESSION)
        _agrees(looks.all("use"), (gone, "there is no key"), (MID, "there is no such operation"))
