"""The provider's list of services is the core's mechanism table."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

import bridge
from docs.mechanisms_page import ABSENT, ORIGINAL, lines, page
from hsmcore.tables.mechanisms import MECHANISMS, services_resource

_JAR = Path(bridge.__file__).parent / "hsmbridge.jar"
_PAGE = Path(bridge.__file__).parent.parent / "docs" / "mechanisms.md"
_ENTRY = "io/hsmbridge/jce/services.tsv"


@pytest.mark.skipif(not _JAR.is_file(), reason="make builds the jar, and it has not been made")
def test_the_jars_resource_is_the_cores_table() -> None:
    with ZipFile(_JAR) as archive:
        assert archive.read(_ENTRY).decode() == services_resource()


def test_each_line_names_a_mechanism_and_each_mechanism_has_a_line() -> None:
    lines = [line.split("\t") for line in services_resource().splitlines()]
    assert all(len(line) == 5 for line in lines)
    derivations = {
        pair.removeprefix("kdf=") for line in lines for pair in line[4].split(";") if pair.startswith("kdf=")
    }
    of_pkcs11 = {row.name for row in MECHANISMS.values() if row.family in {"hmac_kdf", "tdea_key_wrap"}}
    assert ({line[2] for line in lines} - {""}) | derivations | of_pkcs11 == MECHANISMS.keys()
    names = [(engine, name) for engine, algorithm, _, aliases, _ in lines for name in (algorithm, *aliases.split(","))]
    taken = [name for name in names if name[1]]
    assert len(taken) == len(set(taken)), "no two services have one name"


def test_the_page_of_mechanisms_is_the_table() -> None:
    made = page()
    assert _PAGE.read_text() == made, "python docs/mechanisms_page.py > docs/mechanisms.md"
    names = {(line.engine, line.name) for line in lines()}
    for engine, originals in ORIGINAL.items():
        for name in originals:
            assert f"| `{name}` |" in made
            assert (engine, name) in names
    offered = {(service.engine, service.algorithm) for row in MECHANISMS.values() for service in row.services}
    assert offered <= names


def test_what_is_absent_is_not_offered() -> None:
    offered = {service.algorithm for row in MECHANISMS.values() for service in row.services}
    assert not offered & ABSENT.keys()
    assert {line.name for line in lines() if line.row is None} >= ABSENT.keys()
