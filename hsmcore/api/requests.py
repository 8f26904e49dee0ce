"""Requests that clients repeat at another HSM of a cluster after the loss of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hsmcore.api.core import Core
from hsmcore.errors import ChangeMade, RepetitionUnknown
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import read_changes


class RequestService:
    """Runs requests whose changes the HSMs of a cluster make once."""

    def __init__(self, core: Core) -> None:
        self._cluster = core.cluster

    @contextmanager
    def once(self, session: Session, number: int, *, repeated: bool = False) -> Iterator[None]:
        """Run the block, which is a request of a session's user. An HSM alone does not remember the request.

        Args:
            session: The session.
            number: The request id, which no other request of the user has.
            repeated: Whether the user may have sent the request to another HSM, or in an earlier session.

        Raises:
            ChangeMade: An HSM of the cluster has made the request's change, and no HSM uses the state before it.
            RepetitionUnknown: The request is repeated, and this HSM is in no cluster.
            StoreDamaged: Somebody edited what the database has of the request.
            StoreUnreachable: The database does not answer.
        """
        if self._cluster is None:
            if repeated:
                raise RepetitionUnknown("this HSM shares no database with others, and does not know the request")
            yield
            return
        try:
            with self._cluster.requests.once(f"{session.role}/{session.username}", number, repeated=repeated):
                yield
        except ChangeMade as error:
            self._cluster.confirm(read_changes(error.changes))
            raise
