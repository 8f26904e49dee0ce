"""CloudHSM's commands inside ``hsm``: ``bridge.cloudhsm_cli`` runs each command that ``hsm`` does not define.

The table of these commands is loaded only where one of them is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.passing import Words


def command(*path: str) -> click.Command:
    """Return a command that passes its words to CloudHSM's command line after ``path``."""

    def run(context: click.Context) -> None:
        # Imported here, so that `hsm` starts without it.
        from bridge.cloudhsm_cli.entry import run_words

        context.exit(run_words([*path, *context.args], context.obj))

    from bridge.cloudhsm_cli.commands import PARSER

    below = PARSER.below(path)
    if len(below) == 1 or (below and below[0].words == path):
        text = below[0].help
    else:
        text = ", ".join(PARSER.next_words(path)) or "Read commands at a prompt"
    return Passed(
        path, path[-1], callback=click.pass_context(run), help=f"As cloudhsm-cli: {text}.", add_help_option=False
    )


class Passed(Words):
    """A command of CloudHSM's command line under a path."""

    def __init__(self, path: tuple[str, ...], name: str, **parameters: Any) -> None:
        super().__init__(name, **parameters)
        self._path = path

    def candidates(self, before: Sequence[str], typed: str) -> list[str]:
        """Return completions of the incomplete word ``typed``."""
        from bridge.cloudhsm_cli.commands import PARSER
        from bridge.cloudhsm_cli.completion import candidates

        return candidates(PARSER, [*self._path, *before], typed)


class Group(click.Group):
    """A group of commands, extended by those of CloudHSM's group with the same name."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the group's own command of this name, or else CloudHSM's."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or self.name is None or cmd_name not in _below(self.name):
            return own
        return command(self.name, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the group's own commands, then CloudHSM's."""
        others = _below(self.name) if self.name else []
        return list(dict.fromkeys([*self.commands, *others]))


def _below(name: str) -> list[str]:
    from bridge.cloudhsm_cli.commands import PARSER

    return list(PARSER.next_words((name,)))


def top_level() -> list[str]:
    """Return the first words of CloudHSM's commands, and that of the interactive mode."""
    from bridge.cloudhsm_cli.commands import PARSER

    return [*PARSER.next_words(()), "interactive"]
