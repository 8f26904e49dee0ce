"""Programs that do with the provider what its users' first programs do; their assertions are on."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.cmac import CMAC

from tests.consumers.application import Application
from tests.site import PASSWORD


def test_explicit_login(stock: Application) -> None:
    done = _without_credentials(stock, "Logins", "explicit", "cu1", PASSWORD)
    assert done.returncode == 0, done.stderr


def test_login_with_system_properties(stock: Application) -> None:
    done = _without_credentials(stock, "Logins", "properties", "cu1", PASSWORD)
    assert done.returncode == 0, done.stderr


def test_login_with_the_environment(stock: Application) -> None:
    stock.run("Logins", "environment")


def test_wrong_implicit_credentials_end_the_constructor(stock: Application) -> None:
    done = _without_credentials(stock, "Logins", "properties", "cu1", "wrong-password-1")
    assert done.returncode == 1
    assert "com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException: Incorrect credentials" in done.stderr


def test_keys_come_back_from_every_wrapping(stock: Application) -> None:
    stock.run("Wrapping", "wrap")


def test_a_derived_key_is_the_one_of_the_standard(stock: Application) -> None:
    base, label = bytes(range(32)), b"label\0context" + (256).to_bytes(4, "big")
    # NIST SP 800-108, 5.1: CMAC over the counter and the fixed input, once for each 16 bytes.
    blocks = []
    for counter in (1, 2):
        mac = CMAC(AES(base))
        mac.update(bytes([counter]) + label)
        blocks.append(mac.finalize())
    # One block of zeros under CBC with a zero IV is the block cipher itself.
    zeros = Cipher(AES(b"".join(blocks)), CBC(bytes(16))).encryptor().update(bytes(16))
    assert stock.run("Wrapping", "derive", base.hex(), label.hex()) == zeros.hex() + "\n"


def _without_credentials(stock: Application, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in stock.site.environment.items() if name not in {"HSM_USER", "HSM_PASSWORD"}}
    return dataclasses.replace(stock, site=dataclasses.replace(stock.site, environment=kept)).attempt(*words)


def test_system_calls_of_an_operation(stock: Application) -> None:
    """Over the socket one to write and one to read, up to what a connection's own buffer holds."""
    if not Path("/proc/thread-self/io").exists():
        pytest.skip("this kernel does not count system calls")
    measured = [line.split("\t") for line in stock.run("SystemCalls").splitlines()]
    assert [name for name, _, _ in measured] == [
        "encrypt 16", "encrypt 1024", "encrypt 16384", "encrypt 49152", "mac", "sign",
    ]  # fmt: skip
    for name, reads, writes in measured:
        assert (round(float(reads)), round(float(writes))) == (1, 1), name
