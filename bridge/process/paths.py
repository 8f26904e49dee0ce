"""Paths in a state directory that clients and the daemon need, of the provider's jar, and of the JDK's programs."""

from __future__ import annotations

import os
from pathlib import Path

from hsmcore.errors import StateError

GROUP_DIRECTORY = Path("/run/hsmbridge")
"""Directory of the socket for a group of operating-system users; systemd makes it."""
_LONGEST = 107
"""Longest path of a Unix socket on Linux, in bytes (``sockaddr_un.sun_path`` has 108 with the final NUL)."""


def default_home() -> Path:
    """Return ``$HSM_HOME``, or else ``hsmbridge`` in the XDG data directory, as the Java side does."""
    named = os.environ.get("HSM_HOME")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "hsmbridge"


def socket_path(home: Path) -> Path:
    """Return the path of the daemon's socket.

    Raises:
        StateError: The path is too long for a socket.
    """
    path = home.absolute() / "hsm.sock"
    length = len(os.fsencode(path))
    if length > _LONGEST:
        raise StateError(f"{path} has {length} bytes and a socket's path at most {_LONGEST}; choose a shorter HSM_HOME")
    return path


def log_path(home: Path) -> Path:
    """Return the path of the daemon's log."""
    return home / "hsm.log"


def provider_jar() -> Path:
    """Return the path of the provider's jar.

    Raises:
        StateError: The jar was not built.
    """
    jar = Path(__file__).parent.with_name("hsmbridge.jar")
    if not jar.is_file():
        raise StateError(f"{jar} is missing; installing the package builds it (pip install, or make install)")
    return jar


def jdk_program(name: str) -> str | None:
    """Return the path of a program of the JDK, in ``JAVA_HOME`` or else on ``PATH``; ``None`` if it is missing."""
    # Imported here: most commands run no Java.
    import shutil

    java_home = os.environ.get("JAVA_HOME")
    return shutil.which(str(Path(java_home) / "bin" / name) if java_home else name)


def no_program(name: str) -> str:
    """Return the message about a program of the JDK that ``jdk_program`` does not find."""
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        return f"JAVA_HOME is {java_home}, which has no bin/{name}; set it to a JDK 17 or later, or unset it"
    return (
        f"no {name} on PATH, and JAVA_HOME is not set; install a JDK 17 or later (Debian: apt install "
        "default-jdk-headless); `hsm doctor` shows what this machine has"
    )
