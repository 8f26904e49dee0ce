"""One command from its words to its answer, ``{"error_code", "data"}``."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cloudhsm_cli.commands import PARSER
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.output import Answer
from bridge.cloudhsm_cli.parser import Call
from bridge.cloudhsm_cli.table import ADMIN, CRYPTO_USER, Data
from bridge.process.logins import WAYS, from_environment
from hsmcore.errors import ApprovalRequired, HsmError, KeyQuorumFailed, UserNotFound

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
    context.configure(call.values.optional("config"), call.values.optional("cluster-id"))
    if not context.role and call.command.roles and not call.command.own_login:
        _log_in(context, call, single=single)
    if call.command.handler is None:
        raise Failure(f"'{call.command.path}' does nothing by itself")
    return call.command.handler(context, call.values)


def _log_in(context: Context, call: Call, *, single: bool) -> None:
    """Log in with the environment's login, in a role of the command, or else in another, which the HSM refuses.

    Raises:
        Failure: The command needs a login, and there is none.
    """
    login = (from_environment(call.command.roles) or from_environment((ADMIN, CRYPTO_USER))) if single else None
    if login is not None:
        context.call("LOGIN", login.username, login.password, login.role)
        context.logged_in(login.username, login.role)
    elif call.command.needs_login(call.values):
        how = " or ".join(WAYS[role] for role in call.command.roles)
        raise Failure(
            f"'{call.command.path}' needs a login: "
            + (f"set {how}" if single else "login --username <USERNAME> --role <ROLE>")
        )
