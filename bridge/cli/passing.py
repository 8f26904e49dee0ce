"""A command whose words are another program's."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem


class Words(click.Command):
    """A command whose words are all another program's, options and ``--`` included; ``hsm help`` shows its own help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they are."""
        ctx.args = list(args)
        return ctx.args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a word to what it may be, else to the name of a file."""
        found = [CompletionItem(word) for word in self.candidates(ctx.args, incomplete)]
        return found or [CompletionItem(incomplete, type="file")]

    def candidates(self, before: Sequence[str], typed: str) -> list[str]:
        """Return what the word that is being typed may become; of other programs' words nothing is known."""
        return []
