"""The ``hsm`` command as a process: what it says, its exit codes, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from hsmcore import Hsm
from hsmcore.errors import DataLengthInvalid
from tests import fork_server
from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site, made_up_password


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        yield site


def refused(site: Site, *arguments: str, code: int = 1, **variables: str) -> str:
    """Run a command that must fail and return its one line."""
    done = site.here(*arguments, **variables)
    assert done.returncode == code, done
    assert done.stdout == ""
    return done.stderr.strip()


def bare(tmp_path: Path, **variables: str) -> Site:
    """A site with no HSM yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    return Site(tmp_path / "hsm", kept | {"HSM_HOME": str(tmp_path / "hsm")} | variables)


def test_init_says_what_it_made(tmp_path: Path) -> None:
    site = bare(tmp_path, HSM_USER="cu1", HSM_PASSWORD=PASSWORD)
    said = site.must("init")
    assert f"Made an HSM in {site.home}" in said
    assert "cu1, the password of HSM_PASSWORD" in said
    assert PASSWORD not in said
    made_up = made_up_password(said)
    assert "admin" in site.must("user", "list", HSM_ADMIN_PASSWORD=made_up)
    before = {path.name: path.read_bytes() for path in site.home.iterdir() if path.name != "hsm.lock"}
    assert "already" in refused(site, "init")
    assert {path.name: path.read_bytes() for path in site.home.iterdir() if path.name != "hsm.lock"} == before


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HSM_USER": "cu1"}, "HSM_PASSWORD is not set"),
        ({"HSM_PASSWORD": PASSWORD}, "HSM_USER is not set"),
        ({"HSM_USER": "cu-1", "HSM_PASSWORD": PASSWORD}, "letters, digits and underscores"),
        ({"HSM_USER": "cu1", "HSM_PASSWORD": "short"}, "8 to 32 characters"),
        ({"HSM_USER": "cu1", "HSM_PASSWORD": "with:colon1"}, "no colon"),
    ],
)
def test_init_makes_nothing_that_is_half(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    site = bare(tmp_path, **variables)
    done = site.here("init")
    assert done.returncode != 0
    assert words in done.stderr
    assert not (site.home / "hsm.db").exists()


def test_init_with_strict_limits(tmp_path: Path) -> None:
    site = bare(tmp_path, HSM_USER="cu1", HSM_PASSWORD=PASSWORD)
    assert "CloudHSM's limits" not in site.must_here("init")
    with Hsm.open(site.home) as hsm:
        assert not hsm.settings.strict_limits
    site = bare(tmp_path / "strict", HSM_USER="cu1", HSM_PASSWORD=PASSWORD)
    assert "limits        CloudHSM's limits" in site.must_here("init", "--strict-limits")
    with Hsm.open(site.home) as hsm:
        session = hsm.users.login("cu1", PASSWORD.encode())
        key = hsm.keys.generate(session, "AES_KEY_GEN", {}).handle
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.encrypt(session, key, "AES_GCM", None, bytes(16_001))


def test_an_hsm_of_strong_hashes(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm", "--strong-hashes") as site:
        store = ["-storetype", "CloudHSM", "-keystore", str(tmp_path / "s"), "-storepass", "changeit"]
        made = ["keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp384r1", "-dname", "CN=x", *store,
                "-keypass", "changeit", "-providerName", "CloudHSM"]  # fmt: skip
        site.must(*made, "-alias", "strong", "-sigalg", "SHA384withECDSA")
        said = site.hsm(*made, "-alias", "weak", "-sigalg", "SHA256withECDSA").stdout
        assert "Digest security strength (128) is weaker than the key security strength (192)" in said


def test_the_xdg_directory_is_the_default(tmp_path: Path) -> None:
    site = bare(tmp_path, XDG_DATA_HOME=str(tmp_path / "data"))
    del site.environment["HSM_HOME"]
    assert str(tmp_path / "data" / "hsmbridge") in site.must_here("init")


def test_commands_and_a_jvm_have_one_default(tmp_path: Path) -> None:
    """The user's directory is that of HOME, whatever the system's list of users says."""
    site = bare(tmp_path, HOME=str(tmp_path), HSM_USER="cu1", HSM_PASSWORD=PASSWORD)
    for name in ("HSM_HOME", "XDG_DATA_HOME"):
        site.environment.pop(name, None)
    site.must("init")
    site.must("start")
    try:
        listed = subprocess.run(
            ["keytool", "-list", "-storetype", "CloudHSM", "-keystore", "NONE", "-providerpath", provider_jar(),
             "-providerclass", "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider"],
            env=site.environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert listed.returncode == 0, listed.stdout
    finally:
        site.must("stop")


def test_the_life_of_the_daemon(site: Site) -> None:
    assert "no daemon answers" in refused(site, "status")
    assert "hsm start" in refused(site, "status", "--json")
    assert site.must("start").startswith("Started, pid ")
    shown = json.loads(site.must("status", "--json"))
    assert {"pid", "socket", "version", "keys", "sessions"} <= shown.keys()
    assert Path(shown["socket"]).is_socket()
    assert Path(f"/proc/{shown['pid']}").exists()
    assert f"pid {shown['pid']}" in site.must("start")
    assert str(shown["pid"]) in site.must("status")
    assert site.must("stop") == "Stopped\n"
    assert not Path(shown["socket"]).exists()
    assert site.must("stop") == f"No daemon runs for {site.home}\n"


def test_users(site: Site) -> None:
    file = site.home.parent / "password"
    file.write_text("a-new-password\n")
    assert "Created crypto-user cu2" in site.must_here("user", "create", "CU2", "--password-file", str(file))
    rows = json.loads(site.must_here("user", "list", "--json"))
    shown = {"username": "cu2", "role": "crypto-user", "locked": False, "mfa": False, "quorum": False}
    assert shown in [{name: row[name] for name in shown} for row in rows]
    assert "already" in refused(site, "user", "create", "cu2", "--password-file", str(file))
    file.write_text("another-password\n")
    assert "Changed the password" in site.must_here("user", "change-password", "cu2", "--password-file", str(file))
    assert site.must_here("key", "list", "--json", HSM_USER="cu2", HSM_PASSWORD="another-password").strip() == "[]"
    assert "wrong user name" in refused(site, "key", "list", HSM_USER="cu2", HSM_PASSWORD="a-new-password")
    cu2 = {"HSM_USER": "cu2", "HSM_PASSWORD": "another-password"}
    site.must_here("key", "generate-symmetric", "aes", "--key-length-bytes", "16", "--label", "of cu2", **cu2)
    assert "--force-delete-keys" in refused(site, "user", "delete", "cu2")
    assert "Repeat the command with --yes" in refused(site, "user", "delete", "cu2", "--force-delete-keys")
    assert "and 1 keys" in site.must_here("user", "delete", "cu2", "--force-delete-keys", "--yes")
    assert "there is no crypto-user 'cu2'" in refused(site, "user", "delete", "cu2")
    assert "last admin" in refused(site, "user", "delete", "admin", "--role", "admin")
    assert "HSM_ADMIN_PASSWORD" in refused(site, "user", "delete", "cu1", HSM_ADMIN_PASSWORD="not-the-password")
    file.unlink()


def test_keys(site: Site) -> None:
    assert site.must_here("key", "list", "--json").strip() == "[]"
    site.must(
        "keytool", "-genseckey", "-alias", "listed", "-keyalg", "AES", "-keysize", "128", "-storetype", "CloudHSM",
        "-keystore", str(site.home.parent / "s"), "-storepass", "changeit", "-keypass", "changeit",
    )  # fmt: skip
    table = site.must_here("key", "list")
    assert "listed" in table
    (row,) = json.loads(site.must_here("key", "list", "--label", "listed", "--json"))
    assert (row["KEY_TYPE"], row["SIZE"]) == ("AES", 128)
    assert json.loads(site.must_here("key", "list", "--label", "other", "--json")) == []


def test_without_a_terminal_nothing_is_asked(site: Site) -> None:
    environment = {name: value for name, value in site.environment.items() if name == "HSM_HOME" or name[:4] != "HSM_"}
    lonely = Site(site.home, environment)
    assert "no terminal to ask at; set HSM_USER and HSM_PASSWORD" in refused(lonely, "key", "list")
    assert "no terminal to ask at; set HSM_ADMIN_PASSWORD" in refused(lonely, "user", "delete", "cu9")
    assert "no terminal to ask at; set HSM_ADMIN_PASSWORD" in refused(lonely, "user", "create", "cu9")
    admin = {"HSM_ADMIN_PASSWORD": ADMIN_PASSWORD}
    assert "--password-file" in refused(lonely, "user", "create", "cu9", **admin)
    nowhere = Site(site.home, {**environment, "HSM_HOME": str(site.home / "none")})
    for command in (["audit", "list"], ["key", "list"]):
        assert "there is no HSM in" in refused(nowhere, *command)


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("key",), ("key", "nonsense"), ("status", "--nonsense"), ("user", "create"), ("start", "twice")],
)
def test_wrong_command_lines(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.here(*arguments)
    assert done.returncode == 2
    assert "Usage: hsm" in done.stdout + done.stderr


def test_no_hsm_there(tmp_path: Path) -> None:
    site = bare(tmp_path, HSM_USER="cu1", HSM_PASSWORD=PASSWORD, HSM_ADMIN_PASSWORD=ADMIN_PASSWORD)
    for arguments in (("start",), ("key", "list"), ("user", "list"), ("keytool", "-list"), ("java", "Main")):
        assert "hsm init" in refused(site, *arguments)
    assert not site.home.exists()


@pytest.mark.parametrize(
    "words",
    [("keytool",), ("keytool", "-genkeypair", "--help"), ("jarsigner",), ("jarsigner", "-help"), ("java", "-h")],
)
def test_help_of_the_tools_of_java_needs_no_hsm(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = bare(tmp_path).hsm(*words)
    assert done.returncode == 0, done
    assert "[options]" in (said := done.stdout + done.stderr) or "-genkeypair " in said


def test_an_error_names_the_file(site: Site) -> None:
    assert refused(site, "jar", "--install", "/proc/nothing") == "Error: /proc/nothing: No such file or directory"


def test_a_lost_key_file_is_not_blamed_on_the_passphrase(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        (site.home / "master.key").unlink()
        said = refused(site, "key", "list")
        assert said.endswith("master.key cannot be read: No such file or directory; restore it")


def test_a_passphrase(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        assert (site.home / "master.key").stat().st_mode & 0o777 == 0o600
    site = bare(tmp_path / "sealed", HSM_USER="cu1", HSM_PASSWORD=PASSWORD, HSM_PASSPHRASE="open sesame")
    site.must("init")
    assert not (site.home / "master.key").exists()
    assert "passphrase" in refused(site, "start", HSM_PASSPHRASE="wrong")
    unset = Site(site.home, {name: value for name, value in site.environment.items() if name != "HSM_PASSPHRASE"})
    for arguments in (("start",), ("key", "list")):
        assert refused(unset, *arguments).count("HSM_PASSPHRASE") == 1
    site.must("start")
    daemon = json.loads(site.must("status", "--json"))["pid"]
    for place in ("environ", "cmdline"):
        assert b"open sesame" not in Path(f"/proc/{daemon}/{place}").read_bytes()
    site.must("stop")


def test_help_teaches(site: Site) -> None:
    assert "First steps:" in site.must_here("--help")
    for command in ("init", "start", "stop", "status", "user", "key", "jar", "java", "keytool", "jarsigner"):
        shown = site.must_here("help", command)
        assert shown.startswith("Usage: hsm")
        assert "Example" in shown or command in ("user", "key")
    assert "As cloudhsm-cli: Log in." in site.must_here("help", "login")
    assert "there is no command" in site.here("help", "nonsense").stderr


def test_one_command_under_two_names(site: Site) -> None:
    script = Path(sys.executable).with_name("hsm")
    for command in ([str(script)], [sys.executable, "-m", "bridge"]):
        done = subprocess.run([*command, "jar"], env=site.environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(provider_jar())


@pytest.mark.parametrize("words", [["--version"], ["nonsense"], ["status"], ["user", "create", "x"], ["key", "list"]])
def test_a_forked_command_is_as_a_started_one(site: Site, words: list[str], tmp_path: Path) -> None:
    """Most tests run commands as processes that a loaded interpreter forks."""
    environment = site.environment | {"HSM_HOME": "here"}
    forked = fork_server.run(["hsm", *words], environment, directory=tmp_path, given=b"a-password\n" * 2)
    started = subprocess.run(
        [Path(sys.executable).with_name("hsm"), *words], env=environment, cwd=tmp_path, input="a-password\n" * 2,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_a_command_loads_what_it_needs() -> None:
    """Half a second of imports for ``hsm status`` would be most of its time."""
    code = "import sys, bridge.cli.commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"alembic", "cryptography", "jpype", "prompt_toolkit", "rich", "sqlalchemy"}
    assert "click" in done.stdout.split()
    assert not heavy & set(done.stdout.split())
