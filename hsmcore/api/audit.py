"""The audit log, as an admin reads it."""

from __future__ import annotations

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.audit.verification import Verification
from hsmcore.sessions.session import Session
from hsmcore.storage.rows import AuditRow


class AuditService:
    """Reads and verifies the audit log."""

    def __init__(self, core: Core) -> None:
        self._log = core.log

    @guarded
    def entries(self, session: Session, first: int, limit: int = 0) -> list[AuditRow]:
        """Return at most 1000 entries of the audit log.

        Args:
            session: A session of an admin.
            first: The sequence number of the first entry.
            limit: A smaller maximum; 0 for 1000.
        """
        return self._log.entries(first, limit)

    @guarded
    def verify(self, session: Session, anchor: str | None = None) -> Verification:
        """Verify every entry of the audit log.

        Args:
            session: A session of an admin.
            anchor: An anchor of an earlier verification, with which the log is compared too.

        Raises:
            AuditAnchorInvalid: The text is not an anchor.
        """
        return self._log.verify(anchor)
