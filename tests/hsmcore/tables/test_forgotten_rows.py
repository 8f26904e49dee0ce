"""A row that somebody forgot in a table beside the mechanism table is an error that names the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hsmcore.keys import generation
from hsmcore.primitives import families, symmetric
from hsmcore.tables import mechanisms
from hsmcore.tables.mechanisms import MECHANISMS, Operation
from tests.hsmcore.conftest import Site


def _generate_pair(site: Site) -> object:
    return site.hsm.keys.generate_pair(site.user, "EC_KEY_PAIR_GEN", {}, {})


def _encrypt(site: Site) -> object:
    key = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"SIZE": 256}).handle
    return site.hsm.crypto.encrypt(site.user, key, "AES_CBC_PAD", None, b"data")


ROWS: dict[str, tuple[object, str, object, Callable[[Site], object]]] = {
    "digests": (mechanisms, "DIGEST_BYTES", "SHA-256", lambda _: replace(MECHANISMS["SHA256"])),
    "sizes": (generation, "DEFAULT_SIZES", "AES", lambda site: site.hsm.keys.generate(site.user, "AES_KEY_GEN", {})),
    "generators": (generation, "_PAIR_GENERATORS", "EC", _generate_pair),
    "modes": (symmetric, "_MODES", "CBC", _encrypt),
    "operations": (families, "_OPERATIONS", ("block_cipher", Operation.ENCRYPT), _encrypt),
}
"""A module, its table, a row, and what needs the row."""


@pytest.mark.parametrize(("module", "table", "row", "act"), ROWS.values(), ids=ROWS)
def test_a_forgotten_row_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch, module: object, table: str, row: object, act: Callable[[Site], object]
) -> None:
    act(site)
    monkeypatch.delitem(getattr(module, table), row)  # type: ignore[misc]
    with pytest.raises(LookupError, match=rf"the table {table} of hsmcore\.\S+ has no row .*; add one") as error:
        act(site)
    assert not isinstance(error.value, KeyError)
