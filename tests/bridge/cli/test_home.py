"""State directories with unusual paths, and state directories that other users could change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.process.peers import user_name
from hsmcore import Hsm
from hsmcore.errors import StateError
from tests.conftest import alike
from tests.impostor import NOBODY, foreign_server
from tests.requirements import missing
from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site

FILES = {"hsm.db", "hsm.lock", "master.key", "audit.anchor"}
_JAVA = ["-J-XX:TieredStopAtLevel=1", "-J-cp", f"-J{provider_jar()}", "-addprovider", "CloudHSM"]


def at(home: Path) -> Site:
    """A site with no HSM yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    own = {"HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD, "HSM_ADMIN_PASSWORD": ADMIN_PASSWORD}
    return Site(home, kept | own)


@pytest.mark.parametrize(
    "name", alike(["a?mode=memory", "b#1", "c%41%2f%", " d e ", "f-schlüssel-鍵", "g\nh", "[i]*{j}", "k'l\"m;n&o=p:q"])
)
def test_any_path_works(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with fresh_site(home) as site:
        assert {path.name for path in home.iterdir() if not path.name.startswith("hsm.db-")} == FILES
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.iterdir())
        assert site.must("start").startswith("Started")
        assert site.must("key", "list", "--json").strip() == "[]"
        assert site.must("stop") == "Stopped\n"
    assert [path.name for path in tmp_path.iterdir()] == [name], "files outside the state directory"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    longest = 107 - len("/hsm.sock") - len(os.fsencode(tmp_path)) - 1
    fits, too_long = tmp_path / ("x" * longest), tmp_path / ("x" * (longest + 1))
    done = at(too_long).here("init")
    assert done.returncode == 1
    assert "108 bytes" in done.stderr
    assert "at most 107" in done.stderr
    assert not too_long.exists()
    with fresh_site(fits) as site:
        site.must("start")


def test_a_path_that_is_not_text_is_refused(tmp_path: Path) -> None:
    home = tmp_path / os.fsdecode(b"\xff")
    done = at(home).here("init")
    assert done.returncode == 1
    assert r"\xff' is not UTF-8" in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("mode", alike([0o702, 0o770, 0o777]))
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "hsm"
    home.mkdir()
    home.chmod(mode)
    done = at(home).here("init")
    assert done.returncode == 1
    assert f"other users may write in {home} (mode {mode:o})" in done.stderr
    assert list(home.iterdir()) == []
    home.chmod(0o700)
    with fresh_site(home) as site:
        home.chmod(mode)
        for command in (["start"], ["key", "list"], ["keytool", "-list"]):
            done = site.here(*command)
            assert done.returncode == 1
            assert "chmod go-w" in done.stderr
        home.chmod(0o755)
        site.must_here("key", "list")


def test_a_directory_that_others_may_replace_is_refused(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(StateError, match=r"other users may write in .*above \(mode 777\)"):
        Hsm.initialize(above / "hsm", admin_password=ADMIN_PASSWORD.encode())
    above.chmod(0o1777)
    Hsm.initialize(above / "hsm", admin_password=ADMIN_PASSWORD.encode()).close()


@pytest.mark.parametrize("mode", alike([0o755, 0o1777]))
def test_a_directory_whose_owner_may_replace_the_hsm_is_refused(tmp_path: Path, mode: int) -> None:
    """The owner of a directory may rename what is in it, with the sticky bit too."""
    if os.geteuid() != 0:
        missing("only root gives directories to other users")
    above = tmp_path / "above"
    (above / "own").mkdir(parents=True)
    with fresh_site(above / "own" / "hsm") as site:
        above.chmod(mode)
        os.chown(above, 12345, -1)
        for command in (["start"], ["key", "list"], ["init"]):
            done = site.hsm(*command)
            assert done.returncode == 1
            assert f"{above} belongs to another user (id 12345), who could replace {site.home}" in done.stderr
        assert f"{above} belongs to another user" in site.hsm("doctor").stdout
        os.chown(above, os.geteuid(), -1)
        site.must("key", "list")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_another_users_server_gets_no_password() -> None:
    with TemporaryDirectory() as above, fresh_site(Path(above) / "hsm") as site:
        Path(above).chmod(0o711)
        site.home.chmod(0o777)
        with foreign_server(site.home / "hsm.sock") as received:
            for command in (["key", "list"], ["status"], ["stop"]):
                done = site.hsm(*command)
                assert done.returncode == 1
                assert f"user {user_name(NOBODY)} serves" in done.stderr
            done = subprocess.run(
                ["keytool", *_JAVA, "-genseckey", "-alias", "a", "-keyalg", "AES", "-keysize", "256",
                 "-storetype", "CloudHSM", "-keystore", str(Path(above) / "store"), "-storepass", "changeit",
                 "-providerName", "CloudHSM"],
                env=site.environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 1
            assert "nothing was sent there" in done.stdout + done.stderr
            received.setblocking(False)
            with pytest.raises(BlockingIOError):
                received.recv(1)


def test_a_directory_with_other_files_gets_no_hsm(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    done = at(tmp_path).here("init")
    assert done.returncode == 1
    assert "has other files, such as 'pyproject.toml'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
