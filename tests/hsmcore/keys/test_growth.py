"""The cost of an operation does not grow with the number of keys, in SQL statements and in keys held."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import Engine, event

from hsmcore import Hsm
from hsmcore.errors import KeyFunctionNotPermitted, KeyNotFound, StoreDamaged
from hsmcore.keys import token_keys
from hsmcore.storage.rows import KeyRow
from hsmcore.storage.sealing import Vault
from tests.hsmcore.conftest import PASSWORDS, make_site
from tests.hsmcore.older import make_first

KEYS = 40

ENGINES = ("sqlite",)


class Statement(str):
    """An SQL statement with its parameters."""

    __slots__ = ("parameters",)
    parameters: tuple[object, ...]

    def __new__(cls, text: str, parameters: tuple[object, ...]) -> Self:
        made = super().__new__(cls, text)
        made.parameters = parameters
        return made


@contextmanager
def counted() -> Iterator[list[Statement]]:
    """Collect the SQL statements of every engine."""
    statements: list[Statement] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if statement != "BEGIN":
            statements.append(Statement(statement, parameters if isinstance(parameters, tuple) else ()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(params=[1, KEYS], ids=lambda count: f"{count} keys")
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        for number in range(request.param):
            hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"label {number}", "ID": b"id"})
    return tmp_path / "hsm"


def test_opening_reads_no_key(home: Path) -> None:
    with counted() as statements, Hsm.open(home):
        pass
    assert not [statement for statement in statements if "material" in statement]
    assert len([statement for statement in statements if "FROM audit " in statement]) == 2, (
        "the last entry, the anchor's"
    )
    with counted() as statements, Hsm.open(home) as hsm:
        hsm.users.login("cu1", PASSWORDS["cu1"])
        opening = len(statements)
        hsm.status()
        assert len(statements) == opening + 1


def test_a_key_is_read_once_and_alone(home: Path) -> None:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with counted() as statements:
            (found,) = hsm.keys.find(session, {"LABEL": "label 0"})
        assert len([statement for statement in statements if "FROM keys" in statement]) == 1
        with counted() as statements:
            hsm.crypto.encrypt(session, found.handle, "AES_GCM", None, b"text")
        assert len([statement for statement in statements if "FROM keys" in statement]) == 1
        with counted() as statements:
            for _ in range(10):
                hsm.crypto.encrypt(session, found.handle, "AES_GCM", None, b"text")
            hsm.keys.get(session, found.handle)
        assert statements == []


def test_finding_uses_indexes(home: Path) -> None:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with counted() as statements:
            hsm.keys.find(session, {"LABEL": "label 0"})
            hsm.keys.find_pair(session, b"no such key")
            hsm.keys.find(session, {}, 1)
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        plans = [
            str(connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("x",) * statement.count("?")).fetchall())
            for statement in statements
        ]
    for plan, index in zip(plans, ("keys_by_label", "keys_by_public_key", "keys_by_time"), strict=True):
        assert f"USING INDEX {index}" in plan
        assert "TEMP B-TREE" not in plan or index != "keys_by_time"


_LABEL = {"LABEL": "label 0"}


@pytest.mark.parametrize(
    "wanted",
    [{}, _LABEL, {"OBJECT_CLASS": "SECRET_KEY"}, {"KEY_TYPE": ["AES", "EC"]}, {"ID": b"id"}, {"TOKEN": True}],
    ids=lambda wanted: ", ".join(wanted) or "all",
)
def test_a_page_of_keys_reads_the_page(home: Path, wanted: dict[str, object]) -> None:
    """The database counts; of the keys only those of the page are read, at once."""
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        expected = hsm.keys.find(session, _LABEL if wanted is _LABEL else {})
        with counted() as statements:
            page, count = hsm.keys.describe(session, None, wanted, 0, 3)
    assert ([key.record for key in page], count) == (expected[:3], len(expected))
    assert ["material" in statement for statement in statements] == [True, False]
    rows = _repeated(home, statements)
    assert [len(found) for found in rows] == [len(page), 1]


@pytest.mark.parametrize("wanted", [{}, {"ID": b"id", "SIZE": 256}, {"KEY_LENGTH": 32}], ids=["all", "rest", "derived"])
@pytest.mark.parametrize("brief", [True, False])
def test_a_listing_opens_each_row_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, object], brief: bool
) -> None:
    opened: list[int] = []
    open_key = Vault.open_key

    def noted(vault: Vault, row: KeyRow) -> bytes:
        opened.append(row.handle)
        return open_key(vault, row)

    monkeypatch.setattr(Vault, "open_key", noted)
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        page, _ = hsm.keys.describe(session, None, wanted, 0, 0, brief=brief)
    assert sorted(opened) == sorted(key.record.handle for key in page)
    assert all(bool(key.derived) is not brief for key in page)


def test_a_list_goes_on_where_a_page_ended(home: Path) -> None:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        for number in range(5):
            hsm.keys.generate(session, "AES_KEY_GEN", {"LABEL": f"session {number}"})
        all_of_them = hsm.keys.find(session, {})
        for limit in (1, 3, len(all_of_them), 1000):
            found, position = hsm.keys.find_page(session, {}, limit)
            while position is not None:
                # What is gone moves nothing, and what is new comes last.
                gone = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
                hsm.keys.destroy(session, gone)
                page, position = hsm.keys.find_page(session, {}, limit, position)
                found += page
                assert len(found) <= len(all_of_them)
            assert found == all_of_them


def test_a_time_of_creation_that_is_no_number_ends_a_listing(home: Path) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        connection.execute("UPDATE keys SET created = 'later' WHERE label = 'label 0'")
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with pytest.raises(StoreDamaged):
            hsm.keys.find(session, {"LABEL": "label 0"}, 1)
        with pytest.raises(StoreDamaged):
            hsm.keys.describe(session, None, {"LABEL": "label 0"}, 0, 1)
        assert "label 0" not in {record.attributes["LABEL"] for record in hsm.keys.find(session, {})}


def _repeated(home: Path, statements: list[Statement]) -> list[list[object]]:
    with closing(sqlite3.connect(home / "hsm.db")) as connection:
        return [connection.execute(statement, statement.parameters).fetchall() for statement in statements]


def test_counting_reads_an_index(home: Path) -> None:
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with counted() as statements:
            for wanted in ({}, {"OBJECT_CLASS": "SECRET_KEY"}, {"KEY_TYPE": "AES"}):
                hsm.keys.describe(session, None, wanted, 0, 1)
    counts = [Statement(f"EXPLAIN QUERY PLAN {text}", text.parameters) for text in statements if "count(" in text]
    assert len(counts) == 3
    for plan in map(str, _repeated(home, counts)):
        assert "USING COVERING INDEX keys_by_owner" in plan


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was pushed out of memory works as before, and is read again."""
    monkeypatch.setattr(token_keys, "CACHED", 3)
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        keys = [hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle for _ in range(10)]
        with counted() as statements:
            for handle in keys:
                assert hsm.keys.get(made.user, handle).handle == handle
        assert len(statements) == len(keys)
        sealed, parameters = hsm.crypto.encrypt(made.user, keys[0], "AES_GCM", None, b"text")
        hsm.keys.set_attributes(made.user, keys[0], {"ENCRYPT": False})
        for handle in keys[1:]:
            hsm.keys.get(made.user, handle)
        assert hsm.crypto.decrypt(made.user, keys[0], "AES_GCM", parameters, sealed) == b"text"
        with pytest.raises(KeyFunctionNotPermitted):
            hsm.crypto.encrypt(made.user, keys[0], "AES_GCM", None, b"text")
        hsm.keys.destroy(made.user, keys[0])
        with pytest.raises(KeyNotFound):
            hsm.crypto.decrypt(made.user, keys[0], "AES_GCM", parameters, sealed)


@pytest.mark.parametrize("column", ["label", "object_class", "key_type", "key_id"])
def test_a_column_that_was_edited_does_not_open(home: Path, column: str) -> None:
    with closing(sqlite3.connect(home / "hsm.db")) as connection, connection:
        (handle,) = connection.execute("SELECT handle FROM keys WHERE label = 'label 0'").fetchone()
        connection.execute(f"UPDATE keys SET {column} = 'PUBLIC_KEY' WHERE handle = ?", (handle,))
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        with pytest.raises(StoreDamaged):
            hsm.crypto.encrypt(session, handle, "AES_GCM", None, b"text")
        assert handle not in {record.handle for record in hsm.keys.find(session, {})}


def test_a_database_of_the_first_schema_is_brought_up_to_date(home: Path) -> None:
    make_first(home)
    with Hsm.open(home) as hsm:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        (found,) = hsm.keys.find(session, {"LABEL": "label 0"})
        assert hsm.crypto.encrypt(session, found.handle, "AES_GCM", None, b"text")
