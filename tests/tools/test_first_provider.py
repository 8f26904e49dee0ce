"""A JVM whose first provider is this one: what goes wrong there, and the line of docs/consumers.md that mends it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar

from .conftest import PROVIDER, Desk, programs

_ROOT = Path(__file__).parents[2]


def documented() -> str:
    """Return the line of ``java.security`` that docs/consumers.md gives."""
    page = (_ROOT / "docs" / "consumers.md").read_text()
    found = re.search(r"^ *(jdk\.security\.provider\.preferred=.*)$", page, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def providers(desk: Desk) -> str:
    """The lines of ``java.security`` that put this provider before those of the JDK."""
    names = [PROVIDER, *desk.must("java", "-cp", programs(), "First", "list").split()]
    return "".join(f"security.provider.{number}={name}\n" for number, name in enumerate(names, 1))


def first(desk: Desk, providers: str, *lines: str) -> str:
    """Write a ``java.security`` file and return the option that names it."""
    path = desk.folder / "first.security"
    path.write_text("\n".join((providers, *lines)))
    return f"-Djava.security.properties={path}"


def generation(option: str, store: str) -> list[str]:
    return [
        "keytool", f"-J{option}", "-J-cp", f"-J{provider_jar()}", "-genkeypair", "-keyalg", "RSA", "-keysize", "2048",
        "-alias", "soft", "-dname", "CN=soft", "-storetype", "PKCS12", "-keystore", store, "-storepass", "changeit",
    ]  # fmt: skip


def test_keys_in_a_software_store(desk: Desk, providers: str) -> None:
    """Such a store cannot hold a key of the HSM; keytool generates one unless the documented line is there."""
    done = desk.run(*generation(first(desk, providers), "without.p12"))
    assert done.returncode == 1
    assert "NullPointerException" in done.stdout
    option = first(desk, providers, documented())
    desk.must(*generation(option, "with.p12"))
    (desk.folder / "content").write_text("content")
    desk.must("jar", "--create", "--file", "app.jar", "content")
    store = ["-keystore", "with.p12", "-storepass", "changeit"]
    sign = ["jarsigner", f"-J{option}", "-J-cp", f"-J{provider_jar()}", *store]
    assert "jar signed" in desk.must(*sign, "app.jar", "soft")
    assert "jar verified" in desk.must("jarsigner", "-verify", "app.jar")


def test_keytool_says_once_that_the_hsm_is_not_there(desk: Desk, tmp_path: Path) -> None:
    """With this provider as the last of the list, the JDK tries no other, and the tool prints the error itself."""
    command = ["keytool", "-J-cp", f"-J{provider_jar()}", "-addprovider", "CloudHSM", "-genseckey", "-keyalg", "AES"]
    command += [
        "-keysize",
        "256",
        "-alias",
        "a",
        "-storetype",
        "CloudHSM",
        "-keystore",
        "none",
        "-storepass",
        "changeit",
    ]
    done = desk.run(*command, HSM_HOME=str(tmp_path))
    assert (done.stdout + done.stderr).count("No HSM answers") == 1


def test_the_log_of_the_jvm_says_that_the_hsm_is_not_there(desk: Desk, providers: str, tmp_path: Path) -> None:
    """The JDK goes on to its own provider and makes a software key, without an exception."""
    command = ["java", first(desk, providers), "-cp", programs(), "First", "AES"]
    assert desk.must(*command).startswith("com.amazonaws.cloudhsm")
    done = desk.run(*command, HSM_HOME=str(tmp_path))
    assert done.stdout.startswith("javax.crypto.spec")
    assert f"No HSM answers at {tmp_path}/hsm.sock" in done.stderr
    for _ in range(2):
        done = desk.run(*command, "AES", "AES", "AES", "AES", HSM_PASSWORD="not the password")
        assert done.stdout.split() == ["javax.crypto.spec.SecretKeySpec"] * 5
        assert "Incorrect credentials are passed" in done.stderr
    assert desk.must(*command).startswith("com.amazonaws.cloudhsm")
    (tmp_path / "bad.cfg").write_text("{}")
    done = desk.run(*command, HSM_CONFIG=str(tmp_path / "bad.cfg"))
    assert done.stdout.startswith("javax.crypto.spec")
    assert "names no cluster" in done.stderr
