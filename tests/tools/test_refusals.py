"""Error messages of the tools; a refused command has changed nothing."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.site import PASSWORD, Site, kill

from .conftest import Desk, programs


@pytest.fixture(scope="module", autouse=True)
def store(desk: Desk) -> None:
    """The key store's file, without which keytool asks for no key."""
    _make(desk, "first")


def _listing(desk: Desk, **variables: str) -> str:
    done = desk.run("keytool", "-list", *desk.store, *desk.with_provider(), **variables)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def _make(desk: Desk, alias: str) -> None:
    desk.must(
        "keytool", "-genkeypair", "-alias", alias, "-keyalg", "EC", "-groupname", "secp256r1", "-dname", f"CN={alias}",
        "-providerName", "CloudHSM", "-keypass", "changeit", *desk.store, *desk.with_provider(),
    )  # fmt: skip


def test_a_wrong_password_of_the_user(desk: Desk) -> None:
    said = _listing(desk, HSM_PASSWORD="not the password")
    assert "Incorrect credentials are passed for this operation: Incorrect authentication credentials." in said


def test_a_locked_user(desk: Desk) -> None:
    desk.site.must("user", "create", "cu2", HSM_USER="cu2", HSM_PASSWORD=PASSWORD)
    for _ in range(6):
        _listing(desk, HSM_USER="cu2", HSM_PASSWORD="not the password")
    assert "is locked; an admin unlocks it" in _listing(desk, HSM_USER="cu2")


def test_no_daemon(desk: Desk) -> None:
    said = _listing(desk, HSM_HOME=str(desk.folder / "nowhere"))
    assert "hsm start" in said
    assert str(desk.folder / "nowhere") in said


def test_a_wrong_password_of_the_store(desk: Desk) -> None:
    _make(desk, "guarded")
    before = (desk.folder / "certs.store").read_bytes()
    command = ["-storetype", "CloudHSM", "-keystore", "certs.store", "-storepass", "wrong-password"]
    done = desk.run("keytool", "-delete", "-alias", "guarded", *command, *desk.with_provider())
    assert done.returncode == 1
    assert "password" in done.stdout
    assert (desk.folder / "certs.store").read_bytes() == before


def test_a_file_that_is_no_key_store(desk: Desk) -> None:
    (desk.folder / "plain.store").write_bytes(b"not a key store, and longer than a header")
    command = ["-storetype", "CloudHSM", "-keystore", "plain.store", "-storepass", "changeit"]
    done = desk.run("keytool", "-list", *command, *desk.with_provider())
    assert done.returncode == 1
    assert "is not a CloudHSM key store" in done.stdout


def test_an_unknown_alias(desk: Desk) -> None:
    shutil.copy(provider_jar(), desk.folder / "app.jar")
    done = desk.run("jarsigner", "-signedjar", "no.jar", *desk.store, *desk.with_provider(), "app.jar", "nobody")
    assert done.returncode == 1
    assert "nobody" in done.stdout
    assert not (desk.folder / "no.jar").exists()


def test_an_alias_that_is_taken(desk: Desk) -> None:
    _make(desk, "taken")
    keys = desk.site.must("key", "list", "--json")
    done = desk.run(
        "keytool", "-genkeypair", "-alias", "taken", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=x",
        "-providerName", "CloudHSM", "-keypass", "changeit", *desk.store, *desk.with_provider(),
    )  # fmt: skip
    assert done.returncode == 1
    assert "taken" in done.stdout
    assert desk.site.must("key", "list", "--json") == keys


def test_a_key_size_that_the_hsm_has_not(desk: Desk) -> None:
    keys = desk.site.must("key", "list", "--json")
    done = desk.run(
        "keytool", "-genkeypair", "-alias", "short", "-keyalg", "RSA", "-keysize", "1024", "-dname", "CN=x",
        "-providerName", "CloudHSM", "-keypass", "changeit", *desk.store, *desk.with_provider(),
    )  # fmt: skip
    assert done.returncode == 1
    assert "2048 to 4096" in done.stdout
    assert desk.site.must("key", "list", "--json") == keys


def test_nobody_is_logged_in(desk: Desk) -> None:
    unset = {name: value for name, value in desk.site.environment.items() if name not in ("HSM_USER", "HSM_PASSWORD")}
    stranger = Desk(Site(desk.site.home, unset), desk.folder)
    assert "set HSM_USER and HSM_PASSWORD" in _listing(stranger)


def test_the_daemon_dies_under_a_program(desk: Desk) -> None:
    """The program gets an exception, goes on once the daemon is back, and has lost no token key."""
    command = [*jdk.command("java"), "-cp", programs(), "Loop"]
    with subprocess.Popen(
        command, cwd=desk.folder, env=desk.site.environment, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == "signing\n"
        kill(json.loads(desk.site.must_here("status", "--json"))["pid"])
        assert program.stdout.readline() == "lost: com.amazonaws.cloudhsm.jce.jni.exception.ProviderException\n"
        desk.site.must("start")
        program.stdin.write("go on\n")
        program.stdin.flush()
        assert program.stdout.readline() == "signed again\n"
    assert program.returncode == 0
