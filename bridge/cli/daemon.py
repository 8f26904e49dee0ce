"""``hsm start``, ``stop`` and ``status``, and the hidden command that runs the daemon."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import click

from bridge.carriers.client import Client, DaemonSilent, DaemonUnreachable, connected
from bridge.cli import settings, tables
from bridge.cli.ephemeral import Ephemeral, announce, new_home, socket_directory
from bridge.process.configuration import named
from bridge.process.environment import passphrase
from bridge.process.logins import SECRETS
from bridge.process.paths import GROUP_DIRECTORY, log_path, socket_path
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


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a daemon; ``made`` is the HSM in memory that it makes, ``None`` for that of the directory.

    ``socket_group`` is the name of a group that gets a socket in ``socket_directory``; empty for none.
    """

    log_level: str
    metrics_port: int | None
    listen: tuple[str, ...]
    backup_days: int
    socket_group: str = ""
    socket_directory: Path = GROUP_DIRECTORY
    made: Ephemeral | None = None

    def words(self) -> list[str]:
        """Return the options as words of a command line."""
        words = ["--log-level", self.log_level, "--backup-retention-days", str(self.backup_days)]
        if self.made is not None:
            words.append("--ephemeral")
        if self.metrics_port is not None:
            words += ["--metrics-port", str(self.metrics_port)]
        for address in self.listen:
            words += ["--listen", address]
        if self.socket_group:
            words += ["--socket-group", self.socket_group, "--socket-directory", str(self.socket_directory)]
        return words


