"""Requirements of tests beyond Python, make and a JDK: without them a test is skipped, or fails if all are required."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

REQUIRE_ALL = "HSMBRIDGE_REQUIRE_ALL"
"""With this variable set to 1 a missing tool or library is a failure: continuous integration must not skip."""


def missing(what: str) -> NoReturn:
    """Skip the test with this reason, or fail it."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{what}, and {REQUIRE_ALL}=1 says that nothing may be", pytrace=False)
    pytest.skip(what)


def tool(name: str) -> str:
    """Return the path of a command, or skip."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is missing")
    return path
