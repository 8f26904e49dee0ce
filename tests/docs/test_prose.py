"""Prose rules that a machine can check: first words of docstrings, and phrases that only the authors understand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SOURCES = ("bridge", "docs", "hsmcore", "java", "keystore", "tests")
_PAGES = (
    *sorted(_ROOT.glob("*.md")),
    *sorted(path for folder in ("bridge", "docs", "packaging") for path in (_ROOT / folder).rglob("*.md")),
)
_CLAUSE = re.compile(r"(what|who|whom|whose|whoever|whatever)\b", re.IGNORECASE)
_PHRASE = re.compile(
    r"\bthe (whole )?door\b|\blet be\b|\bis for [\w ]{1,30} to say\b|\braises as\b",
    re.IGNORECASE,
)
_JAVADOC = re.compile(r"/\*\*(.*?)\*/", re.DOTALL)
_JAVA_COMMENT = re.compile(r"/\*.*?\*/|(?m://.*$)", re.DOTALL)


def _python_docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, those under a variable included."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield node.lineno, text
            case _:
                pass


def _python_prose(source: str) -> Iterator[tuple[int, str]]:
    yield from _python_docstrings(source)
    block: list[str] = []
    start = 0
    for number, line in enumerate([*source.splitlines(), ""], 1):
        _, mark, comment = line.partition("# ")
        if mark and not block:
            start = number
        if mark:
            block.append(comment)
        elif block:
            yield start, " ".join(block)
            block = []


def _java(pattern: re.Pattern[str], source: str) -> Iterator[tuple[int, str]]:
    for found in pattern.finditer(source):
        text = re.sub(r"^[\s/*]+", "", found[0], flags=re.MULTILINE)
        yield source.count("\n", 0, found.start()) + 1, text


def _files(suffix: str) -> Iterator[tuple[str, str]]:
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).rglob(f"*{suffix}")):
            yield str(path.relative_to(_ROOT)), path.read_text(encoding="utf-8")


def test_no_docstring_begins_with_a_clause() -> None:
    found = [
        f"{name}:{line}: {text.strip().splitlines()[0]}"
        for suffix, docstrings in ((".py", _python_docstrings), (".java", lambda text: _java(_JAVADOC, text)))
        for name, source in _files(suffix)
        for line, text in docstrings(source)
        if _CLAUSE.match(text.strip())
    ]
    assert not found, "\n".join(found)


def test_no_phrase_that_only_the_authors_understand() -> None:
    found = [
        f"{name}:{line}: {phrase[0]}"
        for suffix, prose in ((".py", _python_prose), (".java", lambda text: _java(_JAVA_COMMENT, text)))
        for name, source in _files(suffix)
        for line, text in prose(source)
        if (phrase := _PHRASE.search(" ".join(text.split())))
    ]
    for page in _PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        found.extend(f"{page.relative_to(_ROOT)}: {phrase[0]}" for phrase in _PHRASE.finditer(text))
    assert not found, "\n".join(found)
