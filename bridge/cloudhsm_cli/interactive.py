"""The interactive mode: reads commands at a prompt, or from standard input if that is not a terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.shortcuts import CompleteStyle

from bridge.cloudhsm_cli import completion
from bridge.cloudhsm_cli.commands import COMMANDS, PARSER
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.output import Answer, help_asked, show
from bridge.cloudhsm_cli.run import run
from bridge.cloudhsm_cli.table import Kind

PROMPT = "aws-cloudhsm > "
_QUIT = ("quit", "exit")
_SECRETS = tuple(
    {f"--{option.name}" for command in COMMANDS for option in command.options if option.kind is Kind.SECRET}
)
_FILES = {f"--{option.name}" for command in COMMANDS for option in command.options if option.kind is Kind.FILE}


def interact(words: Sequence[str], context: Context) -> int:
    """Run commands until ``quit`` or the end of input, and return the exit status of the program."""
    if words and (len(words) != 2 or words[0] not in {"--cluster-id", "--config"}):
        show(Answer(1, f"unexpected argument '{words[0][:80]}' found; interactive takes [--cluster-id <ID>]").text())
        return 1
    if words:
        context.configure(words[1] if words[0] == "--config" else None, words[1] if words[0] != "--config" else None)
    at_terminal = sys.stdin.isatty()
    next_line = _prompting() if at_terminal else sys.stdin.readline
    failed = False
    try:
        while line := _read(next_line):
            if line.split()[:1] and line.split()[0] in _QUIT:
                break
            failed |= _do(context, line)
    finally:
        context.close()
    return 1 if failed and not at_terminal else 0


def _read(next_line: Callable[[], str]) -> str:
    """Return the next line with its line end, empty at the end of input; Ctrl-C discards the current line."""
    while True:
        try:
            return next_line()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return ""


def _do(context: Context, line: str) -> bool:
    """Run the command in a line, and return whether it failed."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        show(Answer(1, f"the line cannot be read: {error}").text())
        return True
    if not words:
        return False
    asked = help_asked(words)
    if isinstance(asked, str):
        show(asked)
        return False
    try:
        answer = asked or run(context, words, single=False)
    except KeyboardInterrupt:
        answer = Answer(1, "interrupted")
    show(answer.text())
    return answer.error_code != 0


class _History(InMemoryHistory):
    """Stores no line that may contain a password."""

    def append_string(self, string: str) -> None:
        """Store a line, unless it has an option for a password."""
        if not any(secret in string for secret in _SECRETS):
            super().append_string(string)


class _Words(Completer):
    """Completes words from the command table, and paths after options that take a file."""

    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield completions of the word before the cursor."""
        before = document.text_before_cursor.split()
        typed = "" if document.text_before_cursor[-1:].isspace() or not before else before.pop()
        if before and before[-1] in _FILES:
            yield from self._paths.get_completions(Document(typed, len(typed)), complete_event)
            return
        for word in completion.candidates(PARSER, before, typed):
            if word != completion.BUILT_IN[0]:
                yield Completion(word, start_position=-len(typed))


def _prompting() -> Callable[[], str]:
    session: PromptSession[str] = PromptSession(
        PROMPT, completer=_Words(), history=_History(), complete_style=CompleteStyle.READLINE_LIKE
    )
    return lambda: session.prompt() + "\n"
