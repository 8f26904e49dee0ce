"""Requests of clients whose changes are in a cluster's database, so that no HSM makes a change twice.

The row of a request is written in the transaction of its change. A code authenticates it, so an administrator of the
database cannot have a change acknowledged that no HSM has made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import local

from sqlalchemy import Connection, Engine, text

from hsmcore.errors import ChangeMade, HsmError, StoreDamaged, StoreUnreachable
from hsmcore.storage.engine import store_errors
from hsmcore.storage.members import Codes
from hsmcore.storage.rows import QUORUM_TOKENS, Change, context

KEPT_MS = 10 * 60 * 1000
"""Least age at which a row is removed, in ms. A client repeats a request for a shorter time."""
KEPT = 65536
"""Maximum number of rows after a removal; the oldest go first."""

_NOW = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)"
_NOTE = text(
    "INSERT INTO requests (owner, number, made, changes, code)"  # noqa: S608  # constants only
    f" VALUES (:owner, :number, {_NOW}, :changes, :code) ON CONFLICT DO NOTHING"
)
_FIND = text("SELECT changes, code FROM requests WHERE owner = :owner AND number = :number")
_PRUNE = text(
    f"DELETE FROM requests WHERE made < {_NOW} - :age"  # noqa: S608  # constants only
    " OR made <= (SELECT made FROM requests ORDER BY made DESC OFFSET :most LIMIT 1)"
)


@dataclass(slots=True)
class _Request:
    owner: str
    number: int
    noted: bool = False

    def code(self, codes: Codes, changes: str) -> bytes:
        return codes.cluster_code(self._encoded(changes))

    def has_code(self, codes: Codes, changes: str, code: bytes) -> bool:
        return codes.is_cluster_code(self._encoded(changes), code)

    def _encoded(self, changes: str) -> bytes:
        return context("cluster request", self.owner.encode(), str(self.number).encode(), changes.encode())


class Requests:
    """The requests that the HSMs of a cluster have fulfilled. All methods may be called from any thread."""

    def __init__(self, engine: Engine, codes: Codes) -> None:
        """Use a database.

        Args:
            engine: The engine for questions.
            codes: Makes the codes of rows.
        """
        self._engine = engine
        self._codes = codes
        self._thread = local()

    @contextmanager
    def once(self, owner: str, number: int, *, repeated: bool) -> Iterator[None]:
        """Run the block, whose first change of stored rows is made once for a number of an owner.

        Args:
            owner: Role and name of the user.
            number: The request id.
            repeated: Whether another HSM may have made the change.

        Raises:
            ChangeMade: The change was made before.
            StoreDamaged: The row of the request was edited.
            HsmError: An error of the block.
        """
        request = self._thread.request = _Request(owner, number)
        try:
            if repeated:
                self._require_new(request)
            yield
        except ChangeMade:
            raise
        except HsmError:
            # The change of the first request may be the reason of the error.
            if repeated and not request.noted:
                self._require_new(request)
            raise
        finally:
            self._thread.request = None

    def note(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Write the request of this thread, if it has one, in the transaction of its change.

        Waits for the same request at another HSM.

        Raises:
            ChangeMade: The change was made before.
            StoreDamaged: The row of the request was edited.
            StoreUnreachable: The row of the request was removed meanwhile.
        """
        request: _Request | None = getattr(self._thread, "request", None)
        # An operation can use up a quorum token in a transaction of its own before its change.
        if request is None or request.noted or all(change.subject == QUORUM_TOKENS for change in changes):
            return
        named = " ".join(map(str, changes))
        values = {"owner": request.owner, "number": request.number, "changes": named}
        if connection.execute(_NOTE, values | {"code": request.code(self._codes, named)}).rowcount != 1:
            self._require_new(request)
            raise StoreUnreachable("the same request ran at another HSM, and its row is gone; nothing was changed")
        request.noted = True

    def _require_new(self, request: _Request) -> None:
        with store_errors(), self._engine.connect() as connection:
            row = connection.execute(_FIND, {"owner": request.owner, "number": request.number}).first()
        if row is None:
            return
        changes, code = str(row[0]), bytes(row[1])
        if not request.has_code(self._codes, changes, code):
            raise StoreDamaged("the row of a request was edited; the HSM does not know whether its change was made")
        raise ChangeMade(changes)

    def prune(self) -> None:
        """Remove old rows."""
        with store_errors(), self._engine.begin() as connection:
            connection.execute(_PRUNE, {"age": KEPT_MS, "most": KEPT})
