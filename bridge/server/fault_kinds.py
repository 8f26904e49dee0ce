"""Kinds of faults on demand, and how their options are read. docs/faults.md lists both."""

from __future__ import annotations

import random
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from bridge.protocol.operations import NUMBERS
from bridge.server import answers
from hsmcore import errors
from hsmcore.errors import HsmError, MalformedRequest, OperationLimit

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
COMMON = frozenset({"operation", "rate", "count", "after", "seed", "seconds"})
"""Options of every kind."""
_MOST_SECONDS = 600.0
_YEAR = 366 * 86400.0


def _unavailable(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError:
    return HsmError("Cannot perform the requested key operation as the key must be available on at least 2 HSMs")


def _throttled(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError:
    return OperationLimit("Unexpected error with the Provider: The HSM could not queue the request for processing.")


def _exhausted(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError:
    return OperationLimit(
        "There are too many operations happening at the same time: Reached max number of sessions in session pool: 1000"
    )


def _chosen(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError:
    return ERRORS[fault.error](f"a fault that was asked for: {fault.error}")


def _down(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError | None:
    return _unavailable(fault, operation, fields) if operation in WITH_KEYS else None


def _differing(fault: Fault, operation: str, fields: Sequence[object]) -> HsmError | None:
    text = answers.UNSYNCHRONISED.get(operation)
    return HsmError(text) if text and (not fault.name or fault.name in fields) else None


def _without_member(fault: Fault, operation: str, result: object) -> object:
    return answers.without_member(operation, result, fault.member)


def _inconsistent(fault: Fault, operation: str, result: object) -> object:
    return answers.inconsistent(operation, result, fault.fields, fault.name)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    It has ``operations`` by default. ``error`` returns the error of a request with its fields, ``None`` for one that
    is not refused. ``alter`` returns what an answer becomes. ``needed`` and ``optional`` are its own options, and
    ``common`` are those that it shares with other kinds.
    """

    operations: frozenset[str]
    error: Callable[[Fault, str, Sequence[object]], HsmError | None] | None = None
    alter: Callable[[Fault, str, object], object] | None = None
    needed: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    common: frozenset[str] = COMMON


_ALL = frozenset(NUMBERS) - NEVER
KINDS: Mapping[str, Kind] = {
    "latency": Kind(_ALL, needed=frozenset({"milliseconds"})),
    "error": Kind(WITH_KEYS, _chosen, needed=frozenset({"error"})),
    "throttling": Kind(WITH_KEYS, _throttled),
    "session-pool": Kind(WITH_KEYS, _exhausted),
    "key-availability": Kind(WITH_KEYS, _unavailable),
    "disconnect-before": Kind(_ALL),
    "disconnect-after": Kind(_ALL),
    "hsm-down": Kind(answers.MEMBERS | WITH_KEYS, _down, _without_member, optional=frozenset({"member"})),
    "inconsistent": Kind(answers.COPIES, _differing, _inconsistent, optional=frozenset({"field", "name"})),
    "clock-skew": Kind(frozenset(), needed=frozenset({"ahead"}), common=frozenset({"seconds"})),
}
"""Kinds by name. The disconnections are before and after the HSM has done the work."""


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
    member: int = 2
    """Number of the HSM that is down."""
    fields: tuple[str, ...] = ()
    """Fields that are inconsistent."""
    name: str = ""
    """The user that is inconsistent; empty for all users and keys."""
    ahead: float = 0.0
    """Seconds by which the clock is ahead."""
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
    known = row.common | row.needed | row.optional
    unknown = sorted(options.keys() - known)
    if unknown:
        raise MalformedRequest(f"a fault {kind} has no option {unknown[0][:32]!r}; it has {', '.join(sorted(known))}")
    lacking = sorted(row.needed - options.keys())
    if lacking:
        raise MalformedRequest(f"a fault {kind} needs the option {lacking[0]}")
    fault = Fault(number, kind, _operations(options.get("operation", ()), row), str(options.get("error", "")))
    if fault.error and fault.error not in ERRORS:
        raise MalformedRequest(f"there is no error {fault.error[:32]!r}; docs/troubleshooting.md lists the errors")
    fault.member = int(_number(options, "member", 2, 2**31))
    fault.name = str(options.get("name", ""))
    fault.fields = _fields(options.get("field", answers.FIELDS[0]))
    fault.ahead = _number(options, "ahead", 0, _YEAR)
    fault.low, fault.high = _delay(str(options.get("milliseconds", "0")))
    fault.rate = _number(options, "rate", 1.0, 1.0)
    fault.left = int(_number(options, "count", 0, 2**31)) or -1
    fault.skipped = int(_number(options, "after", 0, 2**31))
    fault.draw = random.Random(str(options.get("seed", "")))  # noqa: S311  # repeatable, not secret
    seconds = _number(options, "seconds", 0, 86400.0)
    if seconds:
        fault.until = time.monotonic() + seconds
    return fault


def _names(given: Option, complaint: str) -> list[str]:
    """Return the names in a list, or in a text with commas.

    Raises:
        MalformedRequest: It is a number.
    """
    names = given.split(",") if isinstance(given, str) else given
    if isinstance(names, float | int):
        raise MalformedRequest(complaint)
    return [str(name).strip() for name in names if str(name).strip()]


def _fields(given: Option) -> tuple[str, ...]:
    known = ", ".join(answers.FIELDS)
    chosen = tuple(_names(given, f"a field is one of {known}"))
    unknown = [name for name in chosen if name not in answers.FIELDS]
    if unknown:
        raise MalformedRequest(f"there is no field {unknown[0][:32]!r} that can be inconsistent; there are {known}")
    return chosen


def _operations(given: Option, row: Kind) -> frozenset[str]:
    names = _names(given, "an operation is a name of the protocol, such as SIGN")
    chosen = frozenset(name.upper() for name in names)
    unknown = sorted(chosen - _ALL)
    if unknown:
        near = ", ".join(get_close_matches(unknown[0][:32], _ALL, cutoff=0))
        raise MalformedRequest(f"there is no operation {unknown[0][:32]!r} with faults; the nearest are {near}")
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
