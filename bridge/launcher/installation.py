"""The provider where code written for CloudHSM looks: ``java/cloudhsm-jce-<version>.jar``, ``etc/cloudhsm-jce.cfg``."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from hsmcore.files import write_whole

CLIENT_VERSION = "5.18.0"
"""The version of AWS CloudHSM's Client SDK whose public API the jar has."""
_OURS = "Implementation-Title: hsmbridge"
_PORT = 2223


def install(folder: Path, jar: Path, socket: Path) -> list[Path]:
    """Install the jar below ``folder``, and a configuration that leads to the daemon at ``socket`` if there is none.

    The jar is the only one of its kind in ``folder/java``, so that ``java/*`` on a class path has one provider: those
    that an earlier version installed go. Each file is whole at every moment. Returns the files that are now there.
    Raises ``FileExistsError`` where another product's jar is, and ``OSError``.
    """
    java = folder / "java"
    java.mkdir(parents=True, exist_ok=True)
    target = java / f"cloudhsm-jce-{CLIENT_VERSION}.jar"
    present = sorted(java.glob("cloudhsm*.jar"))
    for found in present:
        if not _is_ours(found):
            raise FileExistsError(f"{found} is not of hsmbridge; move it away, or install into another directory")
    _put(target, jar.read_bytes())
    for old in present:
        if old != target:
            old.unlink(missing_ok=True)
    configuration = folder / "etc" / "cloudhsm-jce.cfg"
    if not configuration.exists():
        configuration.parent.mkdir(parents=True, exist_ok=True)
        _put(configuration, json.dumps(_configuration(socket), indent=2).encode() + b"\n")
    return [target, configuration]


def _is_ours(jar: Path) -> bool:
    try:
        with ZipFile(jar) as archive:
            return _OURS in archive.read("META-INF/MANIFEST.MF").decode()
    except (BadZipFile, KeyError, UnicodeDecodeError):
        return False


def _configuration(socket: Path) -> dict[str, object]:
    """Return the configuration in the shape that ``configure-jce`` writes; a socket's path stands for a host."""
    server = {"hostname": str(socket), "port": _PORT, "enable": True}
    cluster = {"servers": [server], "options": {"disable_key_availability_check": True}}
    return {
        "clusters": [{"type": "hsm2m", "cluster": cluster}],
        "logging": {"log_type": "term", "log_level": "error", "log_interval": "daily"},
    }


def _put(path: Path, content: bytes) -> None:
    """Write a file that anybody may read, unless it has this content already."""
    if path.is_file() and path.read_bytes() == content:
        return
    write_whole(path, content, mode=0o644)
