"""``python -m bridge`` is the ``hsm`` command."""

from __future__ import annotations

from bridge.cli import main

main()
