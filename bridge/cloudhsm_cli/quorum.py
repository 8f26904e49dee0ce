"""The ``quorum`` commands, and the approval files of other commands."""

from __future__ import annotations

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.context import Context, warn
from bridge.cloudhsm_cli.handles import reference
from bridge.cloudhsm_cli.selecting import one_key
from bridge.cloudhsm_cli.table import ADMIN, Data, Values
from bridge.protocol.codec import Value
from hsmcore.errors import ApprovalRequired, TokenUnknown

REGISTRATION = "registration"
"""The service of a token that registers an approver's key."""


def approve(context: Context, values: Values, option: str = "approval") -> None:
    """Send the approval file of an option, if it was given, for the next operation.

    Raises:
        ApprovalRequired: The token was used or is another session's; CloudHSM answers as without a token.
    """
    path = values.optional(option)
    if path is not None:
        try:
            context.call("QUORUM_APPROVE", files.read(path))
        except TokenUnknown as error:
            raise ApprovalRequired(str(error)) from error


def generate(context: Context, values: Values) -> Data:
    """Write the file of a new quorum token."""
    words, service = values.texts("filter"), values.text("service")
    if service == REGISTRATION and not context.role and not words:
        (token,) = context.call("QUORUM_REGISTRATION_TOKEN")
    else:
        key = one_key(context, words)["HANDLE"] if words else None
        (token,) = context.call("QUORUM_TOKEN", service, key)
    files.write(values.text("token"), token if isinstance(token, bytes) else b"")
    return {"path": values.text("token")}


def list_tokens(context: Context, values: Values) -> Data:
    """List the quorum tokens of all users."""
    (tokens,) = context.call("QUORUM_LIST")
    return {
        "tokens": [_token(token) for token in tokens if isinstance(token, dict)] if isinstance(tokens, list) else []
    }


def _token(token: dict[str, Value]) -> dict[str, object]:
    shown: dict[str, object] = {name: token[name] for name in ("username", "service")}
    if "key-reference" in token:
        shown |= {"key-reference": reference(token["key-reference"])}
        return shown | {"minimum-token-count": token["minimum-token-count"]}
    shown |= {
        name: token[name] for name in ("approvals-required", "number-of-approvals", "token-timeout-seconds")
    }  # fmt: skip
    return shown | {"cluster-coverage": "full"}


def delete(context: Context, values: Values) -> Data:
    """Delete quorum tokens."""
    context.call("QUORUM_DELETE", values.text("scope"))
    return "Deletion of quorum token(s) successful"


def list_values(context: Context, values: Values) -> Data:
    """Show the quorum values of all services."""
    return _numbers(context.call("QUORUM_VALUES"))


def set_value(context: Context, values: Values) -> Data:
    """Set the quorum value of a service; warn where too few admins can approve."""
    service, value = values.text("service"), values.number("value")
    approve(context, values)
    context.call("QUORUM_SET_VALUE", service, value)
    (users,) = context.call("USER_LIST")
    rows = [user for user in users if isinstance(user, dict)] if isinstance(users, list) else []
    registered = sum(user["role"] == ADMIN and user["quorum"] is True for user in rows)
    if value > max(registered, 1):
        warn(
            f"the service {service} now takes {value} approvals, and {registered} admins have registered a key; "
            "register more, or nobody can use the service or lower its value"
        )
    return "Set quorum value successful"


def list_timeouts(context: Context, values: Values) -> Data:
    """Show the timeouts of quorum tokens, in seconds."""
    return _numbers(context.call("QUORUM_TIMEOUTS"))


def set_timeout(context: Context, values: Values) -> Data:
    """Set a timeout of quorum tokens, in seconds."""
    name = "generated" if values.has("generated") else "approved"
    context.call("QUORUM_SET_TIMEOUT", name, values.number(name))
    return "Set token timeout successful"


def _numbers(results: tuple[Value, ...]) -> dict[str, object]:
    (numbers,) = results
    return dict(numbers) if isinstance(numbers, dict) else {}
