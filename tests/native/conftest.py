"""One HSM with a server in this process, and the library, which reaches it through its socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsmcore import Hsm
from tests.bridge.conftest import ADMIN_PASSWORD, PASSWORD, core, served
from tests.native.cryptoki import Cryptoki, library
from tests.native.proxy import Proxy
from tests.site import Site, fresh_site

__all__ = ["core"]

PIN = f"cu1:{PASSWORD}".encode()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An HSM whose daemon is a process, for programs; a test that stops the daemon starts it again."""
    library()
    with fresh_site(tmp_path_factory.mktemp("s") / "hsm") as site:
        site.must("start")
        yield site


@pytest.fixture(scope="module")
def home(core: Hsm) -> Iterator[Path]:
    with served(core) as home:
        yield home


@pytest.fixture(scope="module")
def proxy(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Everything that the library sends passes here, where requests are counted."""
    with Proxy(tmp_path_factory.mktemp("p"), home).running() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cryptoki(proxy: Proxy) -> Iterator[Cryptoki]:
    """The library, initialised."""
    library = Cryptoki()
    before = os.environ.get("HSM_HOME")
    os.environ["HSM_HOME"] = str(proxy.home)
    try:
        with library.started():
            yield library
    finally:
        if before is None:
            del os.environ["HSM_HOME"]
        else:
            os.environ["HSM_HOME"] = before


@pytest.fixture
def session(cryptoki: Cryptoki) -> Iterator[int]:
    """A session that has logged in. All sessions are closed at the end."""
    session = cryptoki.open()
    cryptoki.login(session, PIN)
    yield session
    cryptoki.must("C_CloseAllSessions", 0)


__all__ += ["ADMIN_PASSWORD"]
