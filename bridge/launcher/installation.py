"""Installs the provider as CloudHSM does: ``java/cloudhsm-jce-<version>.jar`` and ``etc/cloudhsm-jce.cfg``."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from hsmcore.files import write_whole

CLIENT_VERSION = "5.18.0"
"""The version of AWS CloudHSM's Client SDK that the jar's public API matches."""
_OURS = "Implementation-Title: hsmbridge"
_PORT = 2223


def install(folder: Path, jar: Path, socket: Path) -> list[Path]:
    """Install the jar below ``folder`` and, if it is missing, a configuration for the daemon at ``socket``.

    Jars of earlier versions are removed, so that ``java/*`` on a class path has one provider. Each file is complete at
    every moment. Returns the installed files.

    Raises:
        FileExistsError: ``folder/java`` has another product's jar.
        OSError: A file cannot be written.
    """
    java = folder / "java"
    java.mkdir(parents=True, exist_ok=True)
    target = java / f"cloudhsm-jce-{CLIENT_VERSION}.jar"
    present = sorted(java.glob("cloudhsm*.jar"))
    for found in present:
        if not _is_ours(found):
            raise FileExistsError(f"{found} is not from hsmbridge; move it away, or install into another directory")
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
    """Return the configuration in the form that ``configure-jce`` writes, with the socket's path as the host."""
    server = {"hostname": str(socket), "port": _PORT, "enable": True}
    cluster = {"servers": [server], "options": {"disable_key_availability_check": True}}
    return {
        "clusters": [{"type": "hsm2m", "cluster": cluster}],
        "logging": {"log_type": "term", "log_level": "error", "log_interval": "daily"},
    }


def _put(path: Path, content: bytes) -> None:
    """Write a file that everyone may read, unless it has this content already."""
    if path.is_file() and path.read_bytes() == content:
        return
    write_whole(path, content, mode=0o644)
