"""``hsm jar --install``: what is there afterwards, twice, over an older one, and where it is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.paths import socket_path
from tests.site import Site, fresh_site

JAR = "java/cloudhsm-jce-5.18.0.jar"
CONFIGURATION = "etc/cloudhsm-jce.cfg"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        yield site


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and modification time of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_puts_one_jar_and_a_configuration(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "opt" / "cloudhsm"
    printed = site.must("jar", "--install", str(folder)).splitlines()
    assert printed[0] == str(folder / JAR)
    assert str(folder / CONFIGURATION) in printed
    assert sorted(files(folder)) == sorted(str(Path(path).relative_to(folder)) for path in printed)
    assert (folder / JAR).read_bytes() == provider_jar().read_bytes()
    assert (folder / JAR).stat().st_mode & 0o777 == 0o644
    (cluster,) = json.loads((folder / CONFIGURATION).read_text())["clusters"]
    assert cluster["type"] == "hsm2m"
    assert cluster["cluster"]["servers"][0]["hostname"] == str(socket_path(site.home))
    before = files(folder)
    site.must("jar", "--install", str(folder))
    assert files(folder) == before


def test_it_replaces_what_an_earlier_version_installed_and_keeps_the_configuration(site: Site, tmp_path: Path) -> None:
    for folder in ("java", "etc"):
        (tmp_path / folder).mkdir()
    shutil.copy(provider_jar(), tmp_path / "java" / "cloudhsm-jce-5.10.0.jar")
    (tmp_path / "java" / "another.jar").write_bytes(b"")
    (tmp_path / CONFIGURATION).write_text("{}")
    site.must("jar", "--install", str(tmp_path))
    assert [name for name in sorted(files(tmp_path)) if name.startswith("java/")] == ["java/another.jar", JAR]
    assert (tmp_path / CONFIGURATION).read_text() == "{}"


def test_it_leaves_another_products_jar(site: Site, tmp_path: Path) -> None:
    (tmp_path / "java").mkdir()
    foreign = tmp_path / "java" / "cloudhsm-jce-5.17.0.jar"
    with ZipFile(foreign, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n")
    before = files(tmp_path)
    done = site.hsm("jar", "--install", str(tmp_path))
    assert done.returncode == 1
    assert f"{foreign} is not from hsmbridge" in done.stderr
    assert files(tmp_path) == before


def test_a_directory_that_cannot_be_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / "java").write_text("a file")
    done = site.hsm("jar", "--install", str(tmp_path))
    assert done.returncode == 1
    assert str(tmp_path / "java") in done.stderr
    assert "Traceback" not in done.stderr
