"""``hsm doctor``: what is well, each thing that may be wrong, and no secret in what it prints."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

import bridge
import hsmcore
from bridge.carriers.jvm import provider_jar
from hsmcore import Hsm
from tests.bridge.conftest import served
from tests.requirements import tool
from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site

_LIBRARY = "libcloudhsm_pkcs11.so"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("doctor") / "hsm") as site:
        site.environment.pop("JAVA_TOOL_OPTIONS", None)
        yield site


def checked(site: Site, **variables: str) -> dict[str, dict[str, str]]:
    """Return the findings by check; the exit code must tell whether one failed."""
    if "PYTHONPATH" in variables:
        # Python looks for a module in the working directory first.
        done = site.hsm("doctor", "--json", cwd=Path(variables["PYTHONPATH"]), **variables)
        assert "Traceback" not in done.stderr
    else:
        done = site.here("doctor", "--json", **variables)
    said = json.loads(done.stdout)
    failed = any(one["state"] == "fail" for one in said["checks"])
    assert (done.returncode, said["ok"]) == (int(failed), not failed)
    found = {one["check"]: one for one in said["checks"]}
    assert all(one["found"] and (one["state"] == "ok") == (one["cure"] == "") for one in found.values())
    return found


def state(site: Site, check: str, **variables: str) -> tuple[str, str]:
    """Return the state of a check, and its texts."""
    found = checked(site, **variables)[check]
    return found["state"], f"{found['found']}; {found['cure']}"


def test_a_healthy_installation(site: Site) -> None:
    found = checked(site)
    assert {name for name, one in found.items() if one["state"] == "fail"} == set()
    assert found["Daemon"]["cure"].startswith("`hsm start`")
    assert {"Python", "Java", "javac", "keytool", "jarsigner", "Permissions", "Store", "Clock", "Disk"} <= found.keys()
    assert "not in" in found["Provider"]["found"]
    table = site.hsm("doctor")
    assert table.returncode == 0
    assert [line.split()[0] for line in table.stdout.splitlines()[2:]] == [name.split()[0] for name in found]


def test_a_daemon(site: Site) -> None:
    site.must("start")
    try:
        assert state(site, "Daemon")[0] == "ok"
        pid = json.loads(site.must("status", "--json"))["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert "does not answer" in state(site, "Daemon", HSM_TIMEOUT="1")[1]
        finally:
            os.kill(pid, signal.SIGCONT)
    finally:
        site.must("stop")


def test_a_daemon_of_another_version_and_one_with_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"HSM_HOME": str(tmp_path / "hsm")}
    other = Site(tmp_path / "hsm", {name: value for name, value in os.environ.items() if "HSM_" not in name} | own)
    with Hsm.initialize(other.home, admin_password=ADMIN_PASSWORD.encode()) as hsm, served(hsm):
        assert state(other, "Daemon")[0] == "ok"
        told = hsm.status()
        with monkeypatch.context() as changed:
            changed.setattr(hsm, "status", lambda: told | {"version": "0.0.9"})
            failed, said = state(other, "Daemon")
        assert failed == "fail"
        assert f"version 0.0.9 runs, and {hsmcore.__version__} is installed" in said
        assert "`hsm stop`" in said
        with monkeypatch.context() as changed:
            changed.setattr(hsm, "status", lambda: told | {"healthy": False})
            assert "not healthy" in state(other, "Daemon")[1]


def test_another_process_has_the_hsm(site: Site) -> None:
    with (site.home / "hsm.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        failed, said = state(site, "Daemon")
    assert failed == "fail"
    assert f"process {os.getpid()} has the HSM open" in said


def test_errors_name_the_next_command(site: Site, tmp_path: Path) -> None:
    with (site.home / "hsm.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "`hsm doctor`" in site.hsm("key", "list").stderr
    refused = site.hsm("keytool", "-list", "-storetype", "CloudHSM", JAVA_TOOL_OPTIONS="-XX:+NoSuchOption")
    assert refused.returncode == 1
    assert "`hsm init`" in site.hsm("key", "list", HSM_HOME=str(tmp_path / "hsm")).stderr
    assert "`hsm start`" in site.hsm("status").stderr
    assert "HSM_PASSWORD" in site.hsm("key", "list", HSM_PASSWORD="a-wrong-password").stderr


def test_no_secret_is_printed(site: Site, tmp_path: Path) -> None:
    secrets = {
        "HSM_PASSPHRASE": "a-secret-passphrase", "HSM_FILE_PASSWORD": "a-secret-file", "CLOUDHSM_ROLE": "crypto-user",
        "CLOUDHSM_PIN": "cu1:a-secret-pin", "HSM_STORE": "postgresql://u:a-secret-store@h/d",
    }  # fmt: skip
    own = tmp_path / "hsm"
    own.mkdir(mode=0o700)
    (own / "store.json").write_text('{"url": "postgresql://u:a-secret-url@h/d", "number": 1}')
    (own / "store.json").chmod(0o600)
    for where in (site.home, own):
        for words in (["doctor"], ["doctor", "--json"]):
            done = site.here(*words, HSM_HOME=str(where), **secrets)
            assert "a-secret" not in done.stdout + done.stderr
            assert PASSWORD not in done.stdout + done.stderr
            assert ADMIN_PASSWORD not in done.stdout + done.stderr


# --- the JDK


def fake_jdk(folder: Path, *lines: str, code: int = 0) -> str:
    """Make a JDK whose ``java`` prints these lines, and return its folder."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    printed = "".join(f"    {line}\n" for line in lines)
    java.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}END\nexit {code}\n")
    java.chmod(0o755)
    return str(folder)


