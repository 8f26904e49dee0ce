"""The process in which a daemon makes a large backup: ``python -m bridge.process.backing_up``."""

from __future__ import annotations

import sys

from bridge.process.hardening import harden

COMMAND = (sys.executable, "-m", "bridge.process.backing_up")
"""Its command line."""

if __name__ == "__main__":
    from hsmcore.backup import worker

    harden()
    worker.main()
