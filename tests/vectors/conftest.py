"""Counts the published vectors that went through the JVM, and those that did not."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import Tally


@pytest.fixture(scope="session")
def counted(tally: Tally) -> Counter[str]:
    """Vectors run so far, by family."""
    return tally("vectors through the JVM")


@pytest.fixture(scope="session")
def left_out(tally: Tally) -> Counter[str]:
    """Vectors not run, by reason."""
    return tally("vectors left out")
