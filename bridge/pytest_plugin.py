"""pytest plugin: a fresh HSM for each test, with a logged-in provider in a JVM inside the test process.

::

    def test_signs(hsm):
        generator = JClass("java.security.KeyPairGenerator").getInstance("EC", hsm.provider)

The fixtures ``hsm``, ``hsm_module`` and ``hsm_session`` yield an HSM of a test, of a module and of the whole run. The
newest one has the JVM's provider ``CloudHSM``; an older one has it again when that one has ended. All are copies of one
HSM that the first test makes, so they have the same serial number, master key and password.

Options in the ini file: ``hsmbridge_jvm_args`` (one a line), ``hsmbridge_classpath`` (paths, relative to the ini file).
One process has one JVM, started when the first test needs it; tests with other JVM options need another process. A JVM
that the project has started itself is used as it is.
"""

from __future__ import annotations

import faulthandler
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bridge.server.faults import Faults
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session
    from hsmcore.settings import Settings

USER = "cu1"
"""Name of the crypto user of each fresh HSM."""


@dataclass(frozen=True)
class HsmUnderTest:
    """The value of the ``hsm`` fixtures: the HSM, the JVM's provider, the state directory, and the crypto user."""

    hsm: Hsm
    provider: Any
    home: Path
    user: str
    password: str
    faults: Faults
    """Faults on demand: ``add``, ``load``, ``all`` and ``clear`` (docs/faults.md)."""

    @cached_property
    def session(self) -> Session:
        """A session of ``cu1`` in Python, which begins at the first use."""
        return self.hsm.users.login(self.user, self.password.encode())

    def reset(self) -> None:
        """Destroy all keys and all other users, and log the crypto user in again, in Java and for ``session``."""
        from bridge.carriers import jvm

        self.faults.clear()
        self.hsm.reset()
        self.__dict__.pop("session", None)
        jvm.login(self.provider, self.user, self.password)


_registered: list[tuple[Hsm, Any, Faults, ExitStack]] = []
"""The HSMs whose providers are, or will be again, in the JVM, with the carriers to close at their end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's ini options."""
    parser.addini("hsmbridge_jvm_args", "JVM options, one a line", type="linelist", default=[])
    parser.addini("hsmbridge_classpath", "entries to add to the JVM's class path", type="paths", default=[])


@pytest.fixture(scope="session")
def hsm_jvm(pytestconfig: pytest.Config) -> None:
    """Start the JVM of this process, with the provider's jar and ``hsmbridge_classpath`` on its class path.

    Raises:
        UsageError: An entry of ``hsmbridge_classpath`` does not exist.
    """
    # Imported here so that a test run that uses no fixture of this plugin does not load JPype.
    from bridge.carriers import jvm

    _without_faulthandler(pytestconfig)
    # The provider reads them once and then refuses another login; a fresh HSM does not have that user anyway.
    for name in ("HSM_USER", "HSM_PASSWORD"):
        os.environ.pop(name, None)
    options = [os.path.expandvars(option) for option in pytestconfig.getini("hsmbridge_jvm_args")]
    class_path = pytestconfig.getini("hsmbridge_classpath")
    for entry in class_path:
        if not any(entry.parent.glob(entry.name)):
            raise pytest.UsageError(f"hsmbridge_classpath names {entry}, which does not exist")
    if not jvm.started():
        jvm.start(options, class_path)
        return
    if options:
        warnings.warn("a JVM runs already, so hsmbridge_jvm_args has no effect", pytest.PytestWarning, stacklevel=1)
    jvm.adopt(class_path)


def _without_faulthandler(config: pytest.Config) -> None:
    """Keep pytest from touching the signal handlers once the JVM has its own.

    faulthandler saves the current handlers and restores them at the end of the run. A JVM that loses its SIGSEGV
    handler crashes at its next implicit null check (JPype issues 842 and 1261).
    """
    plugin = config.pluginmanager.get_plugin("faulthandler")
    if plugin is not None:
        config.pluginmanager.unregister(plugin)
    faulthandler.disable()


@pytest.fixture(scope="session")
def hsm_template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the state directory of an HSM and the password of its user ``cu1``, to be copied for each test.

    A copy saves the three Argon2id hashes of an initialisation, more time than many a test takes.
    """
    from hsmcore.settings import Settings

    home, password = tmp_path_factory.mktemp("hsm-template") / "hsm", secrets.token_hex(8)
    fresh_hsm(home, password, Settings(allow_reset=True, allow_faults=True)).close()
    return home, password


@pytest.fixture
def hsm(hsm_jvm: None, hsm_template: tuple[Path, str], tmp_path: Path) -> Iterator[HsmUnderTest]:
    """Yield a fresh HSM with the crypto user ``cu1``, who is logged in in the JVM's provider ``CloudHSM``."""
    with _copied(hsm_template, tmp_path / "hsm") as copied:
        yield copied


@pytest.fixture(scope="module")
def hsm_module(
    hsm_jvm: None, hsm_template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HsmUnderTest]:
    """Yield an HSM, as ``hsm`` does, for all tests of a module."""
    with _copied(hsm_template, tmp_path_factory.mktemp("hsm-module") / "hsm") as copied:
        yield copied


@pytest.fixture(scope="session")
def hsm_session(
    hsm_jvm: None, hsm_template: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HsmUnderTest]:
    """Yield an HSM, as ``hsm`` does, for all tests of the run."""
    with _copied(hsm_template, tmp_path_factory.mktemp("hsm-session") / "hsm") as copied:
        yield copied


@contextmanager
def _copied(template: tuple[Path, str], home: Path) -> Iterator[HsmUnderTest]:
    from bridge.server.faults import Faults
    from hsmcore import Hsm

    prepared, password = template
    shutil.copytree(prepared, home)
    with Hsm.open(home, start=False) as core:
        faults = Faults.of(core)
        with provider_of(core, password, faults) as provider:
            yield HsmUnderTest(core, provider, home, USER, password, faults)


@contextmanager
def provider_of(core: Hsm, password: str, faults: Faults | None = None) -> Iterator[Any]:
    """Register a provider for this HSM in the JVM, with ``cu1`` logged in; at the end register the one before.

    Args:
        core: The HSM.
        password: The password of ``cu1``.
        faults: The faults of the HSM, ``None`` for new ones.
    """
    from bridge.carriers import jvm

    with ExitStack() as carriers:
        carrier = jvm.install(core, faults)
        carriers.callback(carrier.close)
        provider = jvm.add_provider()
        _registered.append((core, provider, carrier.faults, carriers))
        try:
            jvm.login(provider, USER, password)
            yield provider
        finally:
            jvm.remove_provider()
            _registered.pop()
            if _registered:
                before, its_provider, its_faults, its_carriers = _registered[-1]
                its_carriers.callback(jvm.restore(before, its_provider, its_faults).close)


def fresh_hsm(home: Path, password: str, settings: Settings | None = None) -> Hsm:
    """Make an HSM in ``home`` with the crypto user ``cu1`` and this password, and return it open."""
    from hsmcore import Hsm
    from hsmcore.settings import Settings

    return Hsm.initialize(
        home,
        admin_password=secrets.token_hex(8).encode(),
        settings=settings or Settings(),
        crypto_user=(USER, password.encode()),
    )
