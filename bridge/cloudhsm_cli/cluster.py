"""The ``cluster`` commands."""

from __future__ import annotations

from bridge.cloudhsm_cli.context import Context, new_password
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.table import ADMIN, UNACTIVATED_ADMIN, Data, Values
from hsmcore.errors import AuthenticationFailed


def activate(context: Context, values: Values) -> Data:
    """Set the first admin's password.

    Raises:
        Failure: A user is logged in, or the cluster is activated already.
    """
    if context.role:
        raise Failure(f"{context.username} is logged in: the cluster is activated already")
    password = new_password(values.optional("password"))
    try:
        context.call("LOGIN", ADMIN, b"", UNACTIVATED_ADMIN)
    except AuthenticationFailed as error:
        raise Failure("the cluster is activated already") from error
    context.call("ACTIVATE", password)
    return "Cluster activation successful"


def hsm_info(context: Context, values: Values) -> Data:
    """Describe the HSM, and the others of its cluster."""
    (info,) = context.call("HSM_INFO")
    if not isinstance(info, dict) or not isinstance(info.get("members"), list):
        return {"hsms": [info]}
    facts = {name: value for name, value in info.items() if name != "members"}
    return {"hsms": [facts | member for member in info["members"]]}
