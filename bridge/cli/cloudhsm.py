"""CloudHSM's commands inside ``hsm``: ``bridge.cloudhsm_cli`` runs each command that ``hsm`` does not define."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.passing import Words
from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.completion import candidates


def command(*path: str) -> click.Command:
    """Return a command that passes its words to CloudHSM's command line after ``path``."""

    def run(context: click.Context) -> None:
        # Imported here, so that `hsm` starts without it.
        from bridge.cloudhsm_cli.entry import run_words

        context.exit(run_words([*path, *context.args], context.obj))

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
        return candidates(PARSER, [*self._path, *before], typed)


class Group(click.Group):
    """A group of commands, extended by those of CloudHSM's group with the same name."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the group's own command of this name, or else CloudHSM's."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or self.name is None or cmd_name not in PARSER.next_words((self.name,)):
            return own
        return command(self.name, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the group's own commands, then CloudHSM's."""
        others = PARSER.next_words((self.name,)) if self.name else []
        return list(dict.fromkeys([*self.commands, *others]))


def whole_groups(taken: set[str]) -> list[click.Command]:
    """Return a command for each of CloudHSM's groups that is not in ``taken``, and for the interactive mode."""
    return [command(word) for word in [*PARSER.next_words(()), "interactive"] if word not in taken]
