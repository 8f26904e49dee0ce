"""One HSM with keys that keytool made in it, and the ways in which a user's Java program reaches it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystore import file as key_store_file
from tests import jdk
from tests.consumers import libraries
from tests.consumers.application import STORE_PASSWORD, Application, copied
from tests.consumers.openssl import certificates
from tests.requirements import tool
from tests.site import Site, fresh_site

_HERE = Path(__file__).parent
KEYS = {
    "rsa": ("-keyalg", "RSA", "-keysize", "2048", "-sigalg", "SHA256withRSA"),
    "ec": ("-keyalg", "EC", "-groupname", "secp256r1", "-sigalg", "SHA256withECDSA"),
}
"""Aliases of the pairs in the HSM, with keytool's words for them; the default hash differs from JDK to JDK."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a quick run have each carrier and each position of the provider once, a long one every pair of them.

    Tests without a position have the daemon only. Programs that use libraries are left to a long run: programs of the
    JDK use the same services of the provider.
    """
    for item in items:
        if not item.path.is_relative_to(_HERE) or not isinstance(item, pytest.Function):
            continue
        if "library_classes" in item.fixturenames:
            item.add_marker(pytest.mark.long)
        elif hasattr(item, "callspec"):
            parameters = {value for value in item.callspec.params.values() if isinstance(value, str)}
            position = parameters & {"first", "last"}
            if ("beside" in parameters and position != {"last"}) or ("daemon" in parameters and position == {"last"}):
                item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate file; beside it lie ``rsa.pem``, ``ec.pem`` and both in ``peers.pem``."""
    return tmp_path_factory.mktemp("store") / "certs.store"


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[dict[str, Site]]:
    """The same HSM twice: behind its daemon, and for one process at a time."""
    with fresh_site(tmp_path_factory.mktemp("hsm") / "home") as site:
        opened = ("-storetype", "CloudHSM", "-keystore", str(store), "-storepass", STORE_PASSWORD)
        for alias, kind in KEYS.items():
            site.must(
                "keytool", "-genkeypair", "-alias", alias, *kind, "-dname", f"CN={alias}", "-ext", "san=dns:localhost",
                "-providerName", "CloudHSM", "-keypass", STORE_PASSWORD, *opened,
            )  # fmt: skip
        entries = key_store_file.decode(store.read_bytes(), STORE_PASSWORD).entries
        for alias in KEYS:
            store.with_name(f"{alias}.pem").write_text(ssl.DER_cert_to_PEM_cert(entries[alias].chain[0]))
        both = "".join(store.with_name(f"{alias}.pem").read_text() for alias in KEYS)
        store.with_name("peers.pem").write_text(both)
        beside = copied(site, tmp_path_factory.mktemp("beside") / "home")
        site.must("start")
        yield {"daemon": site, "beside": beside}


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of OpenSSL's own pairs; beside them lie ``rsa.key``, ``rsa.pem``, ``ec.key`` and ``ec.pem``."""
    tool("openssl")
    return certificates(tmp_path_factory.mktemp("peers"))


@pytest.fixture(scope="session")
def classes() -> Path:
    """The programs that need the JDK only."""
    return jdk.classes(_HERE / "jdk")


@pytest.fixture(scope="module", params=["daemon", "beside"])
def application(
    request: pytest.FixtureRequest, sites: dict[str, Site], classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Application:
    """A program that needs the JDK only, in a stock JVM and under ``hsm java``."""
    folder = tmp_path_factory.mktemp("application")
    return Application(sites[request.param], folder, (classes,), beside=request.param == "beside")


@pytest.fixture
def stock(sites: dict[str, Site], classes: Path, tmp_path: Path) -> Application:
    """A program that needs the JDK only, in a stock JVM."""
    return Application(sites["daemon"], tmp_path, (classes,))


@pytest.fixture(scope="session")
def library_classes(classes: Path) -> tuple[Path, ...]:
    """The class path of the programs that use libraries."""
    jars = libraries.fetched()
    own = jdk.classes(libraries.SOURCES, class_path=(classes, *jars))
    return (own, classes, *jars)


@pytest.fixture(scope="module", params=["daemon", "beside"])
def library_user(
    request: pytest.FixtureRequest,
    sites: dict[str, Site],
    library_classes: tuple[Path, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Application:
    """A program that uses libraries, in a stock JVM and under ``hsm java``."""
    tool("openssl")
    folder = tmp_path_factory.mktemp("library_user")
    return Application(sites[request.param], folder, library_classes, beside=request.param == "beside")
