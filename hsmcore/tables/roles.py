"""The roles of users and sessions."""

from __future__ import annotations

ADMIN = "admin"
CRYPTO_USER = "crypto-user"
ROLES = (ADMIN, CRYPTO_USER)
"""The roles of new users."""
UNACTIVATED_ADMIN = "unactivated-admin"
"""The role of ``admin`` before the HSM is activated."""
APPLIANCE_NAME = "app_user"
APPLIANCE_USER = "internal(APPLIANCE_USER)"
"""The role of the account that synchronises the HSMs of a cluster. It is listed, and nobody logs in with it."""
