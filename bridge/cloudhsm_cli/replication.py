"""``key replicate`` and ``user replicate``: copies from one HSM to its clone.

A cluster's id is a name in ``HSM_CLUSTERS`` (``ID=/path/of/hsm.sock,...``, as for the Java provider), the path of a
state directory, or the id of a cluster in the configuration file. At the prompt the source is the HSM that the user is
logged in to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bridge.cloudhsm_cli.attributes import key_object, short_object
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.selecting import described, one_key
from bridge.cloudhsm_cli.table import ADMIN, CRYPTO_USER, Data, Values
from bridge.process.configuration import has_cluster
from bridge.process.logins import WAYS, Login, for_destination, from_environment
from hsmcore.errors import ReplicaDiffers

CLUSTERS = "HSM_CLUSTERS"


def key(context: Context, values: Values) -> Data:
    """Copy a token key.

    Raises:
        Failure: The destination has a different key with that reference, or a login or a cluster is missing.
    """
    with _both(context, values, (CRYPTO_USER, ADMIN)) as (source, destination):
        handle = one_key(source, values.texts("filter"))["HANDLE"]
        try:
            (record,) = destination.call("MASKED_KEY_INSERT", *source.call("MASKED_KEY_EXTRACT", handle))
        except ReplicaDiffers as error:
            raise Failure("Key replicate failed on 1 of 1 connections") from error
        shown = short_object if destination.role == ADMIN else key_object
        return {"key": shown(described(destination, record)), "message": "Successfully replicated key"}


def user(context: Context, values: Values) -> Data:
    """Copy a user with password, lock, second factor and key for approvals.

    Raises:
        Failure: The destination has a different user with that name, or a login or a cluster is missing.
    """
    with _both(context, values, (ADMIN,)) as (source, destination):
        masked = source.call("MASKED_USER_EXTRACT", values.text("username"), values.text("role"))
        try:
            (info,) = destination.call("MASKED_USER_INSERT", *masked)
        except ReplicaDiffers as error:
            raise Failure("User replicate failed on 1 of 1 connections") from error
        return {"user": info, "message": "Successfully replicated user"}


@contextmanager
def _both(context: Context, values: Values, roles: Sequence[str]) -> Iterator[tuple[Context, Context]]:
    """Yield the source and the destination, each with a login.

    Raises:
        Failure: There is no such cluster, or no login for it.
    """
    destination = _cluster(context, values.text("destination-cluster-id"))
    source = context if context.role else _cluster(context, values.text("source-cluster-id"))
    with closing(destination):
        if source is context:
            _log_in(destination, for_destination(roles), "DESTINATION_")
            yield source, destination
            return
        with closing(source):
            _log_in(source, from_environment(roles), "")
            _log_in(destination, for_destination(roles), "DESTINATION_")
            yield source, destination


def _log_in(context: Context, login: Login | None, prefix: str) -> None:
    if login is None:
        how = f"{prefix}CLOUDHSM_ROLE and {prefix}CLOUDHSM_PIN" if prefix else WAYS[ADMIN]
        raise Failure(f"the {'destination' if prefix else 'source'} cluster needs a login: set {how}")
    context.call("LOGIN", login.username, login.password, login.role)
    context.logged_in(login.username, login.role)


def _cluster(context: Context, cluster: str) -> Context:
    """Return a context for a cluster.

    Raises:
        Failure: There is no such cluster.
    """
    for pair in os.environ.get(CLUSTERS, "").split(","):
        name, _, socket = pair.partition("=")
        if name.strip().lower() == cluster.lower() and socket.strip():
            return Context.at(Path(socket.strip()).parent)
    if cluster.startswith("/"):
        return Context.at(Path(cluster))
    if context.configuration is not None and has_cluster(context.configuration, cluster):
        return Context.at(Path(), context.configuration, cluster)
    raise Failure(
        f"there is no cluster {cluster[:64]!r}; {CLUSTERS} names them: ID=/path/of/hsm.sock,..., or --config a file "
        "that has them"
    )
