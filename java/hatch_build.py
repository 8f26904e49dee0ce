"""The build back end's hook: compiles the provider and puts its jar into the wheel, or beside an editable install."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProviderJarHook(BuildHookInterface[Any]):
    """Builds ``bridge/hsmbridge.jar`` before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the jar; ``version`` is the kind of wheel, not a number. Ends the build where no JDK is found."""
        root = Path(self.root)
        # The back end loads this file by its path, so the folder it lies in is not on the module path.
        sys.path.insert(0, str(root / "java"))
        try:
            import build_artifacts
            import build_jar
            import build_junit
        finally:
            del sys.path[0]
        try:
            build_jar.build(root)
            build_junit.build(root)
            if version == "standard":
                build_artifacts.build(root)
        except build_jar.BuildError as error:
            sys.exit(f"error: {error}")
