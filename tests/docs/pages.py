"""The Markdown pages of the repository, and the commands in their console blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted(path for folder in ("bridge", "docs", "packaging") for path in (ROOT / folder).rglob("*.md")),
)


def without_code(page: Path) -> str:
    """Return the text of a page without its code blocks and inline code."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def commands(text: str) -> Iterator[str]:
    """Yield the commands of the console blocks in a text, each with its continuation lines."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        command = ""
        for line in block.splitlines():
            if not command and not line.lstrip().startswith("$ "):
                continue
            command += line.lstrip().removeprefix("$ ") + "\n"
            if not line.endswith("\\"):
                yield command.strip()
                command = ""


def section(page: Path, heading: str) -> str:
    """Return the part of a page under a heading of the second level."""
    return page.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
