"""Decorators that authorise and audit the methods of the services.

A method's row in the permission table and in the table of events has the name ``service.method``, for example
``keys.share``. The service has the name of its module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from hsmcore.audit.commands import event_of
from hsmcore.audit.events import EVENTS
from hsmcore.audit.log import AuditLog
from hsmcore.sessions import permissions
from hsmcore.sessions.session import Session


class Service(Protocol):
    """A service whose commands are recorded in its audit log."""

    _log: AuditLog


_S = TypeVar("_S", bound=Service)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def row_name(method: Callable[..., Any]) -> str:
    """Return the name of a service's method in the tables: ``service.method``."""
    return f"{method.__module__.rpartition('.')[2]}.{method.__name__}"


def guarded(
    method: Callable[Concatenate[_S, Session, _P], _R],
) -> Callable[Concatenate[_S, Session, _P], _R]:
    """Make a method authorise its session first, and record the command where ``EVENTS`` has its row.

    The log also records a command that is refused.

    Raises:
        LookupError: The permission table has no row for the method.
    """
    operation = row_name(method)
    if operation not in permissions.PERMISSIONS:
        raise LookupError(permissions.no_row(operation))

    @wraps(method)
    def call(service: _S, session: Session, /, *fields: _P.args, **named: _P.kwargs) -> _R:
        permissions.require(session, operation)
        return method(service, session, *fields, **named)

    return audited(call) if operation in EVENTS else current(call)


def current(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Make a method withhold its result where this HSM may not know every change of its cluster."""

    @wraps(method)
    def checked(service: _S, /, *arguments: _P.args, **named: _P.kwargs) -> _R:
        period = service._log.period
        result = method(service, *arguments, **named)
        service._log.require_current(period)
        return result

    return checked


def audited(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Make a method a command, which the audit log records as the event of its row in ``EVENTS``.

    ``guarded`` applies it to methods that take a session.

    Raises:
        LookupError: ``EVENTS`` has no row for the method.
    """
    operation = row_name(method)
    event = event_of(operation)
    signature = inspect.signature(method)

    @wraps(method)
    def recorded(service: _S, /, *arguments: _P.args, **named: _P.kwargs) -> _R:
        bound = signature.bind(service, *arguments, **named)
        bound.apply_defaults()
        with service._log.command(event, bound.arguments):
            return method(service, *arguments, **named)

    return recorded
