"""Each `hsm` and `cloudhsm-cli` command in a console block of a page exists and takes the options it has there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest

from bridge.cli.commands import hsm
from bridge.cloudhsm_cli.commands import PARSER
from tests.docs.pages import PAGES, ROOT, commands

_SEPARATORS = {"|", "||", "&&", ";", "&"}
_BEFORE = {"sudo", "env", "-u", "hsmbridge"}
"""Words that may stand before the name of a program that the shell runs."""
_FOUND = sorted(
    {
        (str(page.relative_to(ROOT)), command)
        for page in PAGES
        for command in commands(page.read_text(encoding="utf-8"))
        if re.search(r"(?<![\w/.-])(hsm|cloudhsm-cli) ", command) and not command.startswith("podman")
    }
)


def _calls(command: str) -> list[list[str]]:
    """Return the words of each call of our programs in a shell command, those in ``$(...)`` included."""
    inner = re.findall(r"\$\(((?:hsm|cloudhsm-cli) [^()]*)\)", command)
    plain = re.sub(r"\$\([^()]*\)", "substituted", command.replace("\\\n", " "))
    lexer = shlex.shlex(plain, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    calls: list[list[str]] = [[]]
    for word in lexer:
        if word in _SEPARATORS:
            calls.append([])
        else:
            calls[-1].append(word)
    found = []
    for words in calls:
        start = next((i for i, word in enumerate(words) if word in {"hsm", "cloudhsm-cli"}), None)
        if start is not None and all("=" in word or word in _BEFORE for word in words[:start]):
            end = next((i for i, word in enumerate(words) if word.startswith((">", "2>"))), len(words))
            found.append(words[start:end])
    return found + [call for text in inner for call in _calls(text)]


@contextmanager
def _missing_files_accepted() -> Iterator[None]:
    try:
        yield
    except click.BadParameter as error:
        if not error.message.endswith("does not exist."):
            raise


def _parsed(words: list[str]) -> None:
    program, *arguments = words
    context = click.Context(hsm, info_name="hsm")
    command: click.Command = hsm
    if program == "hsm":
        while isinstance(command, click.Group) and arguments:
            below = command.get_command(context, arguments[0])
            assert below is not None, words
            own, command, arguments = command, below, arguments[1:]
            context = click.Context(command, info_name=command.name, parent=context)
            if isinstance(command, click.Command) and "As cloudhsm-cli" in (command.help or ""):
                prefix = [own.name or ""] if own is not hsm else []
                program, arguments = "cloudhsm-cli", [*prefix, command.name or "", *arguments]
                break
    if program == "hsm":
        # An earlier command of the page makes the file.
        with _missing_files_accepted():
            command.make_context(command.name, list(arguments), parent=context.parent)
    elif arguments[0] not in {"interactive", "completion"}:
        PARSER.parse(arguments)


@pytest.mark.parametrize(("page", "command"), _FOUND, ids=lambda value: value[:40])
def test_the_command_line_is_valid(page: str, command: str) -> None:
    calls = _calls(command)
    assert calls
    for words in calls:
        _parsed(words)
