"""``python -m tests.fork_server SOCKET``: forks processes until its standard input ends."""

from __future__ import annotations

import atexit
import fcntl
import gc
import io
import multiprocessing
import os
import pickle
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from bridge.cli import daemon
from bridge.cli.commands import hsm
from tests import password_cost

from . import NUMBER, Forked, Request, asked

_WAITING = 500
"""The lowest number of a received descriptor that waits for its place; no place is as high."""
_MOST = 16
"""The most descriptors of a request."""
_PRELOADED = (
    "bridge.server.dispatch",
    "bridge.carriers.server",
    "prometheus_client.exposition",
    "sqlalchemy.dialects.sqlite",
)
"""Modules that are imported when they are needed, beside those of the commands."""


def _serve(address: str) -> None:
    """Fork for each request until standard input ends."""
    context = multiprocessing.get_context("fork")
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as waiting:
        listener.bind(address)
        listener.listen()
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in waiting.select():
                if key.fd == 0:
                    return
                if key.fileobj is not listener:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    _tell_end(*key.data)
                    continue
                connection, _ = listener.accept()
                request, descriptors = _received(connection)
                process = context.Process(target=_run, args=(request, descriptors))
                process.start()
                assert process.pid is not None
                for descriptor in descriptors:
                    os.close(descriptor)
                # A command that was killed no longer waits for its daemon.
                with suppress(OSError):
                    connection.sendall(NUMBER.pack(process.pid))
                waiting.register(os.pidfd_open(process.pid), selectors.EVENT_READ, (process, connection))


def _received(connection: socket.socket) -> tuple[Request, list[int]]:
    head, descriptors, _, _ = socket.recv_fds(connection, NUMBER.size, _MOST)
    with connection.makefile("rb") as file:
        request: Request = pickle.loads(file.read(NUMBER.unpack(head)[0]))  # noqa: S301
        return request, descriptors


def _tell_end(process: BaseProcess, connection: socket.socket) -> None:
    process.join()
    assert process.exitcode is not None
    # Nobody waits for a daemon.
    with connection, suppress(OSError):
        connection.sendall(NUMBER.pack(process.exitcode))


def _run(request: Request, descriptors: list[int]) -> None:
    """Run a console script in a new process."""
    _become(request, descriptors)
    try:
        _SCRIPTS[request.words[0]]()
    finally:
        # A forked process ends without it. It does not free each object of the loaded modules, which takes long.
        atexit._run_exitfuncs()


def _become(request: Request, descriptors: list[int]) -> None:
    """Make this process what the request wants."""
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _WAITING) for descriptor in descriptors]
    os.closerange(0, _WAITING)
    for descriptor, place in zip(moved, request.places, strict=True):
        os.dup2(descriptor, place)
    os.closerange(_WAITING, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.new_session:
        os.setsid()
    if request.file_size_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request.file_size_limit, request.file_size_limit))
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = list(request.words)
    for name, place, mode, buffering in (("stdin", 0, "r", -1), ("stdout", 1, "w", -1), ("stderr", 2, "w", 1)):
        as_started = getattr(sys, name)
        stream = open(place, mode, buffering, as_started.encoding, as_started.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)


def _daemon(
    command: Sequence[str], *, stdin: int, stdout: io.FileIO, stderr: io.FileIO, pass_fds: Sequence[int],
    start_new_session: bool, env: Mapping[str, str],
) -> Forked:  # fmt: skip
    """Fork a daemon; the parameters are those with which ``hsm start`` calls ``subprocess.Popen``."""
    assert stdin == subprocess.PIPE
    assert list(command[:3]) == [sys.executable, "-m", "bridge"]
    reader, writer = os.pipe()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    request = Request(
        ("hsm", *command[3:]), dict(env), Path.cwd(), (0, 1, 2, *pass_fds), start_new_session,
        None if limit == resource.RLIM_INFINITY else limit,
    )  # fmt: skip
    passed = [os.dup(descriptor) for descriptor in (stdout.fileno(), stderr.fileno(), *pass_fds)]
    forked = asked(_ADDRESS, request, (reader, *passed))
    return replace(forked, stdin=os.fdopen(writer, "wb"))


def _scripts() -> dict[str, Callable[[], Any]]:
    """Return the main functions of the console scripts, with all that they import."""
    context = click.Context(hsm)
    for name in hsm.list_commands(context):
        hsm.get_command(context, name)
    for name in _PRELOADED:
        import_module(name)
    scripts = entry_points(group="console_scripts")
    return {script.name: script.load() for script in scripts if script.value.startswith("bridge.")}


if __name__ == "__main__":
    _ADDRESS, _SCRIPTS = sys.argv[1], _scripts()
    daemon.subprocess = SimpleNamespace(Popen=_daemon, PIPE=subprocess.PIPE)  # type: ignore[attr-defined, assignment]
    password_cost.lower()
    gc.freeze()
    # Ctrl-C at the terminal of the tests ends them, and they end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(_ADDRESS)
    shutil.rmtree(Path(_ADDRESS).parent)
    # Python would wait for the processes that are left.
    os._exit(0)
