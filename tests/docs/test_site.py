"""The navigation of the site has every page once, and the README and the others outside docs/."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

_HOOK = ast.parse((ROOT / "docs" / "site_hook.py").read_text(encoding="utf-8"))


def _constant(name: str) -> object:
    """Return a constant of the hook, which imports packages that only the site's environment has."""
    for node in _HOOK.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def test_every_page_has_one_place_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1].split("\nvalidation:")[0]
    places = re.findall(r"- (\S+\.md)$", navigation, re.MULTILINE)
    outside, planned = _constant("OUTSIDE"), _constant("PLANNED")
    assert isinstance(outside, dict)
    assert isinstance(planned, set)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(places) == sorted(pages | planned | set(outside.values()))
    assert len(places) == len(set(places))
    assert all((ROOT / path).is_file() for path in outside)
