"""The ``login``, ``logout`` and ``user`` commands, with and without the second factor."""

from __future__ import annotations

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.attributes import INCONSISTENT
from bridge.cloudhsm_cli.context import Context, ask, new_password, password
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.quorum import approve
from bridge.cloudhsm_cli.table import Data, Values
from bridge.protocol.codec import Value

_SIGNED_PATH = "Enter signed token file path (press enter if same as the unsigned token file):"
_KEY_PATH = "Enter public key PEM file path:"


def _who(values: Values) -> dict[str, object]:
    return {"username": values.text("username").lower(), "role": values.text("role")}


def login(context: Context, values: Values) -> Data:
    """Log in; refused while a user is logged in."""
    secret = _login_password(context, values)
    context.call("LOGIN", values.text("username"), secret, values.text("role"))
    context.logged_in(values.text("username"), values.text("role"))
    return _who(values)


def login_mfa(context: Context, values: Values) -> Data:
    """Log in with a second factor: write a token file, ask for the signed one, and send it."""
    secret = _login_password(context, values)
    username, role = values.text("username"), values.text("role")
    signed = _signed(values, context.call("LOGIN_TOKEN", username, role)[0])
    context.call("LOGIN_MFA", username, secret, role, signed)
    context.logged_in(username, role)
    return _who(values)


def _login_password(context: Context, values: Values) -> bytes:
    if context.role:
        raise Failure(f"{context.username} is logged in; log out first")
    return password(values.optional("password"))


def _signed(values: Values, token: Value) -> bytes:
    """Write a token file, and return the content of the signed file that the user names."""
    path = values.text("token")
    files.write(path, token if isinstance(token, bytes) else b"")
    return files.read(ask(_SIGNED_PATH).strip() or path)


def logout(context: Context, values: Values) -> Data:
    """Log out."""
    context.call("LOGOUT")
    context.logged_out()
    return "Logout successful"


def create(context: Context, values: Values) -> Data:
    """Create a user."""
    secret = new_password(values.optional("password"))
    approve(context, values)
    context.call("USER_CREATE", values.text("username"), values.text("role"), secret)
    return _who(values)


def delete(context: Context, values: Values) -> Data:
    """Delete a user."""
    approve(context, values)
    context.call("USER_DELETE", values.text("username"), values.text("role"), False)
    return _who(values)


def list_users(context: Context, values: Values) -> Data:
    """List all users."""
    (users,) = context.call("USER_LIST")
    return {"users": [_user(user) for user in users if isinstance(user, dict)] if isinstance(users, list) else []}


def _user(user: dict[str, Value]) -> dict[str, object]:
    shown: dict[str, object] = {
        "username": user["username"],
        "role": user["role"],
        "locked": "true" if user["locked"] else "false",
        "mfa": _strategies(user["mfa"]),
        "quorum": _strategies(user["quorum"]),
        "cluster-coverage": "full",
    }
    differing = user.get("inconsistent")
    for name in map(str, differing if isinstance(differing, list) else ()):
        shown[name] = [{"strategy": "token-sign", "status": INCONSISTENT}] if name == "mfa" else INCONSISTENT
    return shown


def _strategies(enabled: Value) -> list[dict[str, str]]:
    return [{"strategy": "token-sign", "status": "enabled"}] if enabled else []


def change_password(context: Context, values: Values) -> Data:
    """Set a password, and on request deregister the keys of MFA and quorum."""
    secret = new_password(values.optional("password"))
    approve(context, values)
    flags = values.flag("deregister-mfa"), values.flag("deregister-quorum")
    context.call("USER_CHANGE_PASSWORD", values.text("username"), values.text("role"), secret, *flags)
    return _who(values)


def change_mfa(context: Context, values: Values) -> Data:
    """Register, replace or deregister a second factor, and set the password."""
    username, role, change_quorum = values.text("username"), values.text("role"), values.flag("change-quorum")
    secret = new_password(values.optional("change-password"))
    if values.flag("deregister"):
        approve(context, values)
        context.call("MFA_DEREGISTER", username, role, secret, change_quorum)
        return _who(values)
    signed = _signed(values, context.call("MFA_TOKEN", username, role)[0])
    key = files.read(ask(_KEY_PATH).strip())
    approve(context, values)
    context.call("MFA_REGISTER", username, role, signed, key, secret, change_quorum)
    return _who(values)


def register_quorum(context: Context, values: Values) -> Data:
    """Register the public key for approvals of the logged-in user."""
    key, signed = files.read(values.text("public-key")), files.read(values.text("signed-token"))
    context.call("QUORUM_REGISTER", key, signed)
    return {"username": context.username, "role": context.role}
