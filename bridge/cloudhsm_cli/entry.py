"""The program's arguments: one command, the interactive mode, help, completion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.cloudhsm_cli import completion
from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.output import Answer, attempted, help_asked, show
from bridge.cloudhsm_cli.run import run
from bridge.cloudhsm_cli.table import PROGRAM
from bridge.process.streams import discard_output
from hsmcore import __version__


def run_words(words: Sequence[str], home: Path, configuration: Path | None = None) -> int:
    """Run a command line and return the exit status: 0, 1 after an error, 130 after an interruption.

    Args:
        words: The words of the command line.
        home: The state directory.
        configuration: A configuration file, whose servers are used instead.
    """
    words = list(words) or ["help"]
    try:
        said = help_asked(words) or _built_in(words)
        if said is not None:
            return _tell(said)
        if words[0] == "interactive":
            # Imported here, so that a single command starts without it.
            from bridge.cloudhsm_cli.interactive import interact

            return interact(words[1:], Context.at(home, configuration))
        return _single(words, Context.at(home, configuration))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Errors of a command are in its answer; this one is of the output.
        discard_output()
        if not isinstance(error, BrokenPipeError):
            print(f"{PROGRAM}: the answer cannot be printed: {error.strerror}", file=sys.stderr)
        return 1


def _built_in(words: Sequence[str]) -> str | Answer | None:
    """Return the answer to ``--version``, ``completion`` and the hidden command; ``None`` for other words."""
    if words[0] in {"-V", "--version"}:
        return f"{PROGRAM} {__version__}"
    if words[0] == "completion":
        return attempted(lambda: completion.script(words[1:]))
    if words[0] == completion.COMPLETE:
        return "\n".join(completion.candidates(PARSER, words[1:-1], words[-1]))
    return None


def _single(words: Sequence[str], context: Context) -> int:
    try:
        answer = run(context, words, single=True)
    finally:
        context.close()
    return _tell(answer)


def _tell(said: str | Answer) -> int:
    if isinstance(said, str):
        show(said)
        return 0
    show(said.text())
    return said.error_code
