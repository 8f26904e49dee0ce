"""The JVM of ``hsm java``, ``hsm keytool`` and ``hsm jarsigner``: that of JAVA_HOME, else that of java on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site without an HSM: no command gets that far."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "JAVA_"))}
    return Site(tmp_path / "hsm", kept | {"HSM_HOME": str(tmp_path / "hsm")})


def _made(site: Site) -> Site:
    site.must("init", HSM_USER="cu1", HSM_PASSWORD="a-good-password")
    return site


def _refusal(site: Site, *words: str, **variables: str) -> str:
    done = site.hsm(*words, **variables)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_wrong_java_home_is_named(site: Site, tmp_path: Path) -> None:
    wrong = str(tmp_path / "no-jdk")
    named = f"JAVA_HOME is {wrong}, which has no"
    assert f"{named} bin/java;" in _refusal(site, "java", "-version", JAVA_HOME=wrong)
    assert f"{named} bin/jarsigner;" in _refusal(site, "quickstart", JAVA_HOME=wrong)
    assert f"{named} lib/server/libjvm.so;" in _refusal(_made(site), "keytool", "-list", JAVA_HOME=wrong)


def test_the_jvm_is_that_of_java_on_path(site: Site, tmp_path: Path) -> None:
    """A JDK whose library is no library shows which one is chosen."""
    jdk = tmp_path / "jdk"
    for name in ("bin/java", "lib/client/libjvm.so", "lib/server/libjvm.so"):
        (jdk / name).parent.mkdir(parents=True)
        (jdk / name).write_text("#!/bin/sh\n")
        (jdk / name).chmod(0o755)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "java").symlink_to(jdk / "bin" / "java")
    path = f"{tmp_path / 'links'}{os.pathsep}{site.environment['PATH']}"
    said = _refusal(_made(site), "keytool", "-list", PATH=path)
    assert f"{jdk}/lib/server/libjvm.so" in said
