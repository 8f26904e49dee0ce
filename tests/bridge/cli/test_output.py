"""Commands whose output nobody takes: each has done everything by then, and says so without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.site import PASSWORD, Site, fresh_site, made_up_password

_CLI = "import sys; from bridge.cloudhsm_cli import main; main()"


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """A site with no HSM yet, whose admin's password ``hsm init`` makes up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    own = {"HSM_HOME": str(tmp_path / "hsm"), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD}
    return Site(tmp_path / "hsm", kept | own)


def to_closed_pipe(command: list[str], site: Site) -> subprocess.CompletedProcess[str]:
    """Run a command with a pipe as its output that no process reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return _run(command, site, writer)
    finally:
        os.close(writer)


def to_full_disk(command: list[str], site: Site) -> subprocess.CompletedProcess[str]:
    """Run a command whose output goes to a full disk."""
    with Path("/dev/full").open("wb") as full:
        return _run(command, site, full.fileno())


def to_nothing(command: list[str], site: Site) -> subprocess.CompletedProcess[str]:
    """Run a command without standard input and output."""
    return _run(["sh", "-c", 'exec "$@" <&- >&-', "sh", *command], site, subprocess.DEVNULL)


def _run(command: list[str], site: Site, output: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, env=site.environment, text=True, timeout=120, check=False
    )


Run = Callable[[list[str], Site], subprocess.CompletedProcess[str]]
_EVERY = pytest.mark.parametrize("run", [to_closed_pipe, to_full_disk, to_nothing])


@_EVERY
def test_init_is_whole_and_its_password_is_not_lost(bare: Site, run: Run) -> None:
    done = run([sys.executable, "-m", "bridge", "init"], bare)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert bare.must_here("key", "list", "--json").strip() == "[]", "the crypto user cannot log in"
    bare.must_here("audit", "verify", HSM_ADMIN_PASSWORD=made_up_password(done.stderr))


def test_the_first_line_of_init_has_the_password(bare: Site) -> None:
    command = f"'{sys.executable}' -m bridge init | head -n 1"
    line = subprocess.run(
        ["sh", "-c", command], env=bare.environment, capture_output=True, text=True, timeout=120
    ).stdout
    assert len(line.splitlines()) == 1
    bare.must_here("key", "list")
    bare.must_here("audit", "verify", HSM_ADMIN_PASSWORD=made_up_password(line))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("output") / "hsm") as site:
        yield site


@_EVERY
def test_a_command_of_hsm_has_done_its_work(site: Site, run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a-good-password")
    name = run.__name__
    words = ["user", "create", name, "--password-file", str(tmp_path / "password")]
    done = run([sys.executable, "-m", "bridge", *words], site)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == (0 if run is to_nothing else 1)
    assert name in site.must_here("user", "list")


@_EVERY
def test_a_command_of_cloudhsm_has_done_its_work(site: Site, run: Run) -> None:
    name = f"c_{run.__name__}"
    login = {"CLOUDHSM_ROLE": "admin", "CLOUDHSM_PIN": f"admin:{site.environment['HSM_ADMIN_PASSWORD']}"}
    words = ["user", "create", "--username", name, "--role", "crypto-user", "--password", "a-good-password"]
    done = run([sys.executable, "-c", _CLI, *words], Site(site.home, site.environment | login))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert name in site.must_here("user", "list")


def test_a_password_that_nothing_takes_is_in_a_file(bare: Site) -> None:
    command = f"'{sys.executable}' -m bridge init 2>&1 | true"
    subprocess.run(["sh", "-c", command], env=bare.environment, timeout=120, check=False)
    file = bare.home / "admin-password.txt"
    assert file.stat().st_mode & 0o777 == 0o600
    bare.must_here("audit", "verify", HSM_ADMIN_PASSWORD=made_up_password(file.read_text()))
