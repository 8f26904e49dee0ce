"""Hostile command lines: no crash, no hang, and an error has changed nothing.

``HSM_FUZZ_LINES`` says how many are tried; ``make fuzz`` tries 10 000.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from bridge.carriers.client import Client
from bridge.cloudhsm_cli import completion, entry
from bridge.cloudhsm_cli.attributes import NAMES
from bridge.cloudhsm_cli.commands import COMMANDS, PARSER
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.run import run
from bridge.cloudhsm_cli.table import Kind
from hsmcore import Hsm
from hsmcore.sessions.session import Session
from tests.conftest import Tally, repeated

LINES = repeated(100, 250, "HSMBRIDGE_FUZZ_LINES")
SECONDS = 60
"""How long one line may take; generating a large RSA key on a busy machine takes a few."""
ADMIN, PASSWORD = b"admin-pass-1", b"first-pass-1"

_FILES = st.sampled_from(
    ["file", "none", "", ".", "..", "/dev/zero", "/dev/null", "/dev/full", "/", "a\0b", "x" * 5000]
)
_TEXT = st.text(st.characters(exclude_characters="/"), max_size=40)
_NUMBERS = st.one_of(st.integers(), st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400])).map(str)
_PAIR = st.tuples(st.sampled_from(NAMES), st.one_of(_TEXT, _NUMBERS, st.sampled_from(["true", "false"]))).map("=".join)
_FILTERS = st.one_of(_PAIR.map("attr.{}".format), _NUMBERS.map("key-reference={}".format), _TEXT)
_OPTIONS = [option for command in COMMANDS for option in command.options]
_VALUES = st.one_of(
    _TEXT, _NUMBERS, _PAIR, _FILTERS, st.sampled_from([choice for option in _OPTIONS for choice in option.choices])
)


@st.composite
def _option(draw: st.DrawFn, command: object) -> list[str]:
    option = draw(st.sampled_from(command.options if draw(st.integers(0, 9)) else _OPTIONS))
    name = f"--{option.name}"
    if option.kind is Kind.FILE:
        return [name, draw(_FILES)]
    likely = st.sampled_from(option.choices) if option.choices else _VALUES
    if option.kind is Kind.LIST:
        return [name, *draw(st.lists(_FILTERS if "filter" in option.name else _VALUES, max_size=3))]
    if option.kind is Kind.NUMBER:
        likely = st.one_of(st.integers(*option.range).map(str), st.sampled_from(["16", "2048", "65537"]), _NUMBERS)
    value = draw(likely if draw(st.integers(0, 4)) else _VALUES)
    return draw(st.sampled_from([[name, value], [f"{name}={value}"], [name]]))


@st.composite
def _line(draw: st.DrawFn) -> list[str]:
    """Draw the words of a line: mostly a command with its options, some of them wrong, now and then anything."""
    if not draw(st.integers(0, 9)):
        return draw(st.lists(st.one_of(_TEXT, _VALUES), max_size=8))
    command = draw(st.sampled_from(COMMANDS))
    if draw(st.booleans()):
        needed = [option for option in command.options if option.required]
        given_options = [
            [f"--{option.name}", draw(st.sampled_from(option.choices) if option.choices else _VALUES)]
            if option.kind is not Kind.FILE else [f"--{option.name}", draw(_FILES)]
            for option in needed
        ]  # fmt: skip
    else:
        given_options = []
    words = [*command.words, *(word for option in given_options for word in option)]
    words += [word for option in draw(st.lists(_option(command), max_size=4)) for word in option]
    for _ in range(draw(st.integers(0, 2))):
        if words:
            place = draw(st.integers(0, len(words) - 1))
            words[place : place + draw(st.integers(0, 1))] = draw(st.lists(st.one_of(_TEXT, _VALUES), max_size=2))
    return words


@dataclass
class Target:
    """An HSM, a context that uses it, and sessions to look at it with."""

    hsm: Hsm
    context: Context
    watcher: Session
    known: object = None
    """The state after the line before."""

    def tidy(self) -> None:
        """Destroy what a line has made, which it may: what looking at the state takes would grow with every line."""
        for key in self.hsm.keys.find(self.watcher, {}):
            if key.attributes["DESTROYABLE"]:
                self.hsm.keys.destroy(self.watcher, key.handle)
        self.known = self.state()

    def state(self) -> object:
        keys, count = self.hsm.keys.describe(self.watcher, None, {}, 0, 0)
        return keys, count, self.hsm.status()["keys"], [str(user) for user in self.hsm.users.all()]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("hostile")
    with Hsm.initialize(home / "hsm", admin_password=ADMIN) as hsm:
        admin = hsm.users.login("admin", ADMIN, "admin")
        hsm.users.create(admin, "cu1", "crypto-user", PASSWORD)
        watcher = hsm.users.login("cu1", PASSWORD)
        for label in ("a", "b"):
            hsm.keys.generate(watcher, "AES_KEY_GEN", {"TOKEN": True, "LABEL": label, "DESTROYABLE": False})
        made = Target(hsm, Context(lambda *_: nullcontext(Client.local(hsm))), watcher)
        made.tidy()
        yield made


@contextmanager
def _in_time(words: list[str]) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise AssertionError(f"no answer after {SECONDS} seconds: {words}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@settings(max_examples=LINES, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=_line(), role=st.sampled_from(["crypto-user", "admin", ""]))
@example(words=["key", "list", "--filter", "attr.id=0x\ud800"], role="crypto-user")
@example(words=["key", "list", "--starting-token", "9" * 5000], role="crypto-user")
@example(
    words=["crypto", "sign", "ecdsa", "--data-path", "/dev/zero", "--hash-function", "sha1", "--key-filter"], role=""
)
def test_hostile_lines(target: Target, tmp_path: Path, tally: Tally, words: list[str], role: str) -> None:
    context = target.context
    os.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"content")
    if context.role != role:
        _log_in(context, role)
        # The session keys of the other login have gone.
        target.known = target.state()
    sys.stdin = io.StringIO("")
    try:
        with _in_time(words):
            answer = run(context, words, single=False)
    finally:
        sys.stdin = sys.__stdin__
    assert json.loads(answer.text()) == {"error_code": answer.error_code, "data": answer.data}
    event(f"error code {answer.error_code}")
    tally("hostile command lines")["refused" if answer.error_code else "carried out"] += 1
    if answer.error_code:
        assert isinstance(answer.data, str)
        assert answer.data
        assert target.state() == target.known
    else:
        target.tidy()


def _log_in(context: Context, role: str) -> None:
    if context.role:
        assert run(context, ["logout"], single=False).error_code == 0
    if role:
        name, password = ("admin", ADMIN) if role == "admin" else ("cu1", PASSWORD)
        login = ["login", "--username", name, "--role", role, "--password", password.decode()]
        assert run(context, login, single=False).error_code == 0


@settings(max_examples=LINES, deadline=None)
@given(words=_line())
def test_hostile_lines_are_completed_and_helped(words: list[str]) -> None:
    for count in range(len(words)):
        for word in completion.candidates(PARSER, words[:count], words[count]):
            assert word.startswith(words[count])
    asked = entry.help_asked([*words, "--help"])
    assert asked is not None
