"""The state of an ephemeral HSM, in place of a state directory. It is in memory and ends with the process."""

from __future__ import annotations

from pathlib import Path


class MemoryState:
    """Holds the audit log's anchor; the master key and the database are in memory too."""

    home: Path | None = None
    backups: Path | None = None

    def __init__(self) -> None:
        self._anchors: list[bytes] = []

    def close(self) -> None:
        """Forget the anchor."""
        self._anchors.clear()

    def read_anchors(self) -> list[bytes]:
        """Return the last anchor; none before the first."""
        return list(self._anchors)

    def write_anchor(self, anchor: bytes) -> None:
        """Keep the anchor in place of the last one."""
        self._anchors = [anchor]
