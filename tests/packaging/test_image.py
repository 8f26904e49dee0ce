"""The container image: built from a bare Debian, it makes an HSM, serves it without root and keeps it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates, Servers
from tests.docs.pages import ROOT
from tests.requirements import missing, tool

pytestmark = [
    pytest.mark.skipif(os.environ.get("HSMBRIDGE_TEST_IMAGE") != "1", reason="takes root and minutes: make test-image"),
    pytest.mark.timeout(1500),
]
_HOST = "127.0.0.4"
_SETTINGS = {"HSM_USER": "cu1", "HSM_PASSWORD": "container-pass-1", "HSM_TLS_NAME": _HOST}


class Builder:
    """Buildah with images and containers in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.command = [tool("buildah"), "--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        self.environment = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self.command, *words], env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Builder, str]]:
    """Build the image on a bare Debian, and yield the builder and a container."""
    if os.geteuid() != 0:
        missing("a root file system is made by root")
    folder = tmp_path_factory.mktemp("image")
    builder, base = Builder(folder), folder / "base.tar"
    release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    assert release
    bare = [tool("mmdebstrap"), "--quiet", "--variant=minbase", "--include=python3,python3-venv", release[1], str(base)]
    made = subprocess.run(bare, capture_output=True, text=True, timeout=600)
    if made.returncode != 0:
        missing(f"mmdebstrap cannot make a Debian here: {made.stderr[-400:]}")
    try:
        scratch = builder("from", "scratch")
    except AssertionError as error:
        missing(f"buildah makes no container here: {error}")
    builder("add", "--quiet", scratch, str(base), "/")
    builder("commit", "--quiet", scratch, "localhost/debian-base")
    base.unlink()
    subprocess.run(["make", "--silent", "image-context"], cwd=ROOT, check=True, timeout=600)
    builder(
        "build", "--format", "docker", "--ignorefile", "packaging/container/Containerfile.dockerignore", "--build-arg",
        "BASE=localhost/debian-base", "--build-arg", "PIP_NO_INDEX=1", "--tag", "hsmbridge", "--file",
        "packaging/container/Containerfile", ".",
    )  # fmt: skip
    container = builder("from", "localhost/hsmbridge")
    yield builder, container
    builder("rm", "--all")


def _served(builder: Builder, container: str, port: int) -> tuple[subprocess.Popen[str], int]:
    """Start the container's own command; return its process and the number of the daemon's."""
    settings = _SETTINGS | {"HSM_LISTEN": f"{_HOST}:{port}"}
    variables = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    process = subprocess.Popen(
        [*builder.command, "run", *variables, container, "--", "hsm-serve"],
        env=builder.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for _ in range(120):
        status = builder("run", container, "--", "sh", "-c", "sleep 0.5; hsm status 2>&1 || true")
        if found := re.search(r"^pid +(\d+)$", status, re.MULTILINE):
            return process, int(found[1])
        assert process.poll() is None, process.communicate()[0]
    process.kill()
    raise AssertionError(status + process.communicate()[0])


def test_the_image_makes_an_hsm_serves_it_without_root_and_keeps_it(
    buildah: tuple[Builder, str], tmp_path: Path
) -> None:
    builder, container = buildah
    shown = builder("inspect", "--type", "image", "localhost/hsmbridge")
    assert '"User": "hsmbridge"' in shown
    assert '"Healthcheck"' in shown
    # A volume for the authority that HSMs of a cluster share: an empty volume takes the owner of the image's directory.
    assert builder("run", container, "--", "stat", "--format=%u %a", "/ca") == "10001 700"
    with socket.create_server((_HOST, 0)) as free:
        port = free.getsockname()[1]
    for number in range(2):
        process, daemon = _served(builder, container, port)
        try:
            assert Path(f"/proc/{daemon}").stat().st_uid == 10001
            certificate = tmp_path / "customerCA.crt"
            certificate.write_text(builder("run", container, "--", "cat", "/var/lib/hsmbridge/customerCA.crt"))
            with Client.connect_to(Servers((Address(_HOST, port),), Certificates(certificate))) as client:
                client.call("LOGIN", "cu1", _SETTINGS["HSM_PASSWORD"].encode(), "crypto-user")
                assert len(client.found_keys({})) == number
                client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": f"key {number}", "SIZE": 256, "TOKEN": True})
        finally:
            os.kill(daemon, signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
