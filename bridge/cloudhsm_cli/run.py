"""One command from its words to its answer, ``{"error_code", "data"}``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.output import Answer
from bridge.cloudhsm_cli.parser import Call
from bridge.cloudhsm_cli.table import ADMIN, CRYPTO_USER, Data
from hsmcore.errors import ApprovalRequired, HsmError, KeyQuorumFailed, UserNotFound

_ROLE, _PIN = "CLOUDHSM_ROLE", "CLOUDHSM_PIN"
_TEXTS: dict[type[HsmError], str] = {
    ApprovalRequired: "Quorum approval is required for this operation",
    KeyQuorumFailed: "Quorum Failed",
    UserNotFound: "Specified user does not exist",
}
"""CloudHSM's texts of some errors; scripts compare them."""


def run(context: Context, words: Sequence[str], *, single: bool) -> Answer:
    """Run a command; in single-command mode, take the login that it needs from the environment."""
    try:
        return Answer(0, _data(context, PARSER.parse(words), single=single))
    except Failure as error:
        return Answer(1, str(error))
    except HsmError as error:
        return Answer(1, _TEXTS.get(type(error)) or str(error))
    except OSError as error:
        return Answer(1, str(error))


def _data(context: Context, call: Call, *, single: bool) -> Data:
    if call.command.missing:
        raise Failure(call.command.missing)
    if call.command.roles and not context.role:
        _log_in(context, call, single=single)
    if call.command.handler is None:
        raise Failure(f"'{call.command.path}' does nothing by itself")
    return call.command.handler(context, call.values)


def _log_in(context: Context, call: Call, *, single: bool) -> None:
    if not single:
        raise Failure(f"'{call.command.path}' needs a login: login --username <USERNAME> --role <ROLE>")
    role, pin = os.environ.get(_ROLE, ""), os.environ.get(_PIN, "")
    username, colon, secret = pin.partition(":")
    if role not in {ADMIN, CRYPTO_USER} or not colon:
        raise Failure(
            f"'{call.command.path}' needs a login: set {_ROLE} to {ADMIN} or {CRYPTO_USER}, "
            f"and {_PIN} to <username>:<password>"
        )
    context.call("LOGIN", username, secret.encode("utf-8", "surrogateescape"), role)
    context.logged_in(username, role)
