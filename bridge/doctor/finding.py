"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hsmcore.errors import HsmError


class State(StrEnum):
    """How a part is: a program may fail for want of a part in the state ``fail``."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table: the part, its state, what was found, and what to do."""

    check: str
    state: State
    found: str
    cure: str = ""


def ok(check: str, found: str) -> Finding:
    """Return a finding about a part that is well."""
    return Finding(check, State.OK, found)


def warn(check: str, found: str, cure: str) -> Finding:
    """Return a finding about a part that some programs need."""
    return Finding(check, State.WARN, found, cure)


def fail(check: str, found: str, cure: str) -> Finding:
    """Return a finding about a part that does not work."""
    return Finding(check, State.FAIL, found, cure)


def refused(check: str, error: HsmError) -> Finding:
    """Return a finding about an error, whose last clause has the cure."""
    found, _, cure = str(error).rpartition("; ")
    return fail(check, found or cure, cure if found else "see docs/troubleshooting.md")
