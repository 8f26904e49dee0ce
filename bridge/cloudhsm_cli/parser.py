"""Parses the words of a command line into a call of one row of the table, without running it.

Options may follow any word of the path: ``login --username u mfa-token-sign --token t``. An option takes the same
number of words in every command; their meaning is decided when the whole path is known. A value follows its option or
an equals sign; a value that begins with a dash needs the equals sign: ``--label=-x``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.table import Command, Kind, Option, Values

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHOWN = 80
"""Characters of a wrong word that a message repeats."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command with its values."""

    command: Command
    values: Values


class Parser:
    """Parses words by a table of commands."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = {command.words: command for command in commands}

    def below(self, path: tuple[str, ...]) -> list[Command]:
        """Return the commands whose path begins with ``path``."""
        return [command for words, command in self._commands.items() if words[: len(path)] == path]

    def next_words(self, path: tuple[str, ...]) -> list[str]:
        """Return the words that may follow a path, each once, in the table's order."""
        return list(dict.fromkeys(words[len(path)] for words in self._commands if self._follows(words, path)))

    @staticmethod
    def _follows(words: tuple[str, ...], path: tuple[str, ...]) -> bool:
        return len(words) > len(path) and words[: len(path)] == path

    def parse(self, words: Sequence[str]) -> Call:
        """Parse the words of a command line.

        Raises:
            Failure: The words name no command, or options are unknown, missing, repeated or invalid.
        """
        if any("\ud800" <= character <= "\udfff" for word in words for character in word):
            raise Failure("the command line is not UTF-8 text")
        scan = _Scan(self, list(words))
        while scan.words:
            scan.step()
        command = self._commands.get(scan.path)
        if command is None:
            raise Failure(self._incomplete(scan.path))
        return Call(command, Values(_checked(command, scan.values)))

    def _incomplete(self, path: tuple[str, ...]) -> str:
        expected = ", ".join(self.next_words(path))
        if not path:
            return f"a command is needed: {expected}"
        return f"'{' '.join(path)}' requires a subcommand: {expected}"


@dataclass(slots=True)
class _Scan:
    """The unread words, with the path and the values read so far."""

    parser: Parser
    words: list[str]
    path: tuple[str, ...] = ()
    values: dict[str, str | int | bool | list[str]] = field(default_factory=dict)

    def step(self) -> None:
        """Read the next word and, if it is an option, its values.

        Raises:
            Failure: The word is unknown here, or its value is missing or superfluous.
        """
        word = self.words.pop(0)
        if not word.startswith("-") or word == "-":
            self._extend(word)
            return
        name, equals, value = word.lstrip("-").partition("=")
        option = self._option(word, name)
        if option.kind is Kind.LIST:
            self._take_list(option, [value] if equals else [])
            return
        if option.name in self.values:
            raise Failure(f"the argument '{option.usage()}' cannot be used multiple times")
        if option.kind is Kind.FLAG:
            if equals:
                raise Failure(f"unexpected value for '{option.usage()}' found; no more were expected")
            self.values[option.name] = True
            return
        if not equals:
            if not self.words or self.words[0].startswith("-"):
                raise Failure(f"a value is required for '{option.usage()}' but none was supplied")
            value = self.words.pop(0)
        self.values[option.name] = value

    def _extend(self, word: str) -> None:
        if word not in self.parser.next_words(self.path):
            expected = ", ".join(self.parser.next_words(self.path))
            if expected:
                raise Failure(f"unrecognized subcommand '{word[:_SHOWN]}'; there are {expected}")
            raise Failure(f"unexpected argument '{word[:_SHOWN]}' found")
        self.path = (*self.path, word)

    def _option(self, word: str, name: str) -> Option:
        dashes = 2 if len(name) > 1 else 1
        for command in self.parser.below(self.path):
            option = command.option(name)
            if option is not None and word.startswith("-" * dashes) and not word.startswith("-" * (dashes + 1)):
                return option
        raise Failure(f"unexpected argument '{word[:_SHOWN]}' found")

    def _take_list(self, option: Option, taken: list[str]) -> None:
        while self.words and not self.words[0].startswith("-"):
            taken.append(self.words.pop(0))
        known = self.values.setdefault(option.name, [])
        if isinstance(known, list):
            known += taken


def _read(command: Command, name: str, value: str | int | bool | list[str]) -> str | int | bool | list[str]:
    option = command.option(name)
    if option is None:
        raise Failure(f"unexpected argument '--{name}' found")
    return _value(option, value) if isinstance(value, str) else value


def _value(option: Option, value: str) -> str | int:
    if option.choices and value not in option.choices:
        raise Failure(_invalid(option, value, f"possible values: {', '.join(option.choices)}"))
    if option.kind is not Kind.NUMBER:
        return value
    lowest, highest = option.range
    if not _NUMBER.fullmatch(value) or not lowest <= int(value) <= highest:
        raise Failure(_invalid(option, value, f"a number from {lowest} to {highest}"))
    return int(value)


def _invalid(option: Option, value: str, possible: str) -> str:
    return f"invalid value '{value[:_SHOWN]}' for '{option.usage()}' [{possible}]"


def _present(option: Option, values: Mapping[str, object]) -> bool:
    return option.name in values and (option.may_be_empty or bool(values[option.name]))


def _checked(
    command: Command, values: Mapping[str, str | int | bool | list[str]]
) -> dict[str, str | int | bool | list[str]]:
    """Return the values with defaults.

    Raises:
        Failure: A required option is missing, or two options of one group are given.
    """
    read = {name: _read(command, name, value) for name, value in values.items()}
    absent = [option.usage() for option in command.options if option.required and not _present(option, values)]
    for group in command.one_of:
        present = [name for name in group if name in values]
        usages = [option.usage() for option in command.options if option.name in group]
        if len(present) > 1:
            raise Failure(f"the argument '--{present[0]}' cannot be used with '--{present[1]}'")
        if not present:
            absent.append(f"<{'|'.join(usages)}>")
    if absent:
        raise Failure(f"the following required arguments were not provided: {', '.join(absent)}")
    defaults = {option.name: option.default for option in command.options if option.default is not None}
    return {**defaults, **read}
