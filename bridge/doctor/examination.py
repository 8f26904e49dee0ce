"""All checks, in the order in which one depends on another."""

from __future__ import annotations

from pathlib import Path

from bridge.doctor import java, packages, settings, state
from bridge.doctor.finding import Finding


def examine(home: Path) -> list[Finding]:
    """Return the findings about this installation and a state directory.

    Args:
        home: The state directory.
    """
    return [*packages.checks(), *java.checks(), *state.checks(home), *settings.checks(home)]
