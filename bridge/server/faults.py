"""Faults on demand, of an HSM that was made for tests: slow, refused and lost requests.

A fault applies to some operations, to a share of their requests or to a number of them. Random choices follow from the
fault's seed and the order of the requests alone.
"""

from __future__ import annotations

import logging
import random
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from bridge.protocol.codec import Value
from bridge.protocol.operations import NUMBERS
from hsmcore import errors
from hsmcore.errors import HsmError, MalformedRequest, OperationLimit, SettingRequired

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm

Option = str | float | Sequence[str]
"""Value of an option: a number, a text, or a list of operations."""

NEVER = frozenset({"HELLO", "STATUS", "RESET", "FAULT_ADD", "FAULT_LIST", "FAULT_CLEAR"})
"""Operations without faults, so that commands can end the faults."""
WITH_KEYS = frozenset(
    {
        "GENERATE_KEY", "GENERATE_KEY_PAIR", "IMPORT_KEY", "WRAP_KEY", "UNWRAP_KEY", "DERIVE_KEY", "ENCRYPT", "DECRYPT",
        "SIGN", "VERIFY", "BEGIN",
    }
)  # fmt: skip
"""Operations of faults that concern keys."""
_MOST_FAULTS, _MOST_SECONDS = 100, 600.0

_log = logging.getLogger("hsmbridge.faults")


class ConnectionCut(Exception):
    """The connection closes in place of an answer."""


class CutAfterwards(ConnectionCut):
    """The connection closes after the work; ``result`` is that of the handler."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


def _unavailable(fault: Fault) -> HsmError:
    return HsmError("Cannot perform the requested key operation as the key must be available on at least 2 HSMs")


def _throttled(fault: Fault) -> HsmError:
    return OperationLimit("Unexpected error with the Provider: The HSM could not queue the request for processing.")


def _exhausted(fault: Fault) -> HsmError:
    return OperationLimit(
        "There are too many operations happening at the same time: Reached max number of sessions in session pool: 1000"
    )


def _chosen(fault: Fault) -> HsmError:
    return ERRORS[fault.error](f"a fault that was asked for: {fault.error}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: the operations that it has by default, its error, and its other options."""

    operations: frozenset[str]
    error: Callable[[Fault], HsmError] | None = None
    options: frozenset[str] = frozenset()


_ALL = frozenset(NUMBERS) - NEVER
KINDS: Mapping[str, Kind] = {
    "latency": Kind(_ALL, options=frozenset({"milliseconds"})),
    "error": Kind(WITH_KEYS, _chosen, frozenset({"error"})),
    "throttling": Kind(WITH_KEYS, _throttled),
    "session-pool": Kind(WITH_KEYS, _exhausted),
    "key-availability": Kind(WITH_KEYS, _unavailable),
    "disconnect-before": Kind(_ALL),
    "disconnect-after": Kind(_ALL),
}
"""Kinds by name. The disconnections are before and after the HSM has done the work."""
COMMON = frozenset({"operation", "rate", "count", "after", "seed", "seconds"})
"""Options of every kind."""


