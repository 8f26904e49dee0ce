"""``hsm quickstart``: from nothing to a signed jar, and the lines that it prints, run as they stand there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import tool
from tests.site import PASSWORD, Site


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Site]:
    """A site with no HSM yet, and no user in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "CLOUDHSM_"))}
    site = Site(tmp_path / "hsm", kept | {"HSM_HOME": str(tmp_path / "hsm")})
    yield site
    site.hsm("stop")


def _lines_to_copy(said: str) -> list[str]:
    return [line.strip() for line in said.split("Use it from Java:\n")[1].splitlines()]


def _run(lines: list[str], site: Site) -> str:
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)], env=site.environment | {"PATH": site.path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _verified(jar: Path) -> bool:
    command = [tool("jarsigner"), "-J-Duser.language=en", "-verify", str(jar)]
    return "jar verified." in subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def test_from_nothing_to_java(bare: Site, tmp_path: Path) -> None:
    said = bare.must("quickstart", "--folder", str(tmp_path / "first"))
    assert _verified(tmp_path / "first" / "app.jar")
    assert "no daemon answers" in bare.hsm("status").stderr
    lines = _lines_to_copy(said)
    assert len(lines) == 3
    assert _run(lines, bare).rstrip().endswith("verified")

    # Its passwords work, and a second run makes another key, not another HSM.
    own = dict(word.split("=", 1) for word in lines[0].split()[1:])
    assert own.keys() == {"HSM_USER", "HSM_PASSWORD", "HSM_ADMIN_PASSWORD"}
    bare.must("audit", "verify", **own)
    told = bare.must("quickstart", "--folder", str(tmp_path / "second"), **own)
    assert "Using the HSM" in told
    assert own["HSM_PASSWORD"] not in told
    assert _verified(tmp_path / "second" / "app.jar")
    labels = bare.must("key", "list", "--json", **own)
    assert labels.count('"quickstart"') == 2
    assert labels.count('"quickstart-2"') == 2


@pytest.mark.long  # the first test has both, one after the other
def test_given_passwords_are_used_and_not_shown(bare: Site, tmp_path: Path) -> None:
    own = {"HSM_USER": "signer", "HSM_PASSWORD": PASSWORD, "HSM_ADMIN_PASSWORD": "an-admin-password"}
    said = bare.must("quickstart", "--start", "--folder", str(tmp_path / "first"), **own)
    assert PASSWORD not in said
    assert "an-admin-password" not in said
    (line,) = _lines_to_copy(said)
    assert "verified" in _run([line], Site(bare.home, bare.environment | own))
    assert bare.hsm("status").returncode == 0


def test_it_refuses_before_it_makes_anything(bare: Site, tmp_path: Path) -> None:
    refused = bare.hsm("quickstart", "--folder", str(tmp_path / "first"), JAVA_HOME=str(tmp_path))
    assert refused.returncode == 1
    assert "set it to a JDK 17 or later, or unset it" in refused.stderr
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "app.jar").touch()
    refused = bare.hsm("quickstart", "--folder", str(tmp_path / "first"))
    assert "--folder names another directory" in refused.stderr
    assert not bare.home.exists()

    bare.must("init")
    refused = bare.hsm("quickstart", "--folder", str(tmp_path / "second"))
    assert refused.returncode == 1
    assert "there is an HSM" in refused.stderr
    assert "set HSM_USER and HSM_PASSWORD" in refused.stderr
    assert not (tmp_path / "second").exists()


def test_a_password_is_not_lost_with_the_key_pair(bare: Site, tmp_path: Path) -> None:
    done = bare.hsm("quickstart", "--folder", str(tmp_path / "first"), JAVA_TOOL_OPTIONS="-XX:+NoSuchOption")
    assert done.returncode == 1
    assert "`hsm keytool` failed" in done.stderr
    (line,) = (line.strip() for line in done.stdout.splitlines() if line.startswith("  export "))
    own = dict(word.split("=", 1) for word in line.split()[1:])
    assert bare.must("key", "list", "--json", **own).strip() == "[]"
