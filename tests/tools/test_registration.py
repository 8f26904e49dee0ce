"""Every way in which the JDK's tools take a provider: keytool makes a pair inside the HSM, jarsigner signs with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from tests.conftest import alike
from tests.site import Site

from .conftest import PROVIDER, Desk

COUNT = """
class Count {
    public static void main(String[] a) {
        System.out.println(java.security.Security.getProviders().length);
    }
}
"""


def by_service_loader(desk: Desk) -> list[str]:
    return desk.with_provider()


def by_class_on_the_class_path(desk: Desk) -> list[str]:
    return ["-J-cp", f"-J{provider_jar()}", "-providerClass", PROVIDER]


def by_provider_path(desk: Desk) -> list[str]:
    return ["-providerPath", str(provider_jar()), "-providerClass", PROVIDER]


def by_provider_argument(desk: Desk) -> list[str]:
    return [*by_class_on_the_class_path(desk), "-providerArg", f"socket={socket_path(desk.site.home)}"]


def by_java_security(desk: Desk) -> list[str]:
    """A line in a ``java.security`` file, and the guide's class path; numbers there must have no gap."""
    (desk.folder / "Count.java").write_text(COUNT)
    number = int(desk.must("java", "Count.java").strip().splitlines()[-1]) + 1
    (desk.folder / "extra.security").write_text(f"security.provider.{number}={PROVIDER}\n")
    jars = desk.folder / "jars"
    jars.mkdir(exist_ok=True)
    shutil.copy(provider_jar(), jars / "cloudhsm-jce.jar")
    return [f"-J-Djava.security.properties={desk.folder / 'extra.security'}", "-J-classpath", f"-J{jars}/*"]


def by_guide_with_library_path(desk: Desk) -> list[str]:
    return [*by_java_security(desk), "-J-Djava.library.path=/opt/cloudhsm/lib"]


WAYS = (
    by_service_loader,
    by_class_on_the_class_path,
    by_provider_path,
    by_provider_argument,
    by_java_security,
    by_guide_with_library_path,
)


def jdk_version() -> int:
    said = subprocess.run(["keytool", "-J-version"], capture_output=True, text=True)
    found = re.search(r'version "(\d+)', said.stdout + said.stderr)
    assert found, said
    return int(found[1])


@pytest.mark.parametrize("way", alike(WAYS), ids=lambda way: way.__name__)
def test_a_jar_is_signed_with_a_key_made_in_the_hsm(desk: Desk, way: Callable[[Desk], list[str]]) -> None:
    options, alias = way(desk), way.__name__
    if way is by_provider_argument:
        # The argument alone says where the HSM is.
        desk = Desk(Site(desk.site.home, desk.site.environment | {"XDG_DATA_HOME": str(desk.folder)}), desk.folder)
        del desk.site.environment["HSM_HOME"]
    desk.must(
        "keytool", "-genkeypair", "-alias", alias, "-keyalg", "EC", "-groupname", "secp256r1", "-dname", f"CN={alias}",
        "-providerName", "CloudHSM", "-keypass", "changeit", *desk.store, *options,
    )  # fmt: skip
    assert f"{alias}, " in desk.must("keytool", "-list", *desk.store, *options)
    if way is by_provider_path and jdk_version() < 19:
        # jarsigner has no -providerPath before JDK 19 (JDK-8281175).
        options = by_class_on_the_class_path(desk)
    shutil.copy(provider_jar(), desk.folder / "app.jar")
    signed = f"{alias}.jar"
    desk.must("jarsigner", "-signedjar", signed, *desk.store, *options, "app.jar", alias)
    # Verified without the provider: the signature is an ordinary one.
    said = desk.must("jarsigner", "-verify", "-verbose", "-certs", signed)
    assert "jar verified." in said
    assert f"CN={alias}" in said


def test_an_argument_that_is_none_is_refused(desk: Desk) -> None:
    done = desk.run("keytool", "-list", *desk.store, *by_class_on_the_class_path(desk), "-providerArg", "sokket=/x")
    assert done.returncode == 1
    # keytool says this of every provider whose argument is refused.
    assert f'Provider "{PROVIDER}" not found' in done.stdout


@pytest.mark.long
def test_each_way_on_another_jdk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [home for home in sorted(Path("/usr/lib/jvm").glob("*")) if (home / "bin" / "jarsigner").is_file()]
    newest = [home for home in others if "25" in home.name]
    if not newest:
        pytest.skip("there is no JDK 25 beside the default one")
    monkeypatch.setenv("JAVA_HOME", str(newest[0]))
    monkeypatch.setenv("PATH", f"{newest[0]}/bin", prepend=":")
    for way in (by_service_loader, by_provider_path):
        alias = f"{way.__name__}_25"
        desk.must(
            "keytool", "-genkeypair", "-alias", alias, "-keyalg", "RSA", "-keysize", "2048", "-dname", f"CN={alias}",
            "-providerName", "CloudHSM", "-keypass", "changeit", *desk.store, *way(desk),
        )  # fmt: skip
        shutil.copy(provider_jar(), desk.folder / "app.jar")
        desk.must("jarsigner", "-signedjar", f"{alias}.jar", *desk.store, *way(desk), "app.jar", alias)
        assert "jar verified." in desk.must("jarsigner", "-verify", f"{alias}.jar")
