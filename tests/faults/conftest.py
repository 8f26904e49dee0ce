"""An HSM and its daemon as a process, to be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site import Site, fresh_site


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A fresh HSM with the crypto user ``cu1``."""
    with fresh_site(tmp_path_factory.mktemp("hsm", numbered=True)) as site:
        yield site
