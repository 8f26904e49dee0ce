"""Programs that do with the provider what its users' first programs do; their assertions are on."""

from __future__ import annotations

import dataclasses
import subprocess

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


def _without_credentials(stock: Application, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in stock.site.environment.items() if name not in {"HSM_USER", "HSM_PASSWORD"}}
    return dataclasses.replace(stock, site=dataclasses.replace(stock.site, environment=kept)).attempt(*words)
