"""Commands that pass their words to another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Words(click.Command):
    """A command that passes all its words, also options and ``--``, to another program; ``hsm help`` shows its help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Store the words without parsing them."""
        ctx.args = list(args)
        return ctx.args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a word from ``candidates``, or else to a file name."""
        # Imported here: only a shell that completes a line needs it.
        from click.shell_completion import CompletionItem

        found = [CompletionItem(word) for word in self.candidates(ctx.args, incomplete)]
        return found or [CompletionItem(incomplete, type="file")]

    def candidates(self, before: Sequence[str], typed: str) -> list[str]:
        """Return completions of the incomplete word ``typed``; none by default."""
        return []
