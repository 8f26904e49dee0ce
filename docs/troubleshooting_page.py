"""The page ``docs/troubleshooting.md``: each error of the HSM with its cause, its cure and its texts.

::

    python docs/troubleshooting_page.py docs/troubleshooting.md

Codes and causes are those of ``hsmcore/errors.py``, the exceptions in Java those of ``bridge/PROTOCOL.md``, and the
texts those of the ``raise`` statements. ``docs/cures.toml`` has the cures; an error without one ends the program.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from docs import messages
from hsmcore import errors
from hsmcore.errors import HsmError

_ROOT = Path(__file__).parents[1]
_TABLES = tomllib.loads((_ROOT / "docs" / "cures.toml").read_text(encoding="utf-8"))
CURES: dict[str, str] = _TABLES["cures"]
"""Name of an error's class to the sentences that say what to do."""

_NAMES = {70: "KEYSTORE_PASSWORD", 71: "KEYSTORE_DAMAGED", 72: "KEYSTORE_ENTRY"}
_HEAD = """# Troubleshooting

This page has [symptoms in Java](#symptoms-in-java), then each error of the HSM with its cause, its cure and its texts;
`…` stands for the part that depends on the call. Search the page for a few words of the message. `make docs` writes the
page from the table of errors.

The commands print the text; `cloudhsm-cli` prints it as `data` of its JSON answer. In Java the exception has the text
as its message, and the HSM's error, with the code, as its cause.

## Symptoms in Java

| symptom | cause | cure |
| --- | --- | --- |
{}
"""


def page() -> str:
    """Return the page in Markdown."""
    texts = messages.texts()
    lines = [_HEAD.format("\n".join(_symptoms())).rstrip(), ""]
    exceptions = _exceptions()
    for group in _own(HsmError):
        lines += [f"## {_words(group.__name__)}s", "", _sentences(group.__doc__), ""]
        for kind in _with_code(group):
            lines += _section(kind.code, kind.__name__, kind.__doc__, exceptions.get(kind.code, ""), texts)
        if group.__name__ in texts:
            lines += ["### Other errors of this group", "", *_cure(group.__name__, texts)]
    lines += _of_commands(texts)
    return "\n".join(lines).rstrip() + "\n"


def _symptoms() -> Iterator[str]:
    """Yield the rows of failures before the HSM answers."""
    for row in _TABLES["symptoms"]:
        yield f"| {row['symptom']} | {row['cause']} | {row['cure']} |"


def _own(base: type[HsmError]) -> list[type[HsmError]]:
    """Return the direct subclasses in ``hsmcore.errors``; other modules add errors without a code."""
    return [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]


def _with_code(group: type[HsmError]) -> Iterator[type[HsmError]]:
    return (kind for kind in (group, *_own(group)) if "code" in vars(kind))


def _section(
    code: int, name: str, cause: str | None, exception: str, texts: dict[str, list[str]]
) -> Iterator[str]:  # fmt: skip
    yield from (f"### {_NAMES.get(code, _upper(name))}", "", f"Code {code}. {_sentences(cause)}", "")
    if exception:
        yield from (f"In Java: {exception}.", "")
    yield from _cure(name, texts)


def _cure(name: str, texts: dict[str, list[str]]) -> Iterator[str]:
    if name not in CURES:
        raise LookupError(f"docs/cures.toml has no cure of {name!r}; add one")
    yield from (f"**Cure.** {CURES[name]}", "")
    found = texts.get(name, [])
    yield from (f"- `{text.replace('`', chr(39))}`" for text in found)
    if found:
        yield ""


def _of_commands(texts: dict[str, list[str]]) -> Iterator[str]:
    """Yield the sections of the errors without a code of their own."""
    known = {kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type)}
    yield from ("## Errors of the commands", "")
    for name, base, cause in messages.classes():
        # A subclass of an error with a code has that error's section.
        if base in known and name not in known and known[base].code == HsmError.code:
            yield from (f"### {_words(name)}", "", _sentences(cause), "", *_cure(name, texts))
    yield from ("### Defects", "", "Code 9, `INTERNAL`.", "", *_cure("HsmError", texts))
    yield from ("### Command lines of cloudhsm-cli", "", *_cure("Failure", texts))
    usage = sorted({*texts.get("UsageError", ()), *texts.get("ClickException", ())}, key=str.lower)
    yield from ("### Command lines of hsm", "", *_cure("UsageError", {"UsageError": usage}))


def _exceptions() -> dict[int, str]:
    """Return the exceptions in Java by code, from the protocol's table; ``same`` repeats the line above."""
    table = (_ROOT / "bridge" / "PROTOCOL.md").read_text(encoding="utf-8").split("## Error codes")[1]
    found: dict[int, str] = {}
    previous = ""
    for code, cell in re.findall(r"^\| (\d+) \| [A-Z_]+ \|[^\n]*\| ([^|\n]*) ?\|$", table, re.MULTILINE):
        previous = previous if cell.strip() == "same" else cell.strip()
        found[int(code)] = "" if previous == "none" else previous
    return found


def _words(name: str) -> str:
    words = re.findall(r"[A-Z][a-z]*", name)
    return " ".join([words[0], *(word.lower() for word in words[1:])])


def _upper(name: str) -> str:
    return "_".join(re.findall(r"[A-Z][a-z]*", name)).upper()


def _sentences(docstring: str | None) -> str:
    return " ".join((docstring or "").replace("``", "`").split())


if __name__ == "__main__":
    made = page()
    Path(sys.argv[1]).write_text(made, encoding="utf-8")
