"""The state of an ephemeral HSM, in place of a state directory. It is in memory and ends with the process."""

from __future__ import annotations

from pathlib import Path


class MemoryState:
    """Holds the audit log's anchor and the files of TLS; the master key and the database are in memory too."""

    home: Path | None = None
    backups: Path | None = None

    def __init__(self) -> None:
        self._anchors: list[bytes] = []
        self._files: dict[str, bytes] = {}

    def close(self) -> None:
        """Forget everything."""
        self._anchors.clear()
        self._files.clear()

    def read_file(self, name: str) -> bytes | None:
        """Return what was kept under a name; ``None`` where nothing was."""
        return self._files.get(name)

    def write_file(self, name: str, content: bytes) -> None:
        """Keep the content under a name."""
        self._files[name] = content

    def read_anchors(self) -> list[bytes]:
        """Return the last anchor; none before the first."""
        return list(self._anchors)

    def write_anchor(self, anchor: bytes) -> None:
        """Keep the anchor in place of the last one."""
        self._anchors = [anchor]

    def shared_store(self) -> None:
        """Return ``None``: the database is the HSM's own."""

    def forget_shared_store(self) -> None:
        """Have no effect: the HSM is in no cluster."""
