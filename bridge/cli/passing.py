"""A command whose words are another program's."""

from __future__ import annotations

import click


class Words(click.Command):
    """A command whose words are all another program's, options and ``--`` included; ``hsm help`` shows its own help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they are."""
        ctx.args = list(args)
        return ctx.args
