"""Every command with missing, doubled and malformed arguments: an error that says which, and nothing changed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bridge.cloudhsm_cli.commands import COMMANDS
from bridge.cloudhsm_cli.table import Command, Kind, Option

from .conftest import PASSWORDS, Site

_LOGIN = f"login --username cu1 --role crypto-user --password {PASSWORDS['cu1']}"
_NO_NUMBERS = ("x", "1.5", "0x10", "99999999999999999999", "\u0663")
_GROUPS = {
    ("",): "unrecognized subcommand ''",
    ("key",): "'key' requires a subcommand: generate-symmetric",
    ("key", "wrong"): "unrecognized subcommand 'wrong'; there are generate-symmetric",
    ("crypto", "sign"): "'crypto sign' requires a subcommand: ecdsa",
    ("no-such-command",): "unrecognized subcommand 'no-such-command'; there are cluster",
    ("key", "list", "extra"): "unexpected argument 'extra'",
}
"""Words that are no command, and a part of the message about them."""


def _sample(option: Option) -> list[str]:
    """Return an option with a value that is right as far as the parser can tell."""
    if option.kind is Kind.FLAG:
        return [f"--{option.name}"]
    if option.choices:
        return [f"--{option.name}", option.choices[0]]
    values = {Kind.NUMBER: str(max(option.range[0], 1)), Kind.LIST: "attr.label=nothing"}
    return [f"--{option.name}", values.get(option.kind, "nothing")]


def _needed(command: Command) -> list[Option]:
    first = {group[0] for group in command.one_of}
    return [option for option in command.options if option.required or option.name in first]


def _wrong(command: Command) -> Iterator[tuple[list[str], str]]:
    """Yield words for a command, and what the message about them says."""
    path, needed = list(command.words), _needed(command)
    right = [word for option in needed for word in _sample(option)]
    yield [*path, *right, "--no-such-option"], "unexpected argument '--no-such-option' found"
    yield [*path, *right, "-?"], "unexpected argument '-?' found"
    for option in needed:
        others = [word for other in needed if other is not option for word in _sample(other)]
        yield [*path, *others], f"--{option.name}"
    for option in command.options:
        others = [word for other in needed if other is not option for word in _sample(other)]
        if option.kind is not Kind.LIST:
            yield [*path, *others, *_sample(option), *_sample(option)], "cannot be used multiple times"
        if option.kind is Kind.FLAG:
            yield [*path, *others, f"--{option.name}=yes"], "unexpected value"
        elif option.kind is not Kind.LIST:
            yield [*path, *others, f"--{option.name}"], "a value is required"
        if option.choices:
            yield [*path, *others, f"--{option.name}", "sideways"], "possible values"
        if option.kind is Kind.NUMBER:
            for text in _NO_NUMBERS:
                yield [*path, *others, f"--{option.name}", text], "a number from"
    for group in command.one_of:
        options = [option for option in command.options if option.name in group]
        others = [word for other in needed if other.name not in group for word in _sample(other)]
        yield [*path, *others, *(word for option in options for word in _sample(option))], "cannot be used with"


def test_every_command_with_wrong_arguments(site: Site) -> None:
    cases = [(shlex.join(words), expected) for command in COMMANDS for words, expected in _wrong(command)]
    cases += [(shlex.join(words), expected) for words, expected in _GROUPS.items()]
    cases.append(("'unclosed", "No closing quotation"))
    before = site.state()
    lines = [_LOGIN, *(line for line, _ in cases)]
    answer = site.run("interactive", typed="".join(f"{line}\n" for line in lines))
    assert answer.status == 1
    objects = answer.objects
    assert objects[0] == {"error_code": 0, "data": {"username": "cu1", "role": "crypto-user"}}
    assert len(objects) == len(lines)
    assert len(cases) > 12 * len(COMMANDS)
    for (line, expected), said in zip(cases, objects[1:], strict=True):
        assert said["error_code"] == 1, line
        assert expected in str(said["data"]), (line, said)
    assert site.state() == before


def test_single_commands_fail_with_their_status(site: Site) -> None:
    wrong = _GROUPS | {
        ("key", "list", "--filter", "x"): "attr.NAME=VALUE",
        ("help", "nothing"): "unrecognized subcommand 'nothing'",
        ("key", "--x"): "unexpected argument '--x'",
    }
    for words, expected in wrong.items():
        assert expected in site.run(*words, user="cu1").error
    for words in ([], ["help"], ["--help"], ["help", "key", "list"], ["key", "list", "--help"], ["--version"]):
        shown = site.run(*words)
        assert (shown.status, shown.errors) == (0, "")
        assert shown.text


def test_credentials_from_the_environment(site: Site) -> None:
    absent, incomplete = (
        "'key list' needs a login: set HSM_USER and HSM_PASSWORD",
        "CLOUDHSM_ROLE and CLOUDHSM_PIN are no login",
    )
    wrong = "wrong user name, role or password"
    environments: list[tuple[dict[str, str], str]] = [
        ({"CLOUDHSM_ROLE": "crypto-user"}, absent),
        ({"CLOUDHSM_PIN": "cu1:first-pass-1"}, incomplete),
        ({"CLOUDHSM_ROLE": "CU", "CLOUDHSM_PIN": "cu1:first-pass-1"}, incomplete),
        ({"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": "cu1"}, incomplete),
        ({"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": "cu1:wrong-password"}, wrong),
        ({"CLOUDHSM_ROLE": "admin", "CLOUDHSM_PIN": "cu1:first-pass-1"}, wrong),
    ]
    for environment, expected in environments:
        failed = site.run("key", "list", variables=environment)
        assert expected in failed.error, environment
        assert "first-pass-1" not in failed.text + failed.errors


def test_without_an_hsm(site: Site) -> None:
    assert "hsm init" in site.run("key", "list", user="cu1", variables={"HSM_HOME": str(site.work / "nowhere")}).error


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    program = Path(sys.executable).with_name("cloudhsm-cli")
    with subprocess.Popen([program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