def _errors(kind: type[HsmError]) -> Iterator[tuple[str, type[HsmError]]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child.__name__, child
            yield from _errors(child)


ERRORS: dict[str, type[HsmError]] = dict(_errors(HsmError))
"""Errors by name."""


@dataclass(slots=True)
class Fault:
    """A fault: what it does, to which requests, how often, and until when of ``time.monotonic``."""

    number: int
    kind: str
    operations: frozenset[str]
    error: str = ""
    low: float = 0.0
    high: float = 0.0
    """Least and greatest delay, in seconds."""
    rate: float = 1.0
    left: int = 0
    """Requests that it still applies to; negative for no limit."""
    skipped: int = 0
    """Requests that it still leaves alone."""
    until: float = float("inf")
    draw: random.Random = field(default_factory=random.Random)
    hits: int = 0

    def strikes(self, operation: str) -> bool:
        """Tell whether it applies to the next request of an operation, and count the request."""
        if operation not in self.operations or not self.left or time.monotonic() >= self.until:
            return False
        if self.skipped:
            self.skipped -= 1
            return False
        if self.draw.random() >= self.rate:
            return False
        self.left -= 1
        self.hits += 1
        return True


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
        """Return new faults for an HSM."""
        return cls(hsm.settings.allow_faults, hsm.crypto.drop_shortcuts)

    @property
    def active(self) -> bool:
        """True while there is a fault."""
        return bool(self._faults)

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
            cut = self._strike(operation)
            result = call(*fields)
            if cut:
                raise CutAfterwards(result)
            return result

        return faulty

    def _strike(self, operation: str) -> bool:
        """Apply the faults before the work; return whether the connection is cut after it.

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
        kinds = {fault.kind for fault in struck}
        if "disconnect-before" in kinds:
            raise ConnectionCut
        for fault in struck:
            refuse = KINDS[fault.kind].error
            if refuse is not None:
                raise refuse(fault)
        return "disconnect-after" in kinds


def read(path: Path) -> list[tuple[str, Mapping[str, Option]]]:
    """Return kind and options of each fault in a TOML file, a table ``[[fault]]``.

    Raises:
        MalformedRequest: The file has other contents.
        OSError: The file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"{path} is not TOML: {error}") from error
    faults = document.get("fault")
    if not isinstance(faults, list) or document.keys() != {"fault"} or not all("kind" in fault for fault in faults):
        raise MalformedRequest(f"{path} has no faults; each is a table [[fault]] with a kind")
    return [(str(fault.pop("kind")), fault) for fault in faults]


def made(number: int, kind: str, options: Mapping[str, Option]) -> Fault:
    """Return a fault of a kind with options.

    Raises:
        MalformedRequest: The kind or an option is unknown, or has a wrong value.
    """
    row = KINDS.get(kind)
    if row is None:
        raise MalformedRequest(f"there is no fault {kind[:32]!r}; there are {', '.join(KINDS)}")
    unknown = sorted(options.keys() - COMMON - row.options)
    if unknown:
        known = ", ".join(sorted(COMMON | row.options))
        raise MalformedRequest(f"a fault {kind} has no option {unknown[0][:32]!r}; it has {known}")
    lacking = sorted(row.options - options.keys())
    if lacking:
        raise MalformedRequest(f"a fault {kind} needs the option {lacking[0]}")
    fault = Fault(number, kind, _operations(options.get("operation", ()), row), str(options.get("error", "")))
    if fault.error and fault.error not in ERRORS:
        raise MalformedRequest(f"there is no error {fault.error[:32]!r}; docs/troubleshooting.md lists the errors")
    fault.low, fault.high = _delay(str(options.get("milliseconds", "0")))
    fault.rate = _number(options, "rate", 1.0, 1.0)
    fault.left = int(_number(options, "count", 0, 2**31)) or -1
    fault.skipped = int(_number(options, "after", 0, 2**31))
    fault.draw = random.Random(str(options.get("seed", "")))  # noqa: S311  # repeatable, not secret
    seconds = _number(options, "seconds", 0, 86400.0)
    if seconds:
        fault.until = time.monotonic() + seconds
    return fault


def _operations(given: Option, row: Kind) -> frozenset[str]:
    names = given.split(",") if isinstance(given, str) else given
    if isinstance(names, float | int):
        raise MalformedRequest("an operation is a name of the protocol, such as SIGN")
    chosen = frozenset(str(name).strip().upper() for name in names if str(name).strip())
    unknown = sorted(chosen - _ALL)
    if unknown:
        raise MalformedRequest(f"there is no operation {unknown[0][:32]!r} with faults; bridge/PROTOCOL.md lists them")
    return chosen or row.operations


def _number(options: Mapping[str, Option], name: str, default: float, most: float) -> float:
    given = options.get(name, default)
    try:
        number = float(given)  # type: ignore[arg-type]  # of a list it raises the error below
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= most:
        raise MalformedRequest(f"the option {name} is a number from 0 to {most:g}, not {str(given)[:32]!r}")
    return number


def _delay(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    bounds = {"least": low, "greatest": high or low}
    least, greatest = (_number(bounds, name, 0, _MOST_SECONDS * 1000) / 1000 for name in bounds)
    if least > greatest:
        raise MalformedRequest(f"milliseconds are a number or least-greatest, not {text[:32]!r}")
    return least, greatest
