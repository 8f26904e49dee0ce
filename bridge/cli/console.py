"""``hsm console``: a web page of the HSM on the loopback interface."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from bridge.carriers.client import Client
from bridge.process.hardening import no_core_dump
from bridge.process.logins import SECRETS


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True,
    help="The port of 127.0.0.1; 0 is any free port.",
)  # fmt: skip
@click.pass_obj
def console(home: Path, port: int) -> None:
    """Serve a web page with the HSM's state, keys, users, approvals and audit log, until Ctrl-C.

    The page needs a running daemon and a login of an admin or a crypto user, and shows what that user may read. Open
    the whole address that the command prints: its last part is a secret that only this terminal shows.

    \b
    Example:
      hsm start --metrics-port 0
      hsm console
    """
    # Imported here, so that other commands start without an HTTP server.
    from bridge.console.server import Console

    no_core_dump()
    for name in SECRETS:
        os.environ.pop(name, None)
    with Client.connect(home):
        pass
    with Console(home, port) as server:
        stop = threading.Event()
        thread = threading.Thread(target=server.serve_forever, name="console", daemon=True)

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        thread.start()
        click.echo(f"Console: {server.address}")
        click.echo("Ctrl-C ends it and its logins.")
        stop.wait()
        server.shutdown()
        thread.join()
