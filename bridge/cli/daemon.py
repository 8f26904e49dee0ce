"""``hsm start``, ``stop``, ``status`` and ``reset``, and the hidden command that runs the daemon."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import click

from bridge.carriers.client import Client, DaemonUnreachable, connected
from bridge.cli import tables
from bridge.cli.ephemeral import Ephemeral, new_home, socket_directory
from bridge.cli.settings import option, options
from bridge.process.environment import passphrase
from bridge.process.logins import SECRETS
from bridge.process.paths import log_path, socket_path
from bridge.protocol.codec import Value
from hsmcore.errors import HsmError, StateError

_START_SECONDS = 60.0
"""Time limit for a daemon to open its HSM, in seconds."""
_STOP_SECONDS = 15.0
"""Time limit for a daemon to end, in seconds; it waits up to 5 seconds for running requests."""
_READY = b"ready"
_LEVELS = ("error", "warn", "info", "debug")
"""The same as ``bridge.process.logs.LEVELS``, which this module does not import."""
_SECRETS = (*SECRETS, "HSM_PASSPHRASE")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the daemon to a command."""
    level = click.option(
        "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True,
        help="Lowest level that is logged.",
    )  # fmt: skip
    port = click.option(
        "--metrics-port", type=click.IntRange(0, 65535),
        help="Serve metrics for Prometheus and /healthz on this port of 127.0.0.1; 0 is any free port.",
    )  # fmt: skip
    days = click.option(
        "--backup-retention-days", type=click.IntRange(7, 379), default=90, show_default=True,
        help="Delete automatic and other backups of this HSM after so many days, except the newest two.",
    )  # fmt: skip
    return level(port(days(command)))


@click.command()
@_options
@click.option("--foreground", is_flag=True, help="Run in the foreground, for systemd or a container; SIGTERM ends it.")
@click.option(
    "--until-eof", is_flag=True,
    help="With --foreground: stop when standard input ends, as a pipe does with the program at its other side.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every field.")
@click.option("--ephemeral", is_flag=True, help="Make a new HSM in memory; it ends with the daemon.")
@options
@click.pass_context
def start(
    context: click.Context,
    /,
    log_level: str,
    metrics_port: int | None,
    backup_retention_days: int,
    foreground: bool,
    until_eof: bool,
    as_json: bool,
    ephemeral: bool,
    **flags: bool,
) -> None:
    """Start the daemon, and return when it answers.

    The daemon serves the HSM to every JVM of this operating-system user, through a socket in the state directory. It
    makes a backup each day, in the directory backups there.

    With --ephemeral it serves a new HSM, of which nothing is on a disk, with the users that `hsm init` would create.
    Passwords that the environment does not have are generated and printed. The socket is in HSM_HOME or, without it,
    in a new directory. The options from --non-extractable on are those of `hsm init`.

    \b
    Example:
      hsm start
      hsm start --metrics-port 9464 --log-level debug
      eval "$(hsm start --ephemeral --allow-reset)"
      keytool -list -storetype CloudHSM -keystore certs.store -storepass changeit \\
          -providerpath "$(hsm jar)" -providerclass com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider
    """
    _require_fitting(flags, foreground=foreground, until_eof=until_eof, ephemeral=ephemeral)
    home = new_home(context).absolute() if ephemeral else context.obj
    path = socket_path(home)
    made = Ephemeral.from_environment(flags) if ephemeral else None
    run = _Run(home, log_level, metrics_port, backup_retention_days, made)
    if foreground:
        run.serve(passphrase(), lambda: _say_ready(run, as_json=as_json), until_eof=until_eof)
        return
    running = _status(home)
    if running is not None and ephemeral:
        raise StateError(f"a daemon runs already for {home}; `hsm stop` ends it, or unset HSM_HOME")
    if running is not None:
        _require_metrics(running, metrics_port)
        click.echo(f"A daemon is running already, pid {running['pid']}, socket {path}")
        return
    _spawn(run)
    _say_started(run, as_json=as_json)


def _require_fitting(flags: Mapping[str, bool], *, foreground: bool, until_eof: bool, ephemeral: bool) -> None:
    """Check that options which need another one have it.

    Raises:
        UsageError: The other option is missing.
    """
    if until_eof and not foreground:
        raise click.UsageError("--until-eof needs --foreground")
    chosen = [option(name) for name, given in flags.items() if given]
    if chosen and not ephemeral:
        raise click.UsageError(f"{chosen[0]} needs --ephemeral; an HSM on disk has the settings of its `hsm init`")


