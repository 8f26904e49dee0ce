"""Logging in and out, and the ``user`` commands."""

from __future__ import annotations

from bridge.cloudhsm_cli.context import Context, new_password, password
from bridge.cloudhsm_cli.table import Data, Failure, Values
from bridge.codec import Value


def _who(values: Values) -> dict[str, object]:
    return {"username": values.text("username").lower(), "role": values.text("role")}


def login(context: Context, values: Values) -> Data:
    """Log in; who is logged in already logs out first."""
    if context.role:
        raise Failure(f"{context.username} is logged in; log out first")
    given = password(values.optional("password"))
    context.call("LOGIN", values.text("username"), given, values.text("role"))
    context.logged_in(values.text("username"), values.text("role"))
    return _who(values)


def logout(context: Context, values: Values) -> Data:
    """Log out."""
    context.call("LOGOUT")
    context.logged_out()
    return "Logout successful"


def create(context: Context, values: Values) -> Data:
    """Create a user."""
    given = new_password(values.optional("password"))
    context.call("USER_CREATE", values.text("username"), values.text("role"), given)
    return _who(values)


def delete(context: Context, values: Values) -> Data:
    """Delete a user."""
    context.call("USER_DELETE", values.text("username"), values.text("role"))
    return _who(values)


def list_users(context: Context, values: Values) -> Data:
    """List all users."""
    (users,) = context.call("USER_LIST")
    return {"users": [_user(user) for user in users if isinstance(user, dict)] if isinstance(users, list) else []}


def _user(user: dict[str, Value]) -> dict[str, object]:
    return {
        "username": user["username"],
        "role": user["role"],
        "locked": "true" if user["locked"] else "false",
        "mfa": _strategies(user.get("mfa")),
        "quorum": _strategies(user.get("quorum")),
        "cluster-coverage": "full",
    }


def _strategies(enabled: Value) -> list[dict[str, str]]:
    return [{"strategy": "token-sign", "status": "enabled"}] if enabled else []


def change_password(context: Context, values: Values) -> Data:
    """Set a password."""
    given = new_password(values.optional("password"))
    context.call("USER_CHANGE_PASSWORD", values.text("username"), values.text("role"), given)
    return _who(values)
