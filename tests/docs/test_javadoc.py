"""Javadoc rules that a machine can check: each sentence has a subject, each public method says what it throws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_CLAUSE = re.compile(r"(?:^|[.:;] |@(?:param \S+|return) )(what|who|whom|whose|whoever|whatever)\b", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/|(?m://.*$)", re.DOTALL)
_METHOD = re.compile(
    r"(?P<javadoc>/\*\*(?:[^*]|\*(?!/))*\*/\s*)?(?P<annotations>(?:@\w+\s+)*)"
    r"public (?P<signature>[\w<>\[\], ?.]*\b\w+\([^)]*\))(?:\s*throws (?P<errors>[\w., \n]+?))?\s*[{;]"
)


def _sources(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((_ROOT / folder).rglob("*.java")):
        yield str(path.relative_to(_ROOT)), path.read_text(encoding="utf-8")


def _plain(comment: str) -> str:
    return " ".join(re.sub(r"^[\s/*]+", "", comment, flags=re.MULTILINE).split())


def test_no_sentence_begins_with_a_clause() -> None:
    found = [
        f"{name}:{source.count(chr(10), 0, comment.start()) + 1}: {clause[0]}"
        for name, source in (*_sources("java/src"), *_sources("java/junit5/src/main"))
        for comment in _COMMENT.finditer(source)
        if (clause := _CLAUSE.search(_plain(comment[0])))
    ]
    assert not found, "\n".join(found)


def test_each_public_method_has_a_javadoc_that_names_its_errors() -> None:
    found = []
    for name, source in (*_sources("java/src/main"), *_sources("java/junit5/src/main")):
        for method in _METHOD.finditer(source):
            if "@Override" in method["annotations"]:
                continue
            javadoc = _plain(method["javadoc"] or "")
            errors = re.split(r"[,\s]+", method["errors"] or "")
            missing = [error for error in errors if error and f"@throws {error} " not in javadoc]
            if missing or not javadoc:
                found.append(f"{name}: {method['signature']} {missing}")
    assert not found, "\n".join(found)
