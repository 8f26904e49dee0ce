"""The login that the environment gives to a command, under CloudHSM's names or hsmbridge's own.

``CLOUDHSM_ROLE`` (``admin`` or ``crypto-user``) and ``CLOUDHSM_PIN`` (``username:password``) are CloudHSM's.
``HSM_USER`` and ``HSM_PASSWORD`` are a crypto user's, ``HSM_ADMIN_PASSWORD`` is that of the user ``admin``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from hsmcore.errors import HsmError
from hsmcore.tables.roles import ADMIN, CRYPTO_USER

SECRETS = (
    "HSM_USER", "HSM_PASSWORD", "HSM_ADMIN_PASSWORD", "CLOUDHSM_ROLE", "CLOUDHSM_PIN", "DESTINATION_CLOUDHSM_ROLE",
    "DESTINATION_CLOUDHSM_PIN",
)  # fmt: skip
"""The variables of logins, which a daemon must not inherit."""
WAYS = {
    ADMIN: "HSM_ADMIN_PASSWORD, or CLOUDHSM_ROLE=admin and CLOUDHSM_PIN=<username>:<password>",
    CRYPTO_USER: "HSM_USER and HSM_PASSWORD, or CLOUDHSM_ROLE=crypto-user and CLOUDHSM_PIN=<username>:<password>",
}
"""The variables that give a login in each role, for messages."""


class LoginVariablesInvalid(HsmError):
    """``CLOUDHSM_PIN`` is set, but it and ``CLOUDHSM_ROLE`` do not name a user, a password and a role."""


@dataclass(frozen=True, slots=True)
class Login:
    """Name, role and password of a user; the password is in UTF-8."""

    username: str
    role: str
    password: bytes = field(repr=False)
    source: str = ""
    """The variables that it is from, for messages; empty for one that was asked for."""


def from_environment(roles: Sequence[str]) -> Login | None:
    """Return the login in one of the roles, of which the first is preferred; ``None`` where there is none.

    CloudHSM's variables take precedence if their role is one of ``roles``.

    Raises:
        LoginVariablesInvalid: CloudHSM's variables hold no login.
    """
    found = _of_cloudhsm()
    if found is not None and found.role in roles:
        return found
    own = {
        ADMIN: _login("admin", ADMIN, os.environ.get("HSM_ADMIN_PASSWORD"), "HSM_ADMIN_PASSWORD"),
        CRYPTO_USER: _login(
            os.environ.get("HSM_USER"), CRYPTO_USER, os.environ.get("HSM_PASSWORD"), "HSM_USER and HSM_PASSWORD"
        ),
    }
    return next((login for login in (own[role] for role in roles) if login is not None), None)


def for_destination(roles: Sequence[str]) -> Login | None:
    """Return the login to the destination of a copy, in one of the roles; ``None`` where there is none.

    Raises:
        LoginVariablesInvalid: The variables hold no login.
    """
    found = _of_cloudhsm("DESTINATION_")
    return found if found is not None and found.role in roles else None


def _of_cloudhsm(prefix: str = "") -> Login | None:
    """Return the login of CloudHSM's variables with a prefix; ``None`` without ``CLOUDHSM_PIN``.

    Raises:
        LoginVariablesInvalid: The role is unknown, or the user name or the password is missing.
    """
    role, pin = (os.environ.get(f"{prefix}CLOUDHSM_{name}", "") for name in ("ROLE", "PIN"))
    if not pin:
        return None
    username, _, password = pin.partition(":")
    source = f"{prefix}CLOUDHSM_PIN"
    login = _login(username, role, password, source) if role in {ADMIN, CRYPTO_USER} else None
    if login is None:
        raise LoginVariablesInvalid(
            f"{prefix}CLOUDHSM_ROLE and {prefix}CLOUDHSM_PIN are no login; set them to a role (admin or crypto-user) "
            "and to <username>:<password>, or unset both"
        )
    return login


def _login(username: str | None, role: str, password: str | None, source: str) -> Login | None:
    if not username or not password:
        return None
    return Login(username, role, password.encode("utf-8", "surrogateescape"), source)
