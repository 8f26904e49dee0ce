"""The build back end's hook: puts the provider's jar and the native libraries into the wheel."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProviderJarHook(BuildHookInterface[Any]):
    """Builds ``bridge/hsmbridge.jar`` and the native libraries before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build both; ``version`` is the kind of wheel, not a number.

        Ends the build where no JDK is found. Where no C compiler is, the wheel has no library and fits every platform.
        """
        root = Path(self.root)
        # The back end loads this file by its path, so the folder it lies in is not on the module path.
        sys.path[:0] = [str(root / "java"), str(root / "bridge" / "native")]
        try:
            import build_library

            import build_artifacts
            import build_jar
            import build_junit
        finally:
            del sys.path[:2]
        # What `make install` has just built stays: a program of the clone may run with it.
        common = (root / "pyproject.toml", root / "java" / "build_jar.py", root / "hsmcore" / "tables")
        try:
            if not build_jar.is_current(root / build_jar.JAR, *common, root / "java" / "src" / "main"):
                build_jar.build(root)
            if not build_jar.is_current(root / build_junit.JAR, root / build_jar.JAR, root / "java" / "junit5" / "src"):
                build_junit.build(root)
            if version == "standard":
                build_artifacts.build(root)
        except build_jar.BuildError as error:
            sys.exit(f"error: {error}")
        try:
            build_library.build(root)
            if build_library.build_engine(root) is None:
                self.app.display_warning(build_library.ENGINE_MISSING)
        except build_library.CompilerMissing as missing:
            self.app.display_warning(str(missing))
            return
        build_data["pure_python"] = False
        built = (root / build_library.LIBRARY, root / build_library.ENGINE)
        build_data["tag"] = f"py3-none-{_platform(built)}"


def _platform(libraries: Iterable[Path]) -> str:
    """Return the platform tag of a wheel with these libraries, as far as they were built.

    On Linux it names the newest version of glibc whose symbols they use (PEP 600), so that older systems refuse the
    wheel and all others accept it.
    """
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if not platform.startswith("linux_") or "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE")):
        return platform
    content = b"".join(library.read_bytes() for library in libraries if library.is_file())
    minor = max((int(number) for number in re.findall(rb"GLIBC_2\.(\d+)", content)), default=17)
    return f"manylinux_2_{minor}_{platform.removeprefix('linux_')}"
