"""The roles that a session can have."""

from __future__ import annotations

ADMIN = "admin"
CRYPTO_USER = "crypto-user"
ROLES = (ADMIN, CRYPTO_USER)
"""The roles that a user is created with."""
UNACTIVATED_ADMIN = "unactivated-admin"
"""The role of ``admin`` until the HSM is activated."""
APPLIANCE_USER = "internal(APPLIANCE_USER)"
"""The role of the account by which HSMs of one cluster are synchronised. It is listed; nobody logs in with it."""
