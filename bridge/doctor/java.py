"""Checks of the JDK: its version, its tools, the JVM of ``hsm java``, and the providers that it registers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.doctor.finding import Finding, fail, ok, warn
from bridge.process.paths import jdk_program
from hsmcore.errors import HsmError

_OLDEST, _WANTED = 11, 17
"""The oldest Java version that loads the provider, and the oldest that has all of it and builds it."""
_PROVIDER = ("CloudHSM", "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider")
"""The names by which ``java.security`` may register the provider."""
_INSTALL = "install a JDK 17 or later (Debian: apt install default-jdk-headless), or set JAVA_HOME to one"
_TOOLS = {
    "javac": "install a JDK, not a run-time image only (Debian: apt install default-jdk-headless)",
    "keytool": _INSTALL,
    "jarsigner": "install a JDK, not a run-time image only (Debian: apt install default-jdk-headless)",
}
_PROPERTIES = re.compile(r"-Djava\.security\.properties=(=?)(\S+)")
_LINE = re.compile(r"^[ \t]*security\.provider\.(\d+)[ \t]*[=:][ \t]*(\S+)", re.MULTILINE)
_SECONDS = 30.0
"""Longest wait for the JVM, in seconds."""


@dataclass(frozen=True, slots=True)
class _Java:
    program: str
    version: str
    release: int
    home: Path


def checks() -> Iterator[Finding]:
    """Check the JDK that programs of this environment find."""
    program = jdk_program("java")
    named = os.environ.get("JAVA_HOME")
    if program is None and named:
        yield fail("Java", f"JAVA_HOME is {named}, which has no bin/java", "set JAVA_HOME to a JDK, or unset it")
        return
    if program is None:
        yield fail("Java", "no java on PATH, and JAVA_HOME is not set", _INSTALL)
        return
    java = _examined(program)
    if isinstance(java, Finding):
        yield java
        return
    yield _version(java)
    for tool, cure in _TOOLS.items():
        path = jdk_program(tool)
        yield ok(tool, path) if path else warn(tool, f"no {tool} in JAVA_HOME or on PATH", cure)
    yield _in_process()
    yield _registration(java)


def _examined(program: str) -> _Java | Finding:
    """Return the properties of the JVM, or a finding about a program that does not tell them."""
    try:
        done = subprocess.run(
            [program, "-XshowSettings:properties", "-version"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return fail("Java", f"{program} does not run: {type(error).__name__}", _INSTALL)
    told = dict(re.findall(r"^\s+(java\.[\w.]+) = (.*?)\s*$", done.stdout + done.stderr, re.MULTILINE))
    release = told.get("java.specification.version", "").removeprefix("1.")
    if done.returncode != 0 or not release.isdecimal() or "java.home" not in told:
        return fail("Java", f"{program} does not tell its version", _INSTALL)
    return _Java(program, told.get("java.version", release), int(release), Path(told["java.home"]))


def _version(java: _Java) -> Finding:
    found = f"Java {java.version}, {java.program}"
    if java.release < _OLDEST:
        return fail("Java", f"{found}: the provider needs Java {_OLDEST} or later", _INSTALL)
    if java.release < _WANTED:
        return warn("Java", f"{found}: it has no Unix sockets, so it does not reach a daemon without TLS", _INSTALL)
    return ok("Java", found)


def _in_process() -> Finding:
    """Check the JVM that ``hsm java``, ``hsm keytool``, ``hsm jarsigner`` and pytest load."""
    check = "JVM in process"
    try:
        # Imported here: it loads JPype, whose absence is a finding of another check.
        from bridge.carriers.jvm import library

        return ok(check, library())
    except (ImportError, OSError, HsmError) as error:
        return fail(check, f"`hsm java` finds no libjvm.so: {error}", _INSTALL)


def _registration(java: _Java) -> Finding:
    """Check at which position of the JVM's provider list the provider is."""
    check = "Provider"
    try:
        places, names = _providers(java.home)
    except OSError as error:
        return fail(check, f"{error.filename} cannot be read: {error.strerror}", "install the JDK again")
    ours = sorted(number for number, name in names.items() if name in _PROVIDER)
    if not ours:
        found = f"not in {places}; programs name it themselves: -providerpath, -addprovider, Security.addProvider"
        return ok(check, found)
    position = ours[0]
    gap = next((number for number in range(1, position) if number not in names), None)
    if gap is not None:
        return fail(
            check, f"position {position} of {places}, but nothing is at {gap}, where the JVM stops reading",
            "number the lines security.provider.N without a gap",
        )  # fmt: skip
    if len(ours) > 1:
        return warn(check, f"positions {', '.join(map(str, ours))} of {places}", "remove all lines but one")
    if position == 1:
        return warn(
            check, f"position 1 of {places}: the JVM asks it for its own algorithms first",
            "give it the last position, unless docs/consumers.md says otherwise for your program",
        )  # fmt: skip
    return ok(check, f"position {position} of {len(names)} in {places}; its jar must be on the class path")


def _providers(home: Path) -> tuple[str, dict[int, str]]:
    """Return the files with the JVM's provider list, and the list: that of the JDK, changed by the options' file.

    Raises:
        OSError: A file cannot be read.
    """
    files = [home / "conf" / "security" / "java.security"]
    options = " ".join(os.environ.get(name, "") for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"))
    for replaces, name in _PROPERTIES.findall(options):
        file = Path(name.removeprefix("file:"))
        files = [file] if replaces else [*files, file]
    names: dict[int, str] = {}
    for file in files:
        names |= {int(number): name for number, name in _LINE.findall(file.read_text(encoding="latin-1"))}
    return " and ".join(map(str, files)), names
