"""Help texts and the reference in ``docs/cli.md``, generated from the command table."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.parser import Parser
from bridge.cloudhsm_cli.table import COMMON, PROGRAM, Command, Kind, Option

_TOP = f"""CloudHSM's command line for this HSM

Usage: {PROGRAM} <COMMAND>
       {PROGRAM} interactive"""
HEAD = "## Commands"
_BUILT_IN = {
    "interactive": "Read commands at a prompt",
    "help": "Print help for a command: help key list",
    "completion": "Print a completion script: completion bash|zsh|fish",
}


def help_text(parser: Parser, path: tuple[str, ...], *, lenient: bool) -> str:
    """Return help for a command or a group; ``lenient`` ignores unknown words at the end of the path.

    Raises:
        Failure: The path names no command, and ``lenient`` is false.
    """
    while path and not parser.below(path):
        if not lenient:
            raise Failure(f"unrecognized subcommand '{' '.join(path)[:80]}'")
        path = path[:-1]
    below = parser.below(path)
    own = next((command for command in below if command.words == path), None)
    if own is not None:
        return _command_help(own)
    words = parser.next_words(path)
    helps = {word: _short(parser, (*path, word)) for word in words}
    head = _TOP if not path else f"Usage: {' '.join(path)} <COMMAND>"
    return head + "\n\nCommands:\n" + _columns(helps | ({} if path else _BUILT_IN))


def _short(parser: Parser, path: tuple[str, ...]) -> str:
    below = parser.below(path)
    if below[0].words == path:
        return below[0].help
    return ", ".join(parser.next_words(path))


def _columns(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"  {word:<{width}}{text}" for word, text in rows.items())


def _command_help(command: Command) -> str:
    lines = [command.help, "", f"Usage: {usage(command)}", "", "Options:"]
    for option in command.options:
        short = f"-{option.short}, " if option.short else "    "
        lines += [f"  {short}{option.usage()}", f"          {explained(option)}"]
    lines += ["  -h, --help", "          Print help"]
    if command.missing:
        lines += ["", f"Not available: {command.missing}."]
    return "\n".join(lines)


def usage(command: Command) -> str:
    """Return the command line with its required options."""
    needed = [option.usage() for option in command.options if option.required]
    choices = [
        "<" + " | ".join(option.usage() for option in command.options if option.name in group) + ">"
        for group in command.one_of
    ]
    return " ".join([command.path, "[OPTIONS]", *needed, *choices])


def explained(option: Option) -> str:
    """Return the help of an option with its range, its values and its default."""
    text = option.help
    if option.kind is Kind.NUMBER and option.range[1] < 2**31:
        text += f" [{option.range[0]} to {option.range[1]}]"
    if option.choices:
        text += f" [possible values: {', '.join(option.choices)}]"
    if option.default is not None:
        text += f" [default: {option.default}]"
    return text


def reference(commands: Sequence[Command]) -> str:
    """Return the generated part of ``docs/cli.md``, which begins with the heading ``HEAD``."""
    done = sum(not command.missing for command in commands)
    lines = [
        HEAD,
        "",
        f"{done} of {len(commands)} commands work; each of the others answers with an error that gives the reason.",
        "",
        "| command | roles | status |",
        "| --- | --- | --- |",
    ]
    for command in commands:
        roles = ", ".join(command.roles) or "all, no login"
        status = f"no: {command.missing}" if command.missing else "yes" + (f"; {command.note}" if command.note else "")
        lines.append(f"| [`{command.path}`](#{command.path.replace(' ', '-')}) | {roles} | {status} |")
    for command in commands:
        lines += ["", f"### {command.path}", "", f"{command.help}.", "", "```text", usage(command), "```", ""]
        own = [option for option in command.options if option not in COMMON]
        lines += [f"- `{option.usage()}`: {explained(option)}" for option in own]
        if not own:
            lines.pop()
    return "\n".join(lines) + "\n"


def rewritten(page: str, commands: Sequence[Command]) -> str:
    """Return the page with its generated part replaced; the part above ``HEAD`` is written by hand."""
    return page[: page.index(HEAD)] + reference(commands)


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from bridge.cloudhsm_cli.commands import COMMANDS

    file = Path(sys.argv[1])
    file.write_text(rewritten(file.read_text(encoding="utf-8"), COMMANDS), encoding="utf-8")
