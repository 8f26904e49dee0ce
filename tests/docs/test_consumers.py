"""The Java excerpts of docs/consumers.md are in the programs that the tests run."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")


def test_every_line_of_an_excerpt_is_in_its_program() -> None:
    sections = _PAGE.split("\n## ")
    excerpts = 0
    for section in sections[1:]:
        code = re.findall(r"```java\n(.*?)```", section, re.DOTALL)
        if code:
            (program,) = re.findall(r"\(\.\./(tests/consumers/\S+\.java)\)", section)
            lines = {line.strip() for line in (_ROOT / program).read_text(encoding="utf-8").splitlines()}
            for line in "".join(code).splitlines():
                assert line in lines, program
            excerpts += 1
    assert excerpts == 5


def test_what_goes_before_is_in_the_common_program() -> None:
    (code,) = re.findall(r"```java\n(.*?)```", _PAGE.split("\n## ")[0], re.DOTALL)
    words = "".join((_ROOT / "tests" / "consumers" / "jdk" / "Hsm.java").read_text(encoding="utf-8").split())
    for call in ("new CloudHsmProvider()", "store.load(in, STORE_PASSWORD);"):
        assert call in code
        assert "".join(call.split()) in words
