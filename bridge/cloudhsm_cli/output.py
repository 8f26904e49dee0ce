"""The printed output of the program: answers to commands, and help."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from bridge.cloudhsm_cli import manual
from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.table import Data

_HELP = ("-h", "--help")


@dataclass(frozen=True, slots=True)
class Answer:
    """The printed answer of a command: error code 0 and data, or 1 and a message."""

    error_code: int
    data: Data

    def text(self) -> str:
        """Return the JSON object."""
        return json.dumps({"error_code": self.error_code, "data": self.data}, indent=2, ensure_ascii=False)


def help_asked(words: Sequence[str]) -> str | Answer | None:
    """Return the help that the words request, or ``None`` if they are a command."""
    if words and words[0] == "help":
        return attempted(lambda: manual.help_text(PARSER, tuple(words[1:]), lenient=False))
    if set(words) & set(_HELP):
        path = tuple(takewhile(lambda word: not word.startswith("-"), words))
        return attempted(lambda: manual.help_text(PARSER, path, lenient=True))
    return None


def attempted(make: Callable[[], str]) -> str | Answer:
    """Return the result of a function, or an error answer with the message of its ``Failure``."""
    try:
        return make()
    except Failure as error:
        return Answer(1, str(error))


def show(text: str) -> None:
    """Print a text; characters that the terminal's encoding lacks are escaped.

    Raises:
        OSError: Standard output is closed or full.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
