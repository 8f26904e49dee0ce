"""Key stores made by the JDK's keytool and by openssl, and the ``hsm`` command as a process beside a fresh HSM."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from jpype import JArray, JChar, JClass

from bridge.carriers import jvm
from bridge.cli import storefiles
from bridge.pytest_plugin import USER, fresh_hsm
from keystore.foreign import Found, read
from tests import fork_server, requirements
from tests.site import Site

PASSWORD = "changeit"
"""Of every key store here, keytool's habit."""
_HSM_PASSWORD = "migration-pass-1"


def entries_of(file: Path | bytes, password: str = PASSWORD) -> list[Found]:
    """Read a key store in this process, whose JVM the fixture ``hsm_jvm`` starts."""
    return read(file if isinstance(file, bytes) else file.read_bytes(), password, jvm.read_key_store).entries


@pytest.fixture(autouse=True, scope="session")
def _running_jvm(hsm_jvm: None) -> None:
    """Start this process's JVM before any test of the folder reads a key store."""


def jks_of(certificates: Mapping[str, bytes]) -> bytes:
    """Return a JKS file, made in this process's JVM, whose aliases keep their case."""
    store = JClass("java.security.KeyStore").getInstance("CaseExactJKS")
    store.load(None, None)
    factory = JClass("java.security.cert.CertificateFactory").getInstance("X.509")
    for alias, der in certificates.items():
        stream = JClass("java.io.ByteArrayInputStream")(der)
        store.setCertificateEntry(alias, factory.generateCertificate(stream))
    out = JClass("java.io.ByteArrayOutputStream")()
    store.store(out, JArray(JChar)(PASSWORD))
    return bytes(out.toByteArray())


def needs_pyjks(file: str) -> None:
    """Skip where the file is of a format that pyjks reads, and pyjks is not installed."""
    if file.endswith(("bks", "uber")) and find_spec("jks") is None:
        requirements.missing("pyjks is not installed, which takes a C compiler")


def run(*words: str | Path, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program that has to succeed and return what it prints."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, input=stdin, env=env)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def keytool(*words: str | Path) -> None:
    """Run the JDK's keytool in this process, whose JVM runs."""
    assert jvm.run_keytool([str(word) for word in words]) == 0


def generate(store: Path, kind: str, alias: str, *words: str, key_password: str = PASSWORD) -> None:
    """Make a key pair with a self-signed certificate in a store of that type."""
    password = [] if kind == "PKCS12" else ["-keypass", key_password]
    keytool("-genkeypair", "-alias", alias, "-dname", f"CN={alias}", *words,
            "-keystore", store, "-storetype", kind, "-storepass", PASSWORD, *password)  # fmt: skip


def generate_secret(store: Path, kind: str, alias: str, algorithm: str, size: int) -> None:
    password = [] if kind == "PKCS12" else ["-keypass", PASSWORD]
    keytool("-genseckey", "-alias", alias, "-keyalg", algorithm, "-keysize", str(size),
            "-keystore", store, "-storetype", kind, "-storepass", PASSWORD, *password)  # fmt: skip


def add_certificate(store: Path, kind: str, alias: str, source: Path, of: str) -> None:
    """Put the certificate of an entry of ``source`` into a store, as a trusted one."""
    file = store.with_suffix(".crt")
    keytool("-exportcert", "-alias", of, "-keystore", source, "-storepass", PASSWORD, "-file", file)
    keytool("-importcert", "-noprompt", "-alias", alias, "-file", file, "-keystore", store, "-storetype", kind,
            "-storepass", PASSWORD)  # fmt: skip


@dataclass
class Cli:
    """An HSM in a folder, and the ``hsm`` command with its crypto user and all passwords in the environment."""

    folder: Path
    env: dict[str, str]
    results: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "certs.store"

    def run(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a process."""
        return fork_server.run(("hsm", *map(str, words)), {**self.env, **env})

    def here(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command in this process, whose JVM it uses, and which the command's limit of time must not end."""
        with patch.object(storefiles, "LONGEST", 3600):
            return Site(self.folder, self.env).here(*map(str, words), **env)

    def take(self, file: Path, *words: str, code: int = 0, **env: str) -> dict[str, dict[str, Any]]:
        """Import a file with the certificate store, and return the report's entries by alias."""
        report = self.report("import", file, "--keystore", self.store, *words, code=code, **env)
        return {entry["alias"]: entry for entry in report["entries"]}

    def report(self, *words: str | Path, code: int = 0, **env: str) -> dict[str, Any]:
        done = self.here("keystore", *words, "--json", **env)
        assert done.returncode == code, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def found_keys(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.here("key", "list", "--json").stdout)
        return listed


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return make_cli(tmp_path, extraction=False)


def make_cli(folder: Path, *, extraction: bool) -> Cli:
    home = folder / "hsm"
    env = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    env |= {
        "HSM_HOME": str(home), "HSM_USER": USER, "HSM_PASSWORD": _HSM_PASSWORD,
        "HSM_FILE_PASSWORD": PASSWORD, "HSM_KEYSTORE_PASSWORD": PASSWORD,
    }  # fmt: skip
    if extraction:
        assert Site(home, env).here("init", "--enable-clear-key-extraction").returncode == 0
    else:
        fresh_hsm(home, _HSM_PASSWORD).close()
    return Cli(folder, env)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``all.jks``, ``all.jceks``, ``all.p12`` by keytool, and ``small.pem`` and others by openssl."""
    folder = tmp_path_factory.mktemp("stores")
    jks, jceks, p12 = folder / "all.jks", folder / "all.jceks", folder / "all.p12"
    generate(jks, "JKS", "Release", "-keyalg", "RSA", "-keysize", "2048")
    generate(jks, "JKS", "own-password", "-keyalg", "EC", "-groupname", "secp256r1", key_password="another-password")
    generate(jks, "JKS", "small", "-keyalg", "RSA", "-keysize", "1024")
    generate(jks, "JKS", "dsa", "-keyalg", "DSA", "-keysize", "2048")
    add_certificate(jks, "JKS", "root", jks, "release")
    generate(jceks, "JCEKS", "pair", "-keyalg", "EC", "-groupname", "secp384r1")
    generate_secret(jceks, "JCEKS", "data", "AES", 256)
    generate_secret(jceks, "JCEKS", "old", "DESede", 168)
    generate_secret(jceks, "JCEKS", "tokens", "HmacSHA256", 256)
    generate(p12, "PKCS12", "server", "-keyalg", "RSA", "-keysize", "2048")
    generate(p12, "PKCS12", "client", "-keyalg", "EC", "-groupname", "secp521r1")
    generate_secret(p12, "PKCS12", "data", "AES", 128)
    generate_secret(p12, "PKCS12", "tokens", "HmacSHA512", 512)
    add_certificate(p12, "PKCS12", "trusted", jks, "release")
    return folder
