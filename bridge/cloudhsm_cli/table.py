"""A row of the command table: path, options, permitted roles and the function that runs the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.cloudhsm_cli.context import Context

ADMIN = "admin"
CRYPTO_USER = "crypto-user"
UNACTIVATED_ADMIN = "unactivated-admin"
PROGRAM = "cloudhsm-cli"

Data = Mapping[str, object] | str
"""Content of ``data`` in the answer to a successful command."""


class Kind(Enum):
    """The kinds of values that options accept."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    """No value."""
    LIST = auto()
    """Any number of words, up to the next option."""
    SECRET = auto()
    """A password: asked for if it is not given, and kept in no history."""
    FILE = auto()
    """A path."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``choices`` are its permitted values, if any; ``range`` is inclusive and applies to numbers.

    A required option has a value that is not empty, unless it ``may_be_empty``.
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()
    range: tuple[int, int] = (0, 2**63 - 1)
    required: bool = False
    default: str | int | None = None
    short: str = ""
    may_be_empty: bool = False

    def needed(self) -> Option:
        """Return a copy of the option that is required."""
        return replace(self, required=True)

    def usage(self) -> str:
        """Return the option as help and messages show it: ``--label <LABEL>``."""
        if self.kind is Kind.FLAG:
            return f"--{self.name}"
        name = self.name.upper().replace("-", "_")
        return f"--{self.name} [<{name}>...]" if self.kind is Kind.LIST else f"--{self.name} <{name}>"


COMMON = (
    Option("cluster-id", "Id of the cluster, if the configuration file has several"),
    Option("config", "Configuration file with the servers; without it the HSM of HSM_HOME is used", Kind.FILE),
)
"""Options of every command."""


class Values:
    """The values of a call, by option name."""

    def __init__(self, values: Mapping[str, str | int | bool | list[str]]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        """Tell whether the option has a value."""
        return name in self._values

    def text(self, name: str) -> str:
        """Return the value of a required option."""
        return str(self._values[name])

    def optional(self, name: str) -> str | None:
        """Return the value, or ``None``."""
        value = self._values.get(name)
        return None if value is None else str(value)

    def number(self, name: str, default: int = 0) -> int:
        """Return a number."""
        value = self._values.get(name, default)
        return value if isinstance(value, int) else default

    def texts(self, name: str) -> list[str]:
        """Return the words of a list option; empty if it was not given."""
        value = self._values.get(name)
        return value if isinstance(value, list) else []

    def flag(self, name: str) -> bool:
        """Tell whether a flag was given."""
        return self._values.get(name) is True


Handler = Callable[["Context", Values], Data]


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        roles: Roles that may use it; an empty tuple means that the command needs no login.
        one_of: Groups of option names; exactly one option of each group is required.
        missing: Reason why this HSM lacks the command; the command then has no ``handler``.
        open_for: An option and a value of it with which the command needs no login.
        own_login: Whether the command logs in by itself.
    """

    path: str
    help: str
    roles: tuple[str, ...]
    options: tuple[Option, ...]
    handler: Handler | None = None
    one_of: tuple[tuple[str, ...], ...] = ()
    missing: str = ""
    note: str = ""
    open_for: tuple[str, str] | None = None
    own_login: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The path as a tuple of words."""
        return tuple(self.path.split())

    def needs_login(self, values: Values) -> bool:
        """Tell whether a call needs a login."""
        return bool(self.roles) and (self.open_for is None or values.optional(self.open_for[0]) != self.open_for[1])

    def option(self, name: str) -> Option | None:
        """Return the option with this name or short name, or ``None``."""
        return next((option for option in self.options if name in {option.name, option.short}), None)