def properties(version: str, home: Path) -> list[str]:
    return [f"java.version = {version}.0", f"java.specification.version = {version}", f"java.home = {home}"]


def security(folder: Path, *providers: tuple[int, str]) -> Path:
    """Write a ``java.security`` with these providers below a folder."""
    file = folder / "conf" / "security" / "java.security"
    file.parent.mkdir(parents=True)
    file.write_text("# comment\n" + "".join(f"security.provider.{number}={name}\n" for number, name in providers))
    return file


def test_no_java(site: Site, tmp_path: Path) -> None:
    failed, said = state(site, "Java", JAVA_HOME=str(tmp_path))
    assert failed == "fail"
    assert "no bin/java" in said
    failed, said = state(site, "Java", JAVA_HOME="", PATH=str(tmp_path))
    assert failed == "fail"
    assert "apt install" in said


@pytest.mark.parametrize(
    ("version", "expected"), [("1.8", "fail"), ("11", "warn"), pytest.param("25", "ok", marks=pytest.mark.long)]
)
def test_the_version_of_java(site: Site, tmp_path: Path, version: str, expected: str) -> None:
    security(tmp_path)
    java_home = fake_jdk(tmp_path, *properties(version, tmp_path))
    found = checked(site, JAVA_HOME=java_home)
    assert found["Java"]["state"] == expected
    assert found["javac"]["state"] == found["jarsigner"]["state"] == "warn"
    assert "JDK" in found["javac"]["cure"]


def test_a_java_that_does_not_run(site: Site, tmp_path: Path) -> None:
    assert state(site, "Java", JAVA_HOME=fake_jdk(tmp_path / "silent"))[0] == "fail"
    failing = fake_jdk(tmp_path / "failing", *properties("17", tmp_path), code=1)
    assert state(site, "Java", JAVA_HOME=failing)[0] == "fail"


_OURS = "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider"


@pytest.mark.parametrize(
    ("providers", "expected", "words"),
    [
        pytest.param([(1, "SUN"), (2, "SunEC")], "ok", "not in", marks=pytest.mark.long),
        pytest.param([(1, "SUN"), (2, "CloudHSM")], "ok", "position 2 of 2", marks=pytest.mark.long),
        ([(1, "SUN"), (2, _OURS)], "ok", "position 2 of 2"),
        ([(1, "CloudHSM"), (2, "SUN")], "warn", "position 1"),
        ([(1, "SUN"), (2, "CloudHSM"), (3, "CloudHSM")], "warn", "positions 2, 3"),
        ([(1, "SUN"), (3, "CloudHSM")], "fail", "nothing is at 2"),
    ],
)
def test_the_registration(
    site: Site, tmp_path: Path, providers: list[tuple[int, str]], expected: str, words: str
) -> None:
    security(tmp_path, *providers)
    found, said = state(site, "Provider", JAVA_HOME=fake_jdk(tmp_path, *properties("17", tmp_path)))
    assert (found, words in said) == (expected, True), said


