"""Transcripts of the real program, one file a subject, each run from its first line to its last.

A line ``user$ words`` runs ``cloudhsm-cli`` with that user's login in the environment (``nobody``: none), a line ``sh$
words`` a shell in the same directory, a line ``cli$ words`` a pipe into ``cloudhsm-cli interactive``. What follows is
what must be printed: for the program one JSON object, whose ``error_code`` is the exit status too. In it ``"*"`` is any
value, and ``"$NAME"`` any at first and the same later; the words of commands may use it too. ``#`` begins a comment.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fork_server

from .conftest import PASSWORDS, Site

_FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
_COMMAND = re.compile(r"^(nobody|admin|cu1|cu2|sh|cli)\$ (.*)$")
_SHELL = re.compile(r"[$`<>|&;*?(){}~!]")
"""A character that a shell treats in its own way."""
_NAME = re.compile(r"\$([A-Z][A-Z0-9_]*)")


def _steps(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield line number, who, the words, and what is expected."""
    who, words, expected, number = "", "", [], 0
    for at, line in enumerate(text.splitlines(), 1):
        match = _COMMAND.match(line)
        if match:
            if who:
                yield number, who, words, "\n".join(expected)
            who, words, expected, number = match[1], match[2], [], at
        elif not line.startswith("#") and line.strip():
            expected.append(line)
    yield number, who, words, "\n".join(expected)


def _matches(expected: object, actual: object, names: dict[str, str]) -> bool:
    if expected == "*":
        return True
    if isinstance(expected, dict) and isinstance(actual, dict):
        same = list(expected) == list(actual)
        return same and all(_matches(value, actual[name], names) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = zip(expected, actual, strict=False)
        return len(expected) == len(actual) and all(_matches(one, other, names) for one, other in pairs)
    if isinstance(expected, str) and _NAME.fullmatch(expected):
        return names.setdefault(expected[1:], str(actual)) == actual
    return type(expected) is type(actual) and expected == actual


def _run(site: Site, who: str, words: str) -> subprocess.CompletedProcess[str]:
    environment = site.environment(who if who in PASSWORDS else None)
    if who not in {"sh", "cli"} and not _SHELL.search(words):
        return fork_server.run(("cloudhsm-cli", *shlex.split(words)), environment, directory=site.work)
    typed = {"sh": words, "cli": f"printf '%s\\n' {words} | cloudhsm-cli interactive"}
    command = typed.get(who, f"cloudhsm-cli {words}")
    return subprocess.run(
        ["bash", "-c", command], env=environment, cwd=site.work, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_transcript(site: Site, file: Path) -> None:
    names: dict[str, str] = {}
    for number, who, written, expected in _steps(file.read_text()):
        words = _NAME.sub(lambda match: names.get(match[1], match[0]), written)
        place = f"{file.name}:{number}: {words}"
        done = _run(site, who, words)
        if who in {"sh", "cli"}:
            assert done.stdout.strip() == expected, f"{place}\n{done.stdout}{done.stderr}"
            continue
        answer = json.loads(done.stdout)
        assert done.stdout == json.dumps(answer, indent=2, ensure_ascii=False) + "\n", place
        assert done.returncode == answer["error_code"], place
        assert _matches(json.loads(expected), answer, names), f"{place}\n{done.stdout}"
