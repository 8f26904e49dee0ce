"""Checks of the environment variables and configuration files, none of whose secrets are in a finding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bridge.doctor.finding import Finding, fail, ok, refused, warn
from bridge.process.configuration import chosen, servers
from bridge.process.environment import answer_seconds
from bridge.process.logins import from_environment
from bridge.process.paths import socket_path
from hsmcore.errors import HsmError, StateError
from hsmcore.tables.roles import ADMIN, CRYPTO_USER


def checks(home: Path) -> Iterator[Finding]:
    """Check the variables, and the configuration file if there is one."""
    yield _login()
    yield _variables(home)
    file = chosen()
    if file is not None:
        yield _configuration(file)


def _login() -> Finding:
    check = "Login"
    try:
        login = from_environment((CRYPTO_USER, ADMIN))
    except HsmError as error:
        return refused(check, error)
    user, password = os.environ.get("HSM_USER"), os.environ.get("HSM_PASSWORD")
    if bool(user) != bool(password):
        missing = "HSM_PASSWORD" if user else "HSM_USER"
        return fail(check, f"{missing} is not set, and the other of HSM_USER and HSM_PASSWORD is", f"set {missing}")
    if login is None:
        return warn(check, "no user in the environment", "set HSM_USER and HSM_PASSWORD to those of a crypto user")
    if user and login.role == CRYPTO_USER and login.username.lower() != user.lower():
        return warn(
            check,
            f"HSM_USER is {user}, and {login.source} names {login.username}, which commands take",
            f"unset {login.source} or HSM_USER",
        )
    return ok(check, f"{login.role} {login.username}, from {login.source}; whether the password is right was not tried")


def _variables(home: Path) -> Finding:
    check = "Variables"
    try:
        answer_seconds(0)
    except HsmError as error:
        return fail(check, str(error), "set HSM_TIMEOUT to a number of seconds, or unset it")
    named = os.environ.get("HSM_SOCKET")
    try:
        own = socket_path(home)
    except StateError:
        own = None
    if named and own is not None and Path(named) != own:
        found = f"Java programs connect to HSM_SOCKET, {named}, and commands to {own}"
        return warn(check, found, "unset HSM_SOCKET, or set HSM_HOME to the directory of that socket")
    names = sorted(name for name in os.environ if name.startswith(("HSM_", "CLOUDHSM_")))
    return ok(check, ", ".join(names) or "none is set")


def _configuration(file: Path) -> Finding:
    check = "Configuration"
    try:
        places = servers(file).places
    except (HsmError, OSError) as error:
        return fail(check, f"{file}: {error}", "correct it, or write it again with configure-cli (docs/tls.md)")
    return ok(check, f"{file}: {', '.join(map(str, places))}")
