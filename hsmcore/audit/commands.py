"""Commands in progress, and the entries that they have in the audit log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hsmcore.audit.chain import FIRST_HEAD
from hsmcore.audit.events import ACTIVATION, EVENTS, INITIALIZATION, JOINED, LOG_BEGINS, USER_TYPES, Event, LogType
from hsmcore.errors import Unauthenticated
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import AuditRow, Change, UserRow
from hsmcore.tables.roles import APPLIANCE_NAME, APPLIANCE_USER, UNACTIVATED_ADMIN


@dataclass(slots=True, eq=False)
class Command:
    """A command in progress. ``written`` is the response in its entry; ``None`` before it is written."""

    event: Event
    session: int
    user_name: str = ""
    role: str = ""
    secret_handle: int = 0
    public_handle: int = 0
    token_key: bool = False
    response: int = 0
    detail: str = ""
    changed: str = ""
    durable: bool = True
    written: int | None = None
    by: Session | None = None
    """The session of a command that fails if the session has ended."""

    def row(self, reboot: int) -> AuditRow:
        """Return the entry, not yet chained. A command whose session has ended meanwhile has failed."""
        variant = "token" if self.token_key else self.role
        if self.by is not None and not self.by.alive and not self.response:
            self.response = Unauthenticated.code
        return AuditRow(
            sequence=0,
            time=time.time_ns() // 1000,
            reboot=reboot,
            opcode=self.event.variants.get(variant, self.event.opcode),
            session=self.session,
            response=self.response,
            log_type=self.event.log_type.value,
            user_name=self.user_name,
            user_type=USER_TYPES.get(self.role, 0),
            secret_handle=self.secret_handle,
            public_handle=self.public_handle,
            detail=self.detail,
            changed=self.changed,
        )


def event_of(operation: str) -> Event:
    """Return the event of a service's method, ``service.method``.

    Raises:
        LookupError: ``EVENTS`` has no row for it.
    """
    event = EVENTS.get(operation)
    if event is None:
        raise LookupError(f"the table EVENTS of hsmcore.audit.events has no row {operation!r}; add one")
    return event


def first_entries(users: Sequence[UserRow], changes: Sequence[Change]) -> list[AuditRow]:
    """Return the entries of an initialisation, not yet chained.

    Args:
        users: The first users, the admin first.
        changes: The changes of rows, which the last entry names.
    """
    about = {LogType.USER: (APPLIANCE_NAME, APPLIANCE_USER)}
    commands = [Command(event, 0, *about.get(event.log_type, ("", ""))) for event in INITIALIZATION]
    if users[0].role != UNACTIVATED_ADMIN:
        commands.append(Command(ACTIVATION, 0, users[0].username, UNACTIVATED_ADMIN))
    commands.extend(Command(EVENTS["users.create"], 0, user.username, user.role) for user in users[1:])
    commands[-1].changed = " ".join(map(str, changes))
    return [command.row(FIRST_HEAD.reboot) for command in commands]


def joining(name: str) -> list[AuditRow]:
    """Return the first entry, not yet chained, of an HSM that joins a cluster."""
    return [Command(JOINED, 0, detail=f"{name} joined the cluster").row(FIRST_HEAD.reboot)]


def beginning() -> list[AuditRow]:
    """Return the first entry, not yet chained, of the log of an HSM that is older than logs."""
    command = Command(LOG_BEGINS, 0, detail="the HSM is older than its audit log, which begins here")
    return [command.row(FIRST_HEAD.reboot)]
