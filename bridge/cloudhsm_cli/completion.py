"""Completion: what may follow the words typed so far, for the interactive mode and for bash and zsh."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cloudhsm_cli.attributes import NAMES
from bridge.cloudhsm_cli.parser import Parser
from bridge.cloudhsm_cli.table import Command, Failure, Kind, Option

COMPLETE = "complete-words"
"""The hidden command that the shells' completion calls with the words so far and the one that is being typed."""
BUILT_IN = ("interactive", "help", "completion")
SHELLS = ("bash", "zsh")

_BASH = """_cloudhsm_cli() {
    local IFS=$'\\n'
    COMPREPLY=($(cloudhsm-cli complete-words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
}
complete -o default -F _cloudhsm_cli cloudhsm-cli
eval "$(_HSM_COMPLETE=bash_source hsm 2>/dev/null)"
"""
_ZSH = """_cloudhsm_cli() {
    local -a found
    found=(${(f)"$(cloudhsm-cli complete-words "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _cloudhsm_cli cloudhsm-cli
eval "$(_HSM_COMPLETE=zsh_source hsm 2>/dev/null)"
"""


def script(words: Sequence[str]) -> str:
    """Return the script that a shell evaluates, for ``cloudhsm-cli`` and ``hsm``. Raises ``Failure``."""
    scripts = dict(zip(SHELLS, (_BASH, _ZSH), strict=True))
    if len(words) != 1 or words[0] not in scripts:
        raise Failure(f"completion takes one of {', '.join(SHELLS)}")
    return scripts[words[0]].rstrip("\n")


def candidates(parser: Parser, before: Sequence[str], typed: str) -> list[str]:
    """Return what the word that is being typed may become, after the words before it; files are the shell's."""
    path: tuple[str, ...] = ()
    given: set[str] = set()
    option: Option | None = None
    for word in before:
        if word.startswith("-"):
            option = _option(parser.below(path), word)
            given.add(word)
        elif option is None or option.kind is Kind.FLAG:
            path = (*path, word)
        elif option.kind is not Kind.LIST:
            option = None
    if option is not None and option.kind is not Kind.FLAG and not typed.startswith("-"):
        return [value for value in _values(option) if value.startswith(typed)]
    words = parser.next_words(path) + ([] if path else list(BUILT_IN))
    if path:
        words += [f"--{other.name}" for other in _options(parser, path) if f"--{other.name}" not in given]
    return [word for word in words if word.startswith(typed)]


def _option(commands: Sequence[Command], word: str) -> Option | None:
    name = word.lstrip("-")
    return next((option for command in commands if (option := command.option(name)) is not None), None)


def _options(parser: Parser, path: tuple[str, ...]) -> list[Option]:
    commands = [command for command in parser.below(path) if command.words == path]
    return [option for command in commands for option in command.options]


def _values(option: Option) -> list[str]:
    if option.choices:
        return list(option.choices)
    if option.name.endswith("filter"):
        return ["key-reference=", *(f"attr.{name}=" for name in NAMES)]
    if option.name.endswith("attributes"):
        return [f"{name}=" for name in NAMES]
    return []
