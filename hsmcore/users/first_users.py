"""The users of a new HSM: its admin and, where one is asked for, a crypto user."""

from __future__ import annotations

from collections.abc import Sequence

from hsmcore.primitives.secrecy import hash_password
from hsmcore.settings import FirstUser
from hsmcore.storage.rows import UserRow
from hsmcore.storage.sealing import Vault
from hsmcore.tables.roles import ADMIN, CRYPTO_USER, UNACTIVATED_ADMIN
from hsmcore.users.accounts import FIRST_ADMIN, normal_name
from hsmcore.users.passwords import new_verifier

_NUMBERS = (1, 3)
"""Numbers of the admin and the crypto user; the appliance user has the one between them."""


def first_users(
    admin_password: bytes | None, crypto_user: tuple[str, bytes] | None, *, stored: bool
) -> tuple[FirstUser, ...]:
    """Return a new HSM's users. Without a password the admin is not activated.

    Args:
        admin_password: The admin's password.
        crypto_user: Name and password of a crypto user.
        stored: Whether the HSM will be on a disk.

    Raises:
        PasswordInvalid: A password breaks the rules for passwords.
        UserNameInvalid: The name breaks the rules for names.
    """
    if admin_password is None:
        admin = FirstUser(FIRST_ADMIN, UNACTIVATED_ADMIN, hash_password(b"", stored=stored))
    else:
        admin = FirstUser(FIRST_ADMIN, ADMIN, new_verifier(admin_password, stored=stored))
    if crypto_user is None:
        return (admin,)
    name, password = crypto_user
    return admin, FirstUser(normal_name(name), CRYPTO_USER, new_verifier(password, stored=stored))


def first_rows(users: Sequence[FirstUser], vault: Vault) -> list[UserRow]:
    """Return the rows of a new HSM's users."""
    return [first_row(place, user, 1, vault) for place, user in enumerate(users)]


def first_row(place: int, user: FirstUser, version: int, vault: Vault) -> UserRow:
    """Return the row of one of a new HSM's users.

    Args:
        place: The user's place among them, from 0.
        user: The user.
        version: The row's version.
        vault: The vault of the HSM's master key.
    """
    return vault.seal_user(UserRow(_NUMBERS[place], user.username, user.role, version=version), user.verifier)
