"""A key store of a program whose HSM is restarted, and one that twenty threads use at once."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import Desk, programs


@pytest.fixture(scope="module")
def program(desk: Desk) -> list[str]:
    """The command that runs the program, beside a key store with the key ``kept`` and its certificate."""
    desk.must(
        "keytool", *desk.with_provider(), "-genkeypair", "-providerName", "CloudHSM", "-alias", "kept",
        "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=Kept", *desk.store,
    )  # fmt: skip
    return ["java", "-cp", programs(), "KeyStoreLife"]


def test_it_is_used_across_a_restart_of_the_hsm(desk: Desk, program: list[str]) -> None:
    with subprocess.Popen(
        [*program, "restart"], cwd=desk.folder, env=desk.site.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        desk.site.must_here("stop")
        desk.site.must("start")
        said, _ = running.communicate("go\n", timeout=120)
    signed, refused, stored = said.splitlines()
    assert (signed, stored) == ("signed", "stored")
    assert "key of alias lost is not in the HSM any more" in refused
    assert running.returncode == 0


def test_twenty_threads_use_one_key_store(desk: Desk, program: list[str]) -> None:
    assert desk.must(*program, "threads") == "20 threads\n"