def daemon_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the daemon to a command."""
    level = click.option(
        "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True,
        help="Lowest level that is logged.",
    )  # fmt: skip
    port = click.option(
        "--metrics-port", type=click.IntRange(0, 65535),
        help="Serve metrics for Prometheus and /healthz on this port of 127.0.0.1; 0 is any free port.",
    )  # fmt: skip
    listen = click.option(
        "--listen", multiple=True, metavar="HOST:PORT",
        help="Serve TLS 1.3 at this TCP address too; the port is 2223 if none is given. Can be repeated.",
    )  # fmt: skip
    days = click.option(
        "--backup-retention-days", type=click.IntRange(7, 379), default=90, show_default=True,
        help="Delete automatic and other backups of this HSM after so many days, except the newest two.",
    )  # fmt: skip
    group = click.option(
        "--socket-group", default="", metavar="GROUP",
        help="Serve the members of this operating-system group too, at a second socket. Its name is hsm.sock.",
    )  # fmt: skip
    directory = click.option(
        "--socket-directory", type=click.Path(path_type=Path, file_okay=False), default=GROUP_DIRECTORY,
        show_default=True, metavar="DIR", help="The directory of that socket, which is HSM_HOME for the members.",
    )  # fmt: skip
    return level(port(listen(days(group(directory(command))))))


@click.command()
@daemon_options
@click.option("--foreground", is_flag=True, help="Run in the foreground, for systemd or a container; SIGTERM ends it.")
@click.option(
    "--until-eof", is_flag=True,
    help="With --foreground: stop when standard input ends, as a pipe does with the program at its other side.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every field.")
@click.option("--ephemeral", is_flag=True, help="Make a new HSM in memory; it ends with the daemon.")
@settings.options
@click.pass_context
def start(
    context: click.Context, /, log_level: str, metrics_port: int | None, listen: tuple[str, ...],
    backup_retention_days: int, socket_group: str, socket_directory: Path, foreground: bool, until_eof: bool,
    as_json: bool, ephemeral: bool, **flags: bool,
) -> None:  # fmt: skip
    """Start the daemon, and return when it answers.

    The daemon serves the HSM to every JVM of this operating-system user, through a socket in the state directory. It
    makes a backup each day, in the directory backups there. With --listen it also serves clients on other machines;
    `hsm cluster initialize` gives it the certificate for that. With --socket-group it also serves other
    operating-system users of this machine.

    With --ephemeral it serves a new HSM, of which nothing is on a disk, with the users that `hsm init` would create.
    Passwords that the environment does not have are generated and printed. The socket is in HSM_HOME or, without it,
    in a new directory. The options from --non-extractable on are those of `hsm init`.

    \b
    Example:
      hsm start
      hsm start --listen 127.0.0.2:2223
      hsm start --metrics-port 9464 --log-level debug
      hsm start --socket-group hsmusers --socket-directory /run/hsmbridge
      eval "$(hsm start --ephemeral --allow-reset)"
      keytool -list -storetype CloudHSM -keystore certs.store -storepass changeit \\
          -providerpath "$(hsm jar)" -providerclass com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider
    """
    _require_fitting(flags, foreground=foreground, until_eof=until_eof, ephemeral=ephemeral)
    home: Path = new_home(context).absolute() if ephemeral else context.obj
    path = socket_path(home)
    made = Ephemeral.from_environment(flags) if ephemeral else None
    options = Options(
        log_level, metrics_port, listen, backup_retention_days, socket_group, socket_directory.absolute(), made
    )

    def ready() -> None:
        _notify_systemd()
        if as_json or made:
            announce({"pid": os.getpid()}, home, made, as_json=as_json)

    if foreground:
        _serve(home, passphrase(), ready, options, until_eof=until_eof)
        return
    running = _status(home)
    if running is not None and made:
        raise StateError(f"a daemon runs already for {home}; `hsm stop` ends it, or unset HSM_HOME")
    if running is not None:
        _require_metrics(running, metrics_port)
        _require_group(running, options)
        click.echo(f"A daemon is running already, pid {running['pid']}, socket {path}")
        return
    _spawn(home, options)
    running = _status(home)
    if running is None:
        raise StateError(f"the daemon ended directly after its start; see {log_path(home)}")
    announce(running, home, made, as_json=as_json)


def _require_fitting(flags: Mapping[str, bool], *, foreground: bool, until_eof: bool, ephemeral: bool) -> None:
    """Check that options which need another one have it.

    Raises:
        UsageError: The other option is missing.
    """
    if until_eof and not foreground:
        raise click.UsageError("--until-eof needs --foreground")
    chosen = [settings.option(name) for name, given in flags.items() if given]
    if chosen and not ephemeral:
        raise click.UsageError(f"{chosen[0]} needs --ephemeral; an HSM on disk has the settings of its `hsm init`")


@click.command()
@click.pass_obj
def stop(home: Path) -> None:
    """Stop the daemon, and return when it has ended.

    Token keys remain. Session keys end with their sessions.

    \b
    Example:
      hsm stop
    """
    try:
        running = _status(home)
    except DaemonSilent:
        running = None
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
    if running.get("ephemeral") and os.environ.get("HSM_HOME") == str(home):
        click.echo("Its HSM is gone: unset HSM_HOME HSM_USER HSM_PASSWORD HSM_ADMIN_PASSWORD", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every field.")
@click.pass_obj
def status(home: Path, as_json: bool) -> None:
    """Show the status of the daemon; exit code 1 if it does not run.

    \b
    Example:
      hsm status --json
    """
    place = str(named() or socket_path(home))
    if named() is not None:
        with connected(home) as client:
            running: dict[str, Value] | None = _map(*client.call("STATUS"))
    else:
        running = _status(home)
    if running is None:
        raise DaemonUnreachable(f"no daemon answers at {place}; `hsm start` starts one")
    shown = {"pid": running["pid"], "configuration" if named() else "socket": place}
    shown |= {name: value for name, value in running.items() if name != "pid"}
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        for text in map(_member, tables.maps(value)) if name == "hsms" else [tables.shown(value)]:
            click.echo(f"{name:<14} {text}")


@click.command("daemon-run", hidden=True)
@daemon_options
@click.option("--ready-fd", type=int, required=True)
@click.option("--ephemeral", is_flag=True)
@click.pass_obj
def serve(
    home: Path, log_level: str, metrics_port: int | None, listen: tuple[str, ...], backup_retention_days: int,
    socket_group: str, socket_directory: Path, ready_fd: int, ephemeral: bool,
) -> None:  # fmt: skip
    """Run the daemon, and report success or the error to ``--ready-fd``.

    Standard input has the passphrase or, with ``--ephemeral``, the HSM to make.
    """
    given = sys.stdin.buffer.read()
    made = Ephemeral.decode(given) if ephemeral else None
    options = Options(
        log_level, metrics_port, listen, backup_retention_days, socket_group, socket_directory, made
    )  # fmt: skip

    def ready() -> None:
        # From here on no process reads the original streams.
        with Path(os.devnull if ephemeral else log_path(home)).open("ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        os.write(ready_fd, _READY)
        os.close(ready_fd)

    try:
        _serve(home, None if ephemeral else given or None, ready, options)
    except (HsmError, OSError) as error:
        os.write(ready_fd, str(error).encode())
        raise


def _serve(
    home: Path, passphrase: bytes | None, ready: Callable[[], None], options: Options, *, until_eof: bool = False
) -> None:
    # Imported here: it loads the core, which no other command of this module needs.
    from bridge.carriers import server
    from bridge.carriers.unix import GroupSocket
    from bridge.process.addresses import Address

    addresses = [Address.parse(text) for text in options.listen]
    group = GroupSocket.of(options.socket_group, options.socket_directory) if options.socket_group else None
    os.chdir("/")
    for name in _SECRETS:
        os.environ.pop(name, None)
    with socket_directory(home) if options.made else contextlib.nullcontext():
        server.run(
            home, passphrase=passphrase, make=options.made.make if options.made else None, ready=ready,
            log_level=options.log_level, metrics_port=options.metrics_port, backup_days=options.backup_days,
            listen=addresses, group=group, until_eof=until_eof,
        )  # fmt: skip


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
    except DaemonSilent:
        raise
    except DaemonUnreachable:
        return None
    return _map(answer)


def _member(facts: Mapping[str, Value]) -> str:
    """Return the line about an HSM of the cluster."""
    state = "alive" if facts.get("alive") else "does not answer"
    words = [f"{facts.get('number')}  {facts.get('name')}", str(facts.get("address") or ""), state]
    return "  ".join(filter(None, [*words, "this one" if facts.get("own") else ""]))


def _map(answer: Value) -> dict[str, Value]:
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


def _require_group(running: Mapping[str, Value], options: Options) -> None:
    """Check that a running daemon has the socket for a group, if one is wanted.

    Raises:
        StateError: It does not.
    """
    path, served = str(socket_path(options.socket_directory)), running.get("group_socket")
    if options.socket_group and served != path:
        sockets = f"the socket {served} for a group" if served else "no socket for a group"
        raise StateError(f"a daemon is running already, pid {running['pid']}, and has {sockets}; `hsm stop` it first")


def _spawn(home: Path, options: Options) -> None:
    """Start the daemon as a separate process and wait until it is ready.

    Raises:
        StateError: The daemon did not start; the message is the daemon's.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "bridge", "--home", str(home), "daemon-run", "--ready-fd", str(writer)]
    command += options.words()
    with io.FileIO(reader) as told, TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, pass_fds=[writer],
                start_new_session=True, env=environment,
            )  # fmt: skip
        finally:
            os.close(writer)
        answer = _handed_over(process, told, options.made.encode() if options.made else passphrase() or b"")
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
