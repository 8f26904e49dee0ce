"""jarsigner with a key in the HSM and a time-stamp authority, which is ``openssl ts`` behind a small HTTP server."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.consumers.application import STORE_PASSWORD, Application
from tests.consumers.conftest import KEYS
from tests.requirements import tool

_CONFIGURATION = """
[tsa]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
signer_digest = sha256
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a time-stamp authority."""
    tool("openssl")
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "tsa.cnf").write_text(_CONFIGURATION)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=clock", "-keyout", "tsa.key",
         "-out", "tsa.pem", "-addext", "extendedKeyUsage=critical,timeStamping"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            answer = ["ts", "-reply", "-queryfile", "query", "-inkey", "tsa.key", "-signer", "tsa.pem"]
            command = ["openssl", *answer, "-config", "tsa.cnf", "-section", "tsa"]
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
            self.send_response(200 if done.returncode == 0 else 500)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(done.stdout)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("alias", KEYS)
def test_a_signed_jar_carries_the_stamp(application: Application, authority: str, store: Path, alias: str) -> None:
    opened = ["-storetype", "CloudHSM", "-keystore", str(store), "-storepass", STORE_PASSWORD]
    jar = application.folder / "app.jar"
    shutil.copy(provider_jar(), jar)
    words = ["-tsa", authority, *opened, str(jar), alias]
    if not _has_jarsigner():
        # A run-time image: `hsm jarsigner` says what it is short of, and the stock tool is another Java's.
        done = application.site.hsm("jarsigner", *words)
        assert done.returncode == 1
        assert "this Java has no jarsigner (its module is jdk.jartool)" in done.stderr
        return
    if application.beside:
        application.site.must("jarsigner", *words)
    else:
        command = ["jarsigner", "-J-cp", f"-J{provider_jar()}", "-addprovider", "CloudHSM", *words]
        _must(command, application.site.environment)
    said = _must(["jarsigner", "-verify", "-verbose", "-certs", str(jar)], dict(os.environ))
    assert "jar verified." in said
    assert f'Signed by "CN={alias}"' in said
    assert 'Timestamped by "CN=clock"' in said


def _has_jarsigner() -> bool:
    home = os.environ.get("JAVA_HOME")
    return home is None or (Path(home) / "bin" / "jarsigner").is_file()


def _must(command: list[str], environment: dict[str, str]) -> str:
    words = [*jdk.command(command[0]), *command[1:]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
