"""``hsm java``, ``hsm keytool`` and ``hsm jarsigner``: in one process with the HSM, exit codes passed on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.site import fresh_site

from .conftest import Desk, programs

_ONCE_IN_A_QUICK_RUN = pytest.mark.parametrize(
    "desk", ["in process", pytest.param("beside a daemon", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture(scope="module", params=["in process", "beside a daemon"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        if request.param == "beside a daemon":
            site.must("start")
        yield Desk(site, tmp_path_factory.mktemp("desk"))


def test_a_jar_is_signed(desk: Desk) -> None:
    store = ["-storetype", "CloudHSM", "-keystore", str(desk.folder / "certs.store"), "-storepass", "changeit"]
    desk.site.must(
        "keytool", "-genkeypair", "-alias", "release", "-keyalg", "EC", "-groupname", "secp384r1", "-dname", "CN=R",
        "-providerName", "CloudHSM", "-keypass", "changeit", *store,
    )  # fmt: skip
    assert "release, " in desk.site.must("keytool", "-list", *store)
    jar = desk.folder / "app.jar"
    shutil.copy(provider_jar(), jar)
    desk.site.must("jarsigner", *store, str(jar), "release")
    assert "jar verified." in desk.must("jarsigner", "-verify", str(jar))


@_ONCE_IN_A_QUICK_RUN
@pytest.mark.long
def test_a_jar_is_signed_with_ed25519(desk: Desk) -> None:
    store = ["-storetype", "CloudHSM", "-keystore", str(desk.folder / "edwards.store"), "-storepass", "changeit"]
    desk.site.must(
        "keytool", "-genkeypair", "-alias", "edwards", "-keyalg", "Ed25519", "-dname", "CN=E",
        "-providerName", "CloudHSM", "-keypass", "changeit", *store,
    )  # fmt: skip
    assert "Ed25519" in desk.site.must("keytool", "-list", "-v", "-alias", "edwards", *store)
    jar = desk.folder / "edwards.jar"
    shutil.copy(provider_jar(), jar)
    desk.site.must("jarsigner", *store, str(jar), "edwards")
    assert "jar verified." in desk.must("jarsigner", "-verify", str(jar))


def test_a_program_finds_the_provider_last(desk: Desk) -> None:
    said = desk.site.must("java", *jdk.QUICK, "-cp", programs(), "Program", "sign", "words")
    assert said.split() == ["CloudHSM", "CloudHSM", "true"]


@_ONCE_IN_A_QUICK_RUN
@pytest.mark.parametrize(("words", "code"), [(("exit", "0"), 0), (("exit", "7"), 7), (("throw",), 1)])
def test_exit_codes(desk: Desk, words: tuple[str, ...], code: int) -> None:
    done = desk.site.hsm("java", *jdk.QUICK, "-cp", programs(), "Program", *words)
    assert done.returncode == code, done.stderr
    assert ("java.lang.IllegalStateException: thrown" in done.stderr) == (words[0] == "throw")


@_ONCE_IN_A_QUICK_RUN
def test_failures_of_the_tools(desk: Desk) -> None:
    store = ["-storetype", "CloudHSM", "-keystore", str(desk.folder / "missing.store"), "-storepass", "changeit"]
    assert desk.site.hsm("keytool", "-list", *store).returncode == 1
    assert desk.site.hsm("jarsigner", *store, "missing.jar", "nobody").returncode == 1
    done = desk.site.hsm("java", *jdk.QUICK, "-cp", programs(), "Missing")
    assert done.returncode == 1
    assert "Could not find or load main class Missing" in done.stderr
    assert desk.site.hsm("java").returncode == 2


@_ONCE_IN_A_QUICK_RUN
def test_wrong_credentials(desk: Desk) -> None:
    done = desk.site.hsm("java", *jdk.QUICK, "-cp", programs(), "Program", "sign", "words", HSM_PASSWORD="not-the-one")
    assert done.returncode == 1
    assert "Incorrect authentication credentials" in done.stderr
