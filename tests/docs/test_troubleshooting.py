"""docs/troubleshooting.md has each error of the HSM with a cure, and is the page that the tables make."""

from __future__ import annotations

import re

from docs import messages
from docs.troubleshooting_page import CURES, page
from hsmcore import errors
from tests.docs.pages import ROOT

_CODES = (ROOT / "bridge" / "PROTOCOL.md").read_text(encoding="utf-8").split("## Error codes")[1]


def test_the_page_is_the_tables() -> None:
    assert (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8") == page(), "make docs"


def test_each_code_of_the_protocol_has_a_section() -> None:
    made = page()
    for code, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", _CODES, re.MULTILINE):
        section = made.split(f"### {name}\n")[1] if f"### {name}\n" in made else made.split("### Defects\n")[1]
        assert re.match(rf"\nCode {code}[.,].*?\*\*Cure\.\*\* \w", section, re.DOTALL), name


def test_each_cure_is_of_an_error() -> None:
    known = set(vars(errors)) | {name for name, _, _ in messages.classes()}
    assert not [name for name in CURES if name not in known and name != "UsageError"]


def test_texts_are_read_with_their_gaps() -> None:
    texts = messages.texts()
    assert "there is no such session; log in" in texts["Unauthenticated"]
    assert "process … has the HSM in … open" in texts["StateLocked"]
    assert sum(map(len, texts.values())) > 300
