"""CloudHSM's commands inside ``hsm``: every name that ``hsm`` does not use itself goes to ``bridge.cloudhsm_cli``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bridge.cli.passing import Words
from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.completion import candidates


def command(*path: str) -> click.Command:
    """Return a command that hands its words to CloudHSM's command line, after these."""

    def run(context: click.Context) -> None:
        # Imported here, so that `hsm` starts without it.
        from bridge.cloudhsm_cli.entry import run_words

        context.exit(run_words([*path, *context.args], context.obj))

    below = PARSER.below(path)
    text = below[0].help if len(below) == 1 else ", ".join(PARSER.next_words(path)) or "Read commands at a prompt"
    return _Words(
        path, path[-1], callback=click.pass_context(run), help=f"As cloudhsm-cli: {text}.", add_help_option=False
    )


class _Words(Words):
    """Words of CloudHSM's command line that come after a path."""

    def __init__(self, path: tuple[str, ...], name: str, **parameters: Any) -> None:
        super().__init__(name, **parameters)
        self._path = path

    def candidates(self, before: Sequence[str], typed: str) -> list[str]:
        """Return what the word that is being typed may become."""
        return candidates(PARSER, [*self._path, *before], typed)


class Group(click.Group):
    """A group with the commands of CloudHSM's group of that name, where it has none itself."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of either."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or self.name is None or cmd_name not in PARSER.next_words((self.name,)):
            return own
        return command(self.name, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the own commands, then CloudHSM's."""
        others = PARSER.next_words((self.name,)) if self.name else []
        return list(dict.fromkeys([*self.commands, *others]))


def whole_groups(taken: set[str]) -> list[click.Command]:
    """Return a command for each first word of CloudHSM's that is not taken, and for the interactive mode."""
    return [command(word) for word in [*PARSER.next_words(()), "interactive"] if word not in taken]