def _say_ready(run: _Run, *, as_json: bool) -> None:
    """Notify the service manager, and print what a client of an HSM in memory needs."""
    _notify_systemd()
    if as_json or run.made:
        _say_started(run, as_json=as_json, pid=os.getpid())


def _say_started(run: _Run, *, as_json: bool, pid: int = 0) -> None:
    """Print the daemon's process, socket and, for an HSM in memory, logins.

    Args:
        run: The daemon.
        as_json: Print one JSON object.
        pid: The daemon's process; 0 to ask the daemon.

    Raises:
        StateError: The daemon does not answer any more.
    """
    running: dict[str, Value] | None = {"pid": pid} if pid else _status(run.home)
    if running is None:
        raise StateError(f"the daemon ended directly after its start; see {log_path(run.home)}")
    path = socket_path(run.home)
    if as_json:
        shown = {"pid": running["pid"], "home": str(run.home), "socket": str(path)}
        shown |= {name: running[name] for name in ("metrics",) if name in running}
        click.echo(json.dumps(shown | (run.made.credentials() if run.made else {})))
    elif run.made is None:
        click.echo(f"Started, pid {running['pid']}, socket {path}")
        if "metrics" in running:
            click.echo(f"Metrics: {running['metrics']}")
    else:
        click.echo(f"# An HSM in memory, pid {running['pid']}; `hsm stop` ends it and destroys its keys.")
        click.echo(f"export HSM_HOME={shlex.quote(str(run.home))}")
        click.echo(f"export HSM_USER={run.made.user} HSM_PASSWORD={shlex.quote(run.made.password)}")
        click.echo(f"export HSM_ADMIN_PASSWORD={shlex.quote(run.made.admin_password)}")


@click.command()
@click.pass_obj
def stop(home: Path) -> None:
    """Stop the daemon, and return when it has ended.

    Token keys remain. Session keys end with their sessions.

    \b
    Example:
      hsm stop
    """
    running = _status(home)
    if running is None:
        # Imported here: it loads a part of the core, which no other command of this module needs.
        from hsmcore.storage.state_directory import lock_holder

        holder = lock_holder(home)
        if holder is not None:
            raise StateError(
                f"process {holder} has {home} open, but does not answer at {socket_path(home)}: it is another command, "
                f"or a daemon that lost its socket, which `kill {holder}` stops"
            )
        click.echo(f"No daemon runs for {home}")
        return
    pid = int(str(running["pid"]))
    # A descriptor, because the process number may be reused, or stay in use if the parent never collects the process.
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        ended, _, _ = select.select([descriptor], [], [], _STOP_SECONDS)
    finally:
        os.close(descriptor)
    if not ended:
        raise StateError(
            f"the daemon, pid {pid}, has not ended after {_STOP_SECONDS:.0f} seconds; see {log_path(home)}"
        )
    click.echo("Stopped")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every field.")
@click.pass_obj
def status(home: Path, as_json: bool) -> None:
    """Show the status of the daemon; exit code 1 if it does not run.

    \b
    Example:
      hsm status --json
    """
    running = _status(home)
    if running is None:
        raise DaemonUnreachable(f"no daemon answers at {socket_path(home)}; `hsm start` starts one")
    shown = {"pid": running["pid"], "socket": str(socket_path(home))}
    shown |= {name: value for name, value in running.items() if name != "pid"}
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        click.echo(f"{name:<14} {tables.shown(value)}")


@click.command()
@click.pass_obj
def reset(home: Path) -> None:
    """Destroy all keys and users of an HSM for tests, except the users that it was made with.

    Ends all sessions, and restores the passwords and the quorum values. The audit log stays and has an entry. Only an
    HSM that was made with --allow-reset does this; it asks for no login.

    \b
    Example:
      eval "$(hsm start --ephemeral --allow-reset)"
      hsm reset
    """
    with connected(home) as client:
        client.call("RESET")
    click.echo("Reset")


