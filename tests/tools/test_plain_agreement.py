"""ECDH without a KDF: off unless the configuration file switches it on; the HSM decides whether it gives the secret."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.process.paths import socket_path
from tests import jdk
from tests.site import Site, fresh_site

from .conftest import Desk, programs


def agreed(site: Site, folder: Path, **options: bool) -> tuple[str, str]:
    """Run the program and return what it printed, and its last complaint."""
    cluster = {"servers": [{"hostname": str(socket_path(site.home))}], "options": options}
    (folder / "ecdh.cfg").write_text(json.dumps({"clusters": [{"cluster": cluster}]}))
    done = subprocess.run(
        [*jdk.command("java"), f"-Dhsmbridge.config={folder}/ecdh.cfg", "-cp", programs(), "Agreement"],
        env=site.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_it_is_off_unless_switched_on(desk: Desk) -> None:
    for options in ({}, {"enable_ecdh_without_kdf": False}):
        _, complaint = agreed(desk.site, desk.folder, **options)
        assert "NoSuchAlgorithmException: no such algorithm: ECDH for provider CloudHSM" in complaint


def test_the_secret_stays_where_the_hsm_lets_none_out(desk: Desk) -> None:
    said, complaint = agreed(desk.site, desk.folder, enable_ecdh_without_kdf=True)
    assert said == "replaced false\nkey true\nshort\n"
    assert "ProviderException: The HSM does not permit clear extraction" in complaint


def test_the_secret_is_that_of_the_jdk(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    with fresh_site(tmp_path_factory.mktemp("open"), "--enable-clear-key-extraction") as site:
        site.must("start")
        said, _ = agreed(site, desk.folder, enable_ecdh_without_kdf=True)
        assert said == "replaced false\nkey true\nshort\nraw true\n"
