"""Which default providers a JVM makes, and where they log in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from tests import jdk
from tests.site import Site, fresh_site

from .conftest import PROVIDER, Desk, programs


@pytest.mark.parametrize("beside", [False, True])
def test_a_second_default_provider_is_refused(desk: Desk, tmp_path: Path, *, beside: bool) -> None:
    if beside:
        with fresh_site(tmp_path / "hsm") as site:
            said = site.must("java", *jdk.QUICK, "-cp", programs(), "Instances")
    else:
        said = desk.must("java", "-cp", programs(), "Instances")
    assert said == "refused\nmade CloudHSM\n"


def logins(site: Site) -> int:
    """Return how often the crypto user has logged in."""
    return sum("CN_LOGIN" in line and "cu1" in line for line in site.must("audit", "list", "--json").splitlines())


def test_an_argument_comes_before_the_login(desk: Desk, tmp_path: Path) -> None:
    """The constructor has only the environment, which names another HSM."""
    with fresh_site(tmp_path / "hsm") as other:
        other.must("start")
        before = logins(desk.site), logins(other)
        desk.must(
            "keytool", "-genseckey", "-alias", "there", "-keyalg", "AES", "-keysize", "256", "-keypass", "changeit",
            *desk.store, "-J-cp", f"-J{provider_jar()}", "-providerClass", PROVIDER,
            "-providerArg", f"socket={socket_path(other.home)}",
        )  # fmt: skip
        assert (logins(desk.site) - before[0], logins(other) - before[1]) == (0, 1)
