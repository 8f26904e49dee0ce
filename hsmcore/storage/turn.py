"""The turn of a cluster as a lock."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Lock, RLock, get_ident
from types import TracebackType

from hsmcore.errors import StoreUnreachable
from hsmcore.storage.cluster import LEASE, MARGIN, Cluster


class Turn:
    """The turn of a cluster and the HSM's lock in one, to be taken where the result depends on what others change.

    A thread takes it before the lock, and may take it again inside.
    """

    def __init__(self, lock: RLock, cluster: Cluster) -> None:
        self._lock = lock
        self._cluster = cluster
        self._mine = Lock()
        self._owner = 0
        self._depth = 0
        self._held = ExitStack()

    def __enter__(self) -> None:
        if self._owner != get_ident():
            if not self._mine.acquire(timeout=LEASE + MARGIN):
                raise StoreUnreachable("too many commands of this HSM wait for the database")
            with ExitStack() as held:
                held.callback(self._mine.release)
                held.enter_context(self._cluster.lease.hurried())
                self._cluster.take_turn()
                held.callback(self._cluster.give_turn)
                self._held = held.pop_all()
            self._owner = get_ident()
        self._depth += 1
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._lock.release()
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._held.close()
