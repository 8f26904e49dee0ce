"""How programs load the provider: by reflection, through a service loader, from /opt/cloudhsm, out of a shaded jar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.conftest import alike
from tests.site import Site, fresh_site

from .conftest import Desk
from .test_registration import by_java_security

_HERE = Path(__file__).parent
_SERVICES = "META-INF/services/java.security.Provider"


@pytest.fixture(scope="module")
def classes() -> Path:
    return jdk.classes(_HERE / "Loading.java", _HERE / "OtherProvider.java")


@pytest.fixture(scope="module")
def shaded(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application's one jar, as a shading build makes it of this provider, a signed library and the application.

    Manifests are one, with attributes of others; service files are one, with a comment and somebody else's provider;
    signature files are left out.
    """
    jar = tmp_path_factory.mktemp("shaded") / "application.jar"
    manifest = (
        "Manifest-Version: 1.0\r\nCreated-By: a build\r\nImplementation-Title: an application\r\n"
        "Implementation-Version: 9\r\nMain-Class: Loading\r\nMulti-Release: true\r\n\r\n"
    )
    library = {"META-INF/LIB.SF": "x", "META-INF/LIB.RSA": "x", "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\r\n\r\n"}
    with ZipFile(jar, "w", ZIP_DEFLATED) as target, ZipFile(provider_jar()) as ours:
        target.writestr("META-INF/MANIFEST.MF", manifest)
        merged = "# merged\nOtherProvider\n\n" + ours.read(_SERVICES).decode()
        target.writestr(_SERVICES, merged)
        for name in (*ours.namelist(), *library):
            if name not in ("META-INF/MANIFEST.MF", _SERVICES) and not name.endswith((".SF", ".RSA", ".DSA")):
                target.writestr(name, ours.read(name))
        for path in classes.glob("*.class"):
            target.write(path, path.name)
    return jar


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An HSM without a daemon, for ``hsm java`` in one process."""
    with fresh_site(tmp_path_factory.mktemp("apart")) as site:
        yield site


@pytest.mark.parametrize("way", alike(["reflection", "loader"]))
def test_from_the_class_path(desk: Desk, classes: Path, way: str) -> None:
    library = "-Djava.library.path=/opt/cloudhsm/lib"
    said = desk.must("java", "-ea", library, "-cp", f"{classes}:{provider_jar()}", "Loading", way, f"path-{way}")
    assert said.startswith("loaded from")


def test_from_a_line_in_java_security(desk: Desk, classes: Path) -> None:
    property_, _, jars = (option.removeprefix("-J") for option in by_java_security(desk))
    assert "loaded from" in desk.must("java", property_, "-cp", f"{classes}:{jars}", "Loading", "list", "listed")


def test_from_where_code_for_cloudhsm_looks(desk: Desk, classes: Path, tmp_path: Path) -> None:
    """No variable says where the daemon is, only the configuration file."""
    desk.site.must("jar", "--install", str(tmp_path))
    environment = {name: value for name, value in desk.site.environment.items() if name != "HSM_HOME"}
    stranger = Desk(Site(desk.site.home, environment), desk.folder)
    command = ["java", "-cp", f"{classes}:{tmp_path}/java/*", "Loading", "reflection", "installed"]
    variables = {"HSM_CONFIG": str(tmp_path / "etc" / "cloudhsm-jce.cfg"), "XDG_DATA_HOME": str(tmp_path / "none")}
    assert f"{tmp_path}/java/cloudhsm-jce-5.18.0.jar" in stranger.must(*command, **variables)
    without = stranger.run(*command, **(variables | {"HSM_CONFIG": ""}))
    assert without.returncode == 1
    assert "hsm start" in without.stderr


@pytest.mark.parametrize("way", alike(["reflection", "loader"]))
def test_out_of_a_shaded_jar(desk: Desk, shaded: Path, way: str) -> None:
    assert str(shaded) in desk.must("java", "-ea", "-jar", str(shaded), way, f"shaded-{way}")


@pytest.mark.parametrize("way", alike(["list", "reflection", "loader"]))
def test_out_of_a_shaded_jar_beside_the_hsm(apart: Site, shaded: Path, way: str) -> None:
    assert "loaded from" in apart.must("java", *jdk.QUICK, "-ea", "-jar", str(shaded), way, f"beside-{way}")