def test_the_registration_by_an_option(site: Site, tmp_path: Path) -> None:
    java_home = fake_jdk(tmp_path / "jdk", *properties("17", tmp_path / "jdk"))
    assert state(site, "Provider", JAVA_HOME=java_home)[0] == "fail", "there is no java.security"
    security(tmp_path / "jdk", (1, "SUN"))
    file = security(tmp_path, (2, "CloudHSM"))
    option = f"-Djava.security.properties={file}"
    assert "position 2 of 2" in state(site, "Provider", JAVA_HOME=java_home, JAVA_TOOL_OPTIONS=option)[1]
    option = f"-Djava.security.properties=={file}"
    assert "nothing is at 1" in state(site, "Provider", JAVA_HOME=java_home, JDK_JAVA_OPTIONS=option)[1]


@pytest.mark.long  # the other tests of the registration have a JDK that is made up
def test_the_registration_that_a_jvm_sees(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "java.security"
    file.write_text("security.provider.50=CloudHSM\n")
    option = f"-Djava.security.properties={file}"
    assert state(site, "Provider", JDK_JAVA_OPTIONS=option)[0] == "fail"


# --- the installation


@pytest.fixture
def copy(site: Site, tmp_path: Path) -> tuple[Site, Path]:
    """A site whose commands run a copy of the package ``bridge``, and the copy."""
    folder = tmp_path / "copy" / "bridge"
    shutil.copytree(Path(bridge.__path__[0]), folder, ignore=shutil.ignore_patterns("__pycache__", "maven"))
    return site, folder


def test_a_package_that_does_not_load(site: Site, tmp_path: Path) -> None:
    (tmp_path / "jpype.py").write_text("raise OSError('a library is missing')")
    found = checked(site, PYTHONPATH=str(tmp_path))
    assert found["Packages"]["state"] == found["JVM in process"]["state"] == "fail"
    assert "JPype1 does not load" in found["Packages"]["found"]
    assert "install hsmbridge again" in found["Packages"]["cure"]


def test_the_jar_and_the_libraries(copy: tuple[Site, Path]) -> None:
    site, folder = copy
    tool("cc")
    own = {"PYTHONPATH": str(folder.parent)}
    assert state(site, "PKCS #11 library", **own)[0] == "ok"
    (folder / _LIBRARY).write_bytes(b"\x7fELF and nothing else")
    (folder / "hsmbridge.jar").write_bytes(provider_jar().read_bytes()[:1000])
    (folder / "libcloudhsm_openssl_engine.so").unlink(missing_ok=True)
    found = checked(site, **own)
    assert found["PKCS #11 library"]["state"] == found["Provider's jar"]["state"] == "fail"
    assert found["OpenSSL engine"]["state"] == "warn"
    assert "libssl-dev" in found["OpenSSL engine"]["cure"]
    (folder / _LIBRARY).unlink()
    (folder / "hsmbridge.jar").unlink()
    found = checked(site, **own)
    assert (found["PKCS #11 library"]["state"], found["Provider's jar"]["state"]) == ("warn", "fail")
    assert "C compiler" in found["PKCS #11 library"]["cure"]


def test_a_jar_of_another_version(copy: tuple[Site, Path], tmp_path: Path) -> None:
    site, folder = copy
    with suppress(FileNotFoundError):
        (folder / "hsmbridge.jar").unlink()
    (tmp_path / "manifest").write_text("Implementation-Version: 0.0.9\n")
    command = [tool("jar"), "cfm", str(folder / "hsmbridge.jar"), str(tmp_path / "manifest")]
    subprocess.run(command, check=True, timeout=60)
    failed, said = state(site, "Provider's jar", PYTHONPATH=str(folder.parent))
    assert failed == "fail"
    assert "version 0.0.9" in said


def test_p11_kit(site: Site, tmp_path: Path) -> None:
    modules = tmp_path / ".config" / "pkcs11" / "modules"
    modules.mkdir(parents=True)
    assert "`hsm pkcs11 --p11-kit`" in state(site, "p11-kit", HOME=str(tmp_path))[1]
    file = modules / "hsmbridge.module"
    file.write_text(f"module: {tmp_path / _LIBRARY}\n")
    failed, said = state(site, "p11-kit", HOME=str(tmp_path))
    assert failed == "fail"
    assert f"hsm pkcs11 --p11-kit > {file}" in said
    (tmp_path / _LIBRARY).write_bytes(b"another version")
    tool("cc")
    assert state(site, "p11-kit", HOME=str(tmp_path))[0] == "warn"
    file.write_text(site.must("pkcs11", "--p11-kit"))
    assert state(site, "p11-kit", HOME=str(tmp_path))[0] == "ok"


# --- the state directory


@pytest.fixture
def home(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A copy of the HSM, which a test may damage."""
    shutil.copytree(site.home, tmp_path / "hsm", ignore=shutil.ignore_patterns("hsm.sock", "hsm.lock"))
    yield Site(tmp_path / "hsm", site.environment | {"HSM_HOME": str(tmp_path / "hsm")})
    (tmp_path / "hsm").chmod(0o700)


def test_permissions(home: Site) -> None:
    assert state(home, "Permissions")[0] == "ok"
    for name, mode in (("master.key", 0o644), ("hsm.db", 0o640)):
        (home.home / name).chmod(mode)
        failed, said = state(home, "Permissions")
        assert failed == "fail"
        assert f"chmod 600 {home.home / name}" in said
        (home.home / name).chmod(0o600)
    home.home.chmod(0o755)
    assert state(home, "Permissions")[0] == "warn"
    home.home.chmod(0o770)
    failed, said = state(home, "Permissions")
    assert failed == "fail"
    assert "chmod go-w" in said


def test_no_hsm(site: Site, tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "nothing"):
        warned, said = state(site, "HSM", HSM_HOME=str(where))
        assert warned == "warn"
        assert "`hsm quickstart`" in said
    failed, said = state(site, "HSM", HSM_HOME=str(tmp_path / ("long" * 40)))
    assert failed == "fail"
    assert "choose a shorter HSM_HOME" in said


def test_the_store(home: Site) -> None:
    file = home.home / "hsm.db"
    for revision, expected in (("9999", "fail"), ("0001", "warn")):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        found, said = state(home, "Store")
        assert found == expected
        assert f"schema {revision}" in said
    file.write_bytes(b"no database at all, " * 1000)
    failed, said = state(home, "Store")
    assert failed == "fail"
    assert "backup" in said


def test_the_clock(home: Site) -> None:
    assert state(home, "Clock")[0] == "ok"
    later = time.time() + 86400
    os.utime(home.home / "audit.anchor", (later, later))
    failed, said = state(home, "Clock")
    assert failed == "fail"
    assert "set the clock" in said


def test_the_disk(site: Site) -> None:
    # This file system has no space at all.
    failed, said = state(site, "Disk", HSM_HOME="/proc/self/hsm")
    assert failed == "fail"
    assert "0 MiB free" in said


# --- the settings


def test_logins(site: Site) -> None:
    assert state(site, "Login")[0] == "ok"
    failed, said = state(site, "Login", HSM_PASSWORD="", HSM_ADMIN_PASSWORD="")
    assert failed == "fail"
    assert "set HSM_PASSWORD" in said
    assert state(site, "Login", HSM_USER="", HSM_PASSWORD="", HSM_ADMIN_PASSWORD="")[0] == "warn"
    warned, said = state(site, "Login", CLOUDHSM_PIN="cu9:cu9-password", CLOUDHSM_ROLE="crypto-user")
    assert warned == "warn"
    assert "HSM_USER is cu1, and CLOUDHSM_PIN names cu9" in said
    failed, said = state(site, "Login", CLOUDHSM_PIN="no-colon", CLOUDHSM_ROLE="crypto-user")
    assert failed == "fail"
    assert "no-colon" not in said


def test_variables_and_configuration(site: Site, tmp_path: Path) -> None:
    assert state(site, "Variables", HSM_TIMEOUT="soon")[0] == "fail"
    assert state(site, "Variables", HSM_SOCKET="/elsewhere/hsm.sock")[0] == "warn"
    file = tmp_path / "cloudhsm-cli.cfg"
    file.write_text("{}")
    own = {"HSM_HOME": "", "XDG_DATA_HOME": str(tmp_path), "HSM_CONFIG": str(file)}
    failed, said = state(site, "Configuration", **own)
    assert failed == "fail"
    assert "configure-cli" in said
    server = {"hostname": "/run/hsm.sock", "port": 2223, "enable": True}
    file.write_text(json.dumps({"clusters": [{"type": "hsm1", "cluster": {"servers": [server]}}]}))
    found, said = state(site, "Configuration", **own)
    assert found == "ok"
    assert "/run/hsm.sock" in said
