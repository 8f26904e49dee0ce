"""docs/pkcs11.md: its console blocks, which ``tests.native.test_programs`` runs."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "pkcs11.md"


def console_blocks(page: Path) -> list[tuple[str, list[str]]]:
    """Return the commands of each console block, and the lines of output that it shows."""
    blocks: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        commands: list[str] = []
        output: list[str] = []
        continues = False
        for line in block.splitlines():
            if line.startswith("$ ") or continues:
                commands.append(line.removeprefix("$ "))
                continues = line.endswith("\\")
            else:
                output.append(line)
        blocks.append(("\n".join(commands) + "\n", output))
    return blocks


def test_the_page_has_commands() -> None:
    blocks = console_blocks(_PAGE)
    assert blocks
    assert all("hsm " in commands for commands, _ in blocks)
