"""pytest plugin: a fresh HSM for each test, with a logged-in provider in a JVM inside the test process.

::

    def test_signs(hsm):
        generator = JClass("java.security.KeyPairGenerator").getInstance("EC", hsm.provider)

Options in the ini file: ``hsmbridge_jvm_args`` (one a line), ``hsmbridge_classpath`` (paths, relative to the ini file).
One process has one JVM, started when the first test needs it; tests with other JVM options need another process.
"""

from __future__ import annotations

import faulthandler
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session
    from hsmcore.settings import Settings

USER = "cu1"
"""Name of the crypto user of each fresh HSM."""


@dataclass(frozen=True, slots=True)
class HsmUnderTest:
    """The value of the ``hsm`` fixture: the HSM, a session of ``cu1``, the JVM's provider and the state directory."""

    hsm: Hsm
    session: Session
    provider: Any
    home: Path
    user: str
    password: str


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's ini options."""
    parser.addini("hsmbridge_jvm_args", "JVM options, one a line", type="linelist", default=[])
    parser.addini("hsmbridge_classpath", "entries to add to the JVM's class path", type="paths", default=[])


@pytest.fixture(scope="session")
def hsm_jvm(pytestconfig: pytest.Config) -> None:
    """Start the JVM of this process, with the provider's jar and ``hsmbridge_classpath`` on its class path."""
    # Imported here so that a test run that uses no fixture of this plugin does not load JPype.
    from bridge.carriers import jvm

    _without_faulthandler(pytestconfig)
    # The provider reads them once and then refuses another login; a fresh HSM does not have that user anyway.
    for name in ("HSM_USER", "HSM_PASSWORD"):
        os.environ.pop(name, None)
    options = [os.path.expandvars(option) for option in pytestconfig.getini("hsmbridge_jvm_args")]
    jvm.start(options, pytestconfig.getini("hsmbridge_classpath"))


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
    home = tmp_path_factory.mktemp("hsm-template") / "hsm"
    password = secrets.token_hex(8)
    fresh_hsm(home, password).close()
    return home, password


@pytest.fixture
def hsm(hsm_jvm: None, hsm_template: tuple[Path, str], tmp_path: Path) -> Iterator[HsmUnderTest]:
    """Yield a fresh HSM with the crypto user ``cu1`` logged in, in Python and in the JVM's provider ``CloudHSM``."""
    from hsmcore import Hsm

    template, password = hsm_template
    home = tmp_path / "hsm"
    shutil.copytree(template, home)
    with Hsm.open(home) as core, provider_of(core, password) as provider:
        session = core.users.login(USER, password.encode())
        yield HsmUnderTest(core, session, provider, home, USER, password)


@contextmanager
def provider_of(core: Hsm, password: str) -> Iterator[Any]:
    """Register a provider for this HSM in the JVM, with ``cu1`` logged in, and remove it at the end."""
    from bridge.carriers import jvm

    carrier = jvm.install(core)
    provider = jvm.add_provider()
    try:
        jvm.login(provider, USER, password)
        yield provider
    finally:
        jvm.remove_provider()
        carrier.close()


def fresh_hsm(home: Path, password: str, settings: Settings | None = None) -> Hsm:
    """Make an HSM in ``home`` with the crypto user ``cu1`` and this password, and return it open."""
    from hsmcore import Hsm
    from hsmcore.settings import Settings

    admin_password = secrets.token_hex(8).encode()
    core = Hsm.initialize(home, admin_password=admin_password, settings=settings or Settings())
    admin = core.users.login("admin", admin_password, "admin")
    core.users.create(admin, USER, "crypto-user", password.encode())
    core.users.logout(admin)
    return core