@click.command("daemon-run", hidden=True)
@_options
@click.option("--ready-fd", type=int, required=True)
@click.option("--ephemeral", is_flag=True)
@click.pass_obj
def serve(
    home: Path, log_level: str, metrics_port: int | None, backup_retention_days: int, ready_fd: int, ephemeral: bool
) -> None:  # fmt: skip
    """Run the daemon, and report success or the error to ``--ready-fd``.

    Standard input has the passphrase or, with ``--ephemeral``, the HSM to make.
    """
    given = sys.stdin.buffer.read()
    made = Ephemeral.decode(given) if ephemeral else None
    run = _Run(home, log_level, metrics_port, backup_retention_days, made)

    def ready() -> None:
        # From here on no process reads the original streams.
        with Path(os.devnull if ephemeral else log_path(home)).open("ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        os.write(ready_fd, _READY)
        os.close(ready_fd)

    try:
        run.serve(None if ephemeral else given or None, ready)
    except (HsmError, OSError) as error:
        os.write(ready_fd, str(error).encode())
        raise


@dataclass(frozen=True)
class _Run:
    """A daemon to run; ``made`` is the HSM in memory that it makes, ``None`` for that of the state directory."""

    home: Path
    log_level: str
    metrics_port: int | None
    backup_days: int
    made: Ephemeral | None

    def serve(self, passphrase: bytes | None, ready: Callable[[], None], *, until_eof: bool = False) -> None:
        """Run the daemon in this process.

        Args:
            passphrase: The passphrase of the master key.
            ready: Called once the socket answers.
            until_eof: Also end when standard input ends.
        """
        # Imported here: it loads the core, which no other command of this module needs.
        from bridge.carriers import unix

        os.chdir("/")
        for name in _SECRETS:
            os.environ.pop(name, None)
        with socket_directory(self.home) if self.made else contextlib.nullcontext():
            unix.run(
                self.home,
                passphrase=passphrase,
                make=self.made.make if self.made else None,
                ready=ready,
                log_level=self.log_level,
                metrics_port=self.metrics_port,
                backup_days=self.backup_days,
                until_eof=until_eof,
            )


def _notify_systemd() -> None:
    """Notify the service manager, if there is one, that the daemon answers (sd_notify(3))."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)


def _status(home: Path) -> dict[str, Value] | None:
    try:
        with Client.connect(home) as client:
            (answer,) = client.call("STATUS")
    except DaemonUnreachable:
        return None
    if not isinstance(answer, dict):
        raise StateError("the daemon sent an unknown answer; is it of another version?")
    return answer


def _require_metrics(running: Mapping[str, Value], port: int | None) -> None:
    """Check that a running daemon serves its metrics where they are wanted.

    Raises:
        StateError: It does not.
    """
    url = str(running.get("metrics", ""))
    if port is not None and not url.startswith("http" if port == 0 else f"http://127.0.0.1:{port}/"):
        metrics = f"metrics at {url}" if url else "no metrics"
        raise StateError(
            f"a daemon is running already, pid {running['pid']}, and serves {metrics}; `hsm stop` it first"
        )


def _spawn(run: _Run) -> None:
    """Start the daemon as a separate process and wait until it is ready.

    Raises:
        StateError: The daemon did not start; the message is the daemon's.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "bridge", "--home", str(run.home), "daemon-run", "--ready-fd", str(writer)]
    command += ["--log-level", run.log_level, "--backup-retention-days", str(run.backup_days)]
    if run.metrics_port is not None:
        command += ["--metrics-port", str(run.metrics_port)]
    if run.made is not None:
        command.append("--ephemeral")
    with io.FileIO(reader) as told, TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, pass_fds=[writer],
                start_new_session=True, env=environment,
            )  # fmt: skip
        finally:
            os.close(writer)
        answer = _handed_over(process, told, run.made.encode() if run.made else passphrase() or b"")
        if answer == _READY:
            return
        errors.seek(0)
        reason = answer or errors.read().strip().rpartition(b"\n")[2] or b"the daemon ended before it was ready"
    raise StateError(reason.decode(errors="replace"))


def _handed_over(process: subprocess.Popen[bytes], told: io.FileIO, given: bytes) -> bytes:
    """Send the daemon its input and return its report, empty if it ended without one.

    Raises:
        StateError: The daemon was not ready in time and was killed.
    """
    if process.stdin is not None:
        # If the daemon has died already, the end of the other pipe shows it.
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write(given)
    if not select.select([told], [], [], _START_SECONDS)[0]:
        process.kill()
        raise StateError(f"the daemon was not ready after {_START_SECONDS:.0f} seconds and was ended")
    return told.readall()
