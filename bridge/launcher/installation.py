"""Installs what programs expect of CloudHSM's client, below a prefix: programs, configuration files, jar, libraries."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from hsmcore.files import write_whole

CLIENT_VERSION = "5.18.0"
"""The version of AWS CloudHSM's Client SDK that the jar's public API matches."""
_OURS = "Implementation-Title: hsmbridge"
_OUR_PROGRAM = "# This program belongs to hsmbridge."
_PORT = 2223
_PROGRAMS = {
    "cloudhsm-cli": ("cli", "from bridge.cloudhsm_cli import main; main()"),
    "configure-cli": ("cli", "from bridge.cli.configure import cli; cli(prog_name='configure-cli')"),
    "configure-jce": ("jce", "from bridge.cli.configure import jce; jce(prog_name='configure-jce')"),
}
_NATIVE_PROGRAMS = {
    "configure-pkcs11": ("pkcs11", "from bridge.cli.configure import pkcs11; pkcs11(prog_name='configure-pkcs11')"),
    "configure-dyn": ("dyn", "from bridge.cli.configure import dyn; dyn(prog_name='configure-dyn')"),
}
"""The same for the PKCS #11 library and the OpenSSL engine."""
"""Program to the component whose configuration file it uses, and its code."""
_AUTHORITY = "customerCA.crt"


@dataclass(frozen=True, slots=True)
class Parts:
    """The files to install.

    ``socket`` is that of the HSM's daemon, ``authority`` the certificate of the authority that has signed the HSM's
    certificate, which may not exist, and ``native`` the files of the PKCS #11 library and the OpenSSL engine by their
    place below the prefix, none where they were not built.
    """

    jar: Path
    socket: Path
    authority: Path
    native: Mapping[str, Path]


def install(folder: Path, parts: Parts) -> list[Path]:
    """Install below ``folder``, and return the installed files. Configuration files that are there stay as they are.

    Jars of earlier versions are removed, so that ``java/*`` on a class path has one provider. Each file is complete at
    every moment.

    Raises:
        FileExistsError: ``folder`` has another product's jar or program.
        OSError: A file cannot be written.
    """
    for name in ("java", "etc", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    installed = [_jar(folder / "java", parts.jar)]
    programs = _PROGRAMS | (_NATIVE_PROGRAMS if parts.native else {})
    for component in dict.fromkeys(component for component, _ in programs.values()):
        configuration = folder / "etc" / f"cloudhsm-{component}.cfg"
        if not configuration.exists():
            _put(configuration, json.dumps(_configuration(parts.socket), indent=2).encode() + b"\n")
        installed.append(configuration)
    if parts.authority.exists():
        _put(folder / "etc" / _AUTHORITY, parts.authority.read_bytes())
        installed.append(folder / "etc" / _AUTHORITY)
    installed += [_program(folder, name, component, code) for name, (component, code) in programs.items()]
    for place, source in parts.native.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        _put(folder / place, source.read_bytes(), mode=0o755 if place.endswith(".so") else 0o644)
        installed.append(folder / place)
    return installed


def _jar(java: Path, jar: Path) -> Path:
    target = java / f"cloudhsm-jce-{CLIENT_VERSION}.jar"
    present = sorted(java.glob("cloudhsm*.jar"))
    for found in present:
        if not _is_ours(found):
            raise FileExistsError(f"{found} is not from hsmbridge; move it away, or install into another directory")
    _put(target, jar.read_bytes())
    for old in present:
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _is_ours(jar: Path) -> bool:
    try:
        with ZipFile(jar) as archive:
            return _OURS in archive.read("META-INF/MANIFEST.MF").decode()
    except (BadZipFile, KeyError, UnicodeDecodeError):
        return False


def _program(folder: Path, name: str, component: str, code: str) -> Path:
    """Write a program that runs with this Python and, unless told otherwise, with the configuration of ``folder``.

    Raises:
        FileExistsError: Another program is there.
    """
    path = folder / "bin" / name
    if path.exists() and _OUR_PROGRAM.encode() not in path.read_bytes():
        raise FileExistsError(f"{path} is not from hsmbridge; move it away, or install into another directory")
    configuration = shlex.quote(str(folder / "etc" / f"cloudhsm-{component}.cfg"))
    run = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    if name == "cloudhsm-cli":
        lines = [f"HSM_CONFIG=${{HSM_CONFIG:-{configuration}}}", "export HSM_CONFIG", f'{run} "$@"']
    else:
        lines = [f'{run} --config {configuration} "$@"']
    _put(path, "\n".join(["#!/bin/sh", _OUR_PROGRAM, *lines, ""]).encode(), mode=0o755)
    return path


def _configuration(socket: Path) -> dict[str, object]:
    """Return the configuration in the form that ``configure-jce`` writes, with the socket's path as the host."""
    server = {"hostname": str(socket), "port": _PORT, "enable": True}
    cluster = {"servers": [server], "options": {"disable_key_availability_check": True}}
    return {
        "clusters": [{"type": "hsm2m", "cluster": cluster}],
        "logging": {"log_type": "term", "log_level": "error", "log_interval": "daily"},
    }


def _put(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that everyone may read, unless it has this content already."""
    if path.is_file() and path.read_bytes() == content:
        return
    write_whole(path, content, mode=mode)
