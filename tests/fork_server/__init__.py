"""The commands of hsmbridge as processes that a loaded interpreter forks, for a part of a start's processor time.

An interpreter that starts spends most of its time on imports. The server, one for each test process, has done them; it
forks for each request. The new process has the arguments, environment, directory and descriptors of the request, and
ends as Python ends. A daemon that ``hsm start`` begins is forked too. Password hashes cost less than elsewhere. Tests
of the start itself, of locales, and of closed or missing streams start an interpreter.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2]
NUMBER = struct.Struct("!i")
"""The form of the length of a request, and of an answer: the process identifier, and later the exit status."""
_AT_START = ("PYTHON", "LC_", "LANG", "LD_")
"""Beginnings of the names of the variables that are read when a process starts."""


@dataclass(frozen=True)
class Request:
    """A process to fork.

    ``words`` are the name of a console script and its arguments, ``places`` the numbers that the descriptors sent
    along get, ``file_size_limit`` is in bytes.
    """

    words: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    places: tuple[int, ...]
    new_session: bool = False
    file_size_limit: int | None = None


@dataclass
class Forked:
    """A process of the server, with what callers need of ``subprocess.Popen``."""

    pid: int
    connection: socket.socket = field(repr=False)
    stdin: io.BufferedWriter | None = None

    def wait(self, timeout: float) -> int:
        """Return the exit status, negative for a signal, once the process has ended; the limit is in seconds."""
        self.connection.settimeout(timeout)
        with self.connection:
            return number(self.connection)

    def kill(self) -> None:
        """End the process."""
        os.kill(self.pid, signal.SIGKILL)


def run(
    words: Sequence[str | Path], environment: Mapping[str, str], *, directory: Path | None = None, given: bytes = b"",
    file_size_limit: int | None = None, timeout: float = 120,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command to its end.

    Args:
        words: The name of a console script, and its arguments.
        environment: The whole environment.
        directory: Where it runs; the current directory unless given.
        given: Its standard input.
        file_size_limit: The largest file that it may write, in bytes.
        timeout: How long it may take, in seconds.
    """
    if _of_start(environment) != _of_start(os.environ):
        command = [str(Path(sys.executable).with_name(str(words[0]))), *words[1:]]
        done = subprocess.run(
            command, input=given, capture_output=True, env=environment, cwd=directory, timeout=timeout
        )  # fmt: skip
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())
    request = Request(
        tuple(map(str, words)), dict(environment), directory or Path.cwd(), (0, 1, 2), file_size_limit=file_size_limit
    )
    (its_input, source), (output, its_output), (errors, its_errors) = os.pipe(), os.pipe(), os.pipe()
    with ExitStack() as closing, ThreadPoolExecutor(2) as threads:
        readers = [closing.enter_context(os.fdopen(descriptor, "rb")) for descriptor in (output, errors)]
        writer = closing.enter_context(os.fdopen(source, "wb"))
        process = asked(_server()[0], request, (its_input, its_output, its_errors))
        said = [threads.submit(reader.read) for reader in readers]
        try:
            with suppress(BrokenPipeError), writer:
                writer.write(given)
            status = process.wait(timeout)
        except TimeoutError:
            process.kill()
            raise
        return subprocess.CompletedProcess(words, status, *(each.result(timeout).decode() for each in said))


def _of_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


def asked(address: str, request: Request, descriptors: Sequence[int]) -> Forked:
    """Send a request with descriptors, which are closed here, and return the process."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        content = pickle.dumps(request)
        socket.send_fds(connection, [NUMBER.pack(len(content))], descriptors)
        connection.sendall(content)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return Forked(number(connection), connection)


def number(connection: socket.socket) -> int:
    """Receive an answer."""
    (received,) = NUMBER.unpack(connection.recv(NUMBER.size, socket.MSG_WAITALL))
    return int(received)


@cache
def _server() -> tuple[str, subprocess.Popen[bytes]]:
    """Start the server of this test process, and return its address and the process, whose standard input stays open.

    It ends with this process.
    """
    address = f"{tempfile.mkdtemp()}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return address, process
