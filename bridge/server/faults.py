"""Faults on demand, of an HSM that was made for tests: slow, refused and lost requests.

A fault applies to some operations, to a share of their requests or to a number of them. Random choices follow from the
fault's seed and the order of the requests alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from bridge.protocol.codec import Value
from bridge.server.fault_kinds import KINDS, NEVER, Fault, Option, made, read
from hsmcore.errors import MalformedRequest, SettingRequired

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm

_MOST_FAULTS = 100

_log = logging.getLogger("hsmbridge.faults")


class ConnectionCut(Exception):
    """The connection closes in place of an answer."""


class CutAfterwards(ConnectionCut):
    """The connection closes after the work; ``result`` is that of the handler."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class Faults:
    """The faults of one HSM. Each method may be called from any thread."""

    def __init__(self, allowed: bool, forget: Callable[[], None]) -> None:
        """Begin without faults.

        Args:
            allowed: Whether the HSM was made with ``allow_faults``.
            forget: Makes clients send whole requests again, because repeated ones have no faults.
        """
        self.allowed = allowed
        self._forget = forget
        self._lock = Lock()
        self._numbers = count(1)
        self._faults: dict[int, Fault] = {}
        self.hits: Counter[tuple[str, str]] = Counter()
        """The faults that struck, by kind and operation."""

    @classmethod
    def of(cls, hsm: Hsm) -> Self:
        """Return new faults for an HSM, whose clock they may set forward."""
        faults = cls(hsm.settings.allow_faults, hsm.crypto.drop_shortcuts)
        if faults.allowed:
            hsm.skew_clock(faults.ahead)
        return faults

    @property
    def active(self) -> bool:
        """True while there is a fault."""
        return bool(self._faults)

    def ahead(self) -> float:
        """Return the seconds by which the HSM's clock is ahead."""
        now = time.monotonic()
        return sum(fault.ahead for fault in list(self._faults.values()) if now < fault.until)

    def add(self, kind: str, **options: Option) -> int:
        """Add a fault and return its number. docs/faults.md lists the kinds and the options.

        Raises:
            SettingRequired: The HSM was made without ``allow_faults``.
            MalformedRequest: The kind or an option is unknown, or has a wrong value.
        """
        (number,) = self.add_all([(kind, options)])
        return number

    def load(self, path: Path) -> list[int]:
        """Add the faults of a TOML file, all or none, and return their numbers.

        Raises:
            SettingRequired: The HSM was made without ``allow_faults``.
            MalformedRequest: The file has other contents.
            OSError: The file cannot be read.
        """
        return self.add_all(read(path))

    def add_all(self, wanted: Sequence[tuple[str, Mapping[str, Option]]]) -> list[int]:
        """Add faults of kinds with options, all or none, and return their numbers.

        Raises:
            SettingRequired: The HSM was made without ``allow_faults``.
            MalformedRequest: A kind or an option is unknown, or has a wrong value.
        """
        if not self.allowed:
            raise SettingRequired(
                "this HSM was made without --allow-faults; `hsm init --allow-faults` makes one for tests"
            )
        faults = [made(next(self._numbers), kind, options) for kind, options in wanted]
        with self._lock:
            if len(self._faults) + len(faults) > _MOST_FAULTS:
                raise MalformedRequest(f"there can be {_MOST_FAULTS} faults at a time; clear some first")
            self._faults.update((fault.number, fault) for fault in faults)
        self._forget()
        for fault in faults:
            _log.warning("fault %d was added: %s", fault.number, fault.kind)
        return [fault.number for fault in faults]

    def all(self) -> list[Mapping[str, Value]]:
        """Return number, kind, operations, hits and remaining count of each fault; a count of -1 is unlimited."""
        with self._lock:
            return [
                {
                    "number": fault.number, "kind": fault.kind, "hits": fault.hits, "left": max(fault.left, -1),
                    "operations": sorted(fault.operations),
                }
                for fault in self._faults.values()
            ]  # fmt: skip

    def clear(self, number: int | None = None) -> None:
        """Remove a fault, or all of them. Has no effect on one that is gone."""
        with self._lock:
            if number is None:
                self._faults.clear()
            else:
                self._faults.pop(number, None)

    def wrapped(self, operation: str, call: Callable[..., object]) -> Callable[..., object]:
        """Return the handler of an operation, subject to the faults; the handler itself where none can be."""
        if not self.allowed or operation in NEVER:
            return call

        def faulty(*fields: object) -> object:
            if not self._faults:
                return call(*fields)
            struck = self._strike(operation, fields)
            result = call(*fields)
            for fault in struck:
                alter = KINDS[fault.kind].alter
                result = result if alter is None else alter(fault, operation, result)
            if any(fault.kind == "disconnect-after" for fault in struck):
                raise CutAfterwards(result)
            return result

        return faulty

    def _strike(self, operation: str, fields: Sequence[object]) -> list[Fault]:
        """Apply the faults before the work, and return them.

        Raises:
            ConnectionCut: The connection is cut before the work.
            HsmError: The request is refused.
        """
        with self._lock:
            struck = [fault for fault in self._faults.values() if fault.strikes(operation)]
            delay = sum(fault.draw.uniform(fault.low, fault.high) for fault in struck)
            self.hits.update((fault.kind, operation) for fault in struck)
        for fault in struck:
            _log.warning("fault %d (%s) strikes %s", fault.number, fault.kind, operation)
        time.sleep(delay)
        if any(fault.kind == "disconnect-before" for fault in struck):
            raise ConnectionCut
        for fault in struck:
            refuse = KINDS[fault.kind].error
            error = None if refuse is None else refuse(fault, operation, fields)
            if error is not None:
                raise error
        return struck
