"""The compose file and the unit of a cluster name what exists: variables of the image's entry point, options of hsm."""

from __future__ import annotations

import re
from typing import Any

from tests.docs.pages import ROOT

_ENTRY_POINT = (ROOT / "packaging" / "container" / "entrypoint").read_text()
_READ_BY_HSM = {"HSM_STORE", "HSM_PASSPHRASE", "HSM_USER", "HSM_PASSWORD"}


def _parsed(text: str) -> dict[str, Any]:
    """Read the part of YAML that the file has: maps, lists of texts and comments, two spaces a level."""
    root: dict[str, Any] = {}
    levels: list[Any] = [root]
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        assert "\t" not in line, number
        assert indent % 2 == 0, number
        item = re.fullmatch(r"- (.+)", line.strip())
        if item:
            parent = levels[indent // 2 - 1]
            parent.setdefault(last, [])
            if not isinstance(parent[last], list):
                parent[last] = []
            parent[last].append(item[1].strip('"'))
            continue
        pair = re.fullmatch(r"([\w-]+):(?: (.+))?", line.strip())
        assert pair, f"line {number}: {line}"
        del levels[indent // 2 + 1 :]
        name, value = pair.groups()
        assert name not in levels[-1], f"line {number}: {name} twice"
        levels[-1][name] = value.strip('"') if value else {}
        last = name
        if not value:
            levels.append(levels[-1][name])
    return root


def test_the_compose_file() -> None:
    read = _parsed((ROOT / "packaging" / "compose.yaml").read_text())
    services = read["services"]
    assert services.keys() == {"db", "hsm1", "hsm2"}
    for name in ("hsm1", "hsm2"):
        variables = services[name]["environment"]
        for variable in variables.keys() - _READ_BY_HSM:
            assert variable in _ENTRY_POINT, variable
        assert variables["HSM_STORE"] == services["hsm1"]["environment"]["HSM_STORE"]
        assert services[name]["depends_on"].keys() <= services.keys()
    assert "HSM_JOIN" in services["hsm2"]["environment"]
    named = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert named == read["volumes"].keys()
