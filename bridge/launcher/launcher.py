"""``hsm java``, ``hsm keytool`` and ``hsm jarsigner``: run an ordinary command line in one process with the HSM.

The provider is registered last, so that the JDK's defaults stay as they are. Credentials come from ``HSM_USER`` and
``HSM_PASSWORD``, as in a stock JVM. If a daemon has the state directory open, the JVM connects to its socket instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bridge.launcher.commandline import CommandLine, UsageError, parse_java, parse_tool
from bridge.process.hardening import no_core_dump
from bridge.process.logins import from_environment
from bridge.process.paths import jdk_program, no_program, socket_path
from hsmcore import Hsm
from hsmcore.errors import HsmError, StateLocked
from hsmcore.tables.roles import CRYPTO_USER

_INFORMATION = ("-version", "--version", "-fullversion", "-help", "--help", "-h", "-?", "-X", "--help-extra")
_HELP = ("-help", "--help", "-h", "-?")
_USAGE, _FAILED = 2, 1


def launch(tool: str, words: Sequence[str], home: Path, *, passphrase: bytes | None = None) -> int:
    """Run ``tool`` (``java``, ``keytool`` or ``jarsigner``) and return its exit code.

    Java's ``System.exit`` ends this process with its code instead of returning. Messages go to standard error.
    """
    if _asks_for_information(tool, words):
        if program := jdk_program(tool):
            return os.spawnv(os.P_WAIT, program, [tool, *words])
        if tool == "java":
            print(f"hsm java: {no_program(tool)}", file=sys.stderr)
            return _FAILED
    try:
        line = parse_java(words) if tool == "java" else parse_tool(words)
        return _run(tool, line, home, passphrase)
    except UsageError as error:
        print(f"hsm {tool}: {error}", file=sys.stderr)
        return _USAGE
    except HsmError as error:
        print(f"hsm {tool}: {error}", file=sys.stderr)
        return _FAILED


def _run(tool: str, line: CommandLine, home: Path, passphrase: bytes | None) -> int:
    # Imported here so that a wrong command line fails without loading JPype.
    from bridge.carriers import jvm

    with ExitStack() as stack:
        # The given options come last, so that they win.
        options = [*(jvm.QUICK if tool == "keytool" else ()), *line.options]
        _name_user()
        try:
            hsm = stack.enter_context(Hsm.open(home, passphrase=passphrase, start=False))
        except StateLocked:
            hsm = None
            options.append(f"-Dhsmbridge.socket={socket_path(home)}")
        jvm.start(options, line.class_path, own_signals=False)
        if hsm is not None:
            # A crash of the JVM must not write keys to a file. Debuggers and jstack must work, so it stays dumpable.
            no_core_dump()
            stack.callback(jvm.install(hsm).close)
        code = _register() or _tool(tool, line)
        # Waits for the program's remaining threads, as java does, while the HSM is still open.
        jvm.shutdown()
        return code


def _tool(tool: str, line: CommandLine) -> int:
    from bridge.carriers import jvm

    if tool == "java":
        return jvm.run_main(line.main_class, line.arguments)
    return {"keytool": jvm.run_keytool, "jarsigner": jvm.run_jarsigner}[tool](line.arguments)


def _name_user() -> None:
    """Give the provider the crypto user of CloudHSM's variables, if there is one: Java reads hsmbridge's own."""
    login = from_environment((CRYPTO_USER,))
    if login is not None:
        os.environ["HSM_USER"], os.environ["HSM_PASSWORD"] = login.username, os.fsdecode(login.password)


def _register() -> int:
    """Register the provider and return 0, or an exit code if ``HSM_USER`` or ``HSM_PASSWORD`` is wrong."""
    from bridge.carriers import jvm

    try:
        jvm.add_provider()
    except jvm.JavaError as error:
        print(
            f"hsm: the provider was not registered: {error}; its login is in HSM_USER and HSM_PASSWORD", file=sys.stderr
        )
        return _FAILED
    return 0


def _asks_for_information(tool: str, words: Sequence[str]) -> bool:
    """Tell whether the words ask for a version or help, for which no HSM is needed."""
    if tool == "java":
        return bool(words) and words[0] in _INFORMATION
    return not words or words[0] in _HELP or words[-1] in _HELP
