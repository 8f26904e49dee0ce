"""Links between the pages lead somewhere on a code host; `make site` checks them for the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, without_code

_LINK = re.compile(r"\]\((?!https?://)([^)\s#]*)(?:#([^)\s]+))?\)")


def _anchors(page: Path) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for path, anchor in _LINK.findall(without_code(page)):
        target = (page.parent / path).resolve() if path else page
        found = target.is_file() and (not anchor or target.suffix != ".md" or anchor in _anchors(target))
        if not found or not target.is_relative_to(ROOT):
            broken.append(f"{path}#{anchor}")
    assert not broken


def test_no_link_hides_from_the_pattern() -> None:
    """Reference links and links with titles would not be checked."""
    for page in PAGES:
        assert not re.search(r"^\[[^\]]+\]: |\]\([^)]+ \"", without_code(page), re.MULTILINE), page
