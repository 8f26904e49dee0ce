"""Completion of command lines, for the interactive mode and for shells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.cloudhsm_cli.attributes import NAMES
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.parser import Parser
from bridge.cloudhsm_cli.table import Command, Kind, Option

COMPLETE = "complete-words"
"""The hidden command that a shell calls with the words so far and the incomplete word."""
BUILT_IN = ("interactive", "help", "completion")

# Bash splits a word with an equals sign into three; an open quote does not belong to the completed word.
_BASH = """_cloudhsm_cli() {
    local IFS=$'\\n' typed=${COMP_WORDS[COMP_CWORD]#[\\"\\']}
    [[ $typed == = ]] && typed=
    COMPREPLY=($(cloudhsm-cli complete-words "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$typed" 2>/dev/null))
    [[ ${COMPREPLY-} == *= ]] && compopt -o nospace
}
complete -o default -F _cloudhsm_cli cloudhsm-cli
"""
_ZSH = """_cloudhsm_cli() {
    local -a found
    found=(${(f)"$(cloudhsm-cli complete-words "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)"})
    if (( $#found )); then
        compadd -S '' -- ${(M)found:#*=}
        compadd -- ${found:#*=}
    else
        compset -P '--*='
        _files
    fi
    return 0
}
"""
_ZSH_REGISTERED = """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _cloudhsm_cli cloudhsm-cli
"""
_FISH = """function __cloudhsm_cli_found
    set -l before (commandline -opc)[2..-1]
    set -l typed "$(commandline -ct | string replace -r '^["\\']' '')"
    set -l found (cloudhsm-cli complete-words $before $typed 2>/dev/null)
    if test -n "$found[1]"
        printf '%s\\n' $found
    else
        __fish_complete_path $typed
    end
end
complete --command cloudhsm-cli --no-files --arguments '(__cloudhsm_cli_found)'
"""
_SCRIPTS = {
    "bash": _BASH + 'eval "$(_HSM_COMPLETE=bash_source hsm 2>/dev/null)"\n',
    "zsh": _ZSH + _ZSH_REGISTERED + 'eval "$(_HSM_COMPLETE=zsh_source hsm 2>/dev/null)"\n',
    "fish": _FISH + "_HSM_COMPLETE=fish_source hsm 2>/dev/null | source\n",
}
SHELLS = tuple(_SCRIPTS)
INSTALLED = {
    "share/bash-completion/completions/cloudhsm-cli": _BASH,
    "share/zsh/site-functions/_cloudhsm-cli": f'#compdef cloudhsm-cli\n{_ZSH}_cloudhsm_cli "$@"\n',
    "share/fish/vendor_completions.d/cloudhsm-cli.fish": _FISH,
}
"""Files with the script of ``cloudhsm-cli`` that the shells find by themselves below a prefix."""


def script(words: Sequence[str]) -> str:
    """Return the completion script of a shell, for ``cloudhsm-cli`` and ``hsm``.

    Raises:
        Failure: ``words`` is not the name of one known shell.
    """
    if len(words) != 1 or words[0] not in _SCRIPTS:
        raise Failure(f"completion takes one of {', '.join(SHELLS)}")
    return _SCRIPTS[words[0]].rstrip("\n")


def candidates(parser: Parser, before: Sequence[str], typed: str) -> list[str]:
    """Return completions of the incomplete word ``typed`` after the words ``before``. The shell itself completes files.

    An equals sign and the value after it may be separate words, as in Bash.
    """
    name, equals, value = typed.partition("=")
    if name.startswith("--") and equals:
        return [f"{name}={found}" for found in candidates(parser, [*before, name], value)]
    path: tuple[str, ...] = ()
    present: set[str] = set()
    option: Option | None = None
    for word in _apart(before):
        if word.startswith("-"):
            option = _option(parser.below(path), word)
            present.add(word)
        elif option is None or option.kind is Kind.FLAG:
            path = (*path, word)
        elif option.kind is not Kind.LIST:
            option = None
    if option is not None and option.kind is not Kind.FLAG and not typed.startswith("-"):
        return [value for value in _values(option) if value.startswith(typed)]
    words = parser.next_words(path) + ([] if path else list(BUILT_IN))
    if path:
        words += [f"--{other.name}" for other in _options(parser, path) if f"--{other.name}" not in present]
    return [word for word in words if word.startswith(typed)]


def _apart(words: Sequence[str]) -> Iterator[str]:
    """Yield the words with each option separate from its value, and without the equals signs."""
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--") and equals:
            yield from (name, value)
        elif word != "=":
            yield word


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
