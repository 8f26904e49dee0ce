"""``hsm service``: the daemon as a service of systemd."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import click
from click.core import ParameterSource

from bridge.cli.daemon import Options, daemon_options
from bridge.launcher.service import NAME, SYSTEM_HOME, SYSTEM_PASSPHRASE, Service, installed_program, unit_file
from hsmcore.errors import StateError
from hsmcore.files import write_whole

_SECONDS = 60.0
"""Longest wait for systemctl, in seconds."""
_of_user = click.option("--user", "of_user", is_flag=True, help="A service of this user, not of the system.")


@click.group()
def service() -> None:
    """Run the daemon as a service of systemd, which starts with the machine."""


@service.command("install")
@_of_user
@click.option("--dry-run", is_flag=True, help="Print the unit file and change nothing.")
@click.option(
    "--run-as",
    "account",
    default="hsmbridge",
    show_default=True,
    metavar="USER",
    help="The operating-system user of a service of the system.",
)
@click.option("--group", default="", help="The group of its files; by default the one of the user's name.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file with the passphrase of the master key, for LoadCredential.  [default: "
    f"{SYSTEM_PASSPHRASE} for the system, if it exists]",
)
@daemon_options
@click.pass_context
def install(
    context: click.Context, of_user: bool, dry_run: bool, account: str, group: str, passphrase_file: Path | None,
    log_level: str, metrics_port: int | None, listen: tuple[str, ...], backup_retention_days: int, socket_group: str,
    socket_directory: Path,
) -> None:  # fmt: skip
    """Write a unit file for this installation of hsmbridge.

    The unit runs the `hsm` that runs this command: that of a virtual environment, of pipx or of the system. It serves
    the HSM of HSM_HOME, for the system that in /var/lib/hsmbridge unless --home or HSM_HOME names another one. A
    passphrase reaches the daemon through LoadCredential, not through the environment.

    \b
    Example:
      hsm service install --dry-run
      sudo hsm service install --passphrase-file /etc/hsmbridge/passphrase --metrics-port 9464
      sudo hsm service install --socket-group hsmusers
      hsm service install --user
    """
    if of_user:
        _refuse_group(socket_group)
    options = Options(
        log_level, metrics_port, listen, backup_retention_days, socket_group, socket_directory.absolute()
    )  # fmt: skip
    home = _home(context, of_user=of_user)
    passphrase = _passphrase(home, passphrase_file, of_user=of_user)
    planned = Service(
        home, tuple(options.words()), "" if of_user else account, group, passphrase,
        remote=bool(listen) or (home / "store.json").exists(),
        socket_group=socket_group, socket_directory=socket_directory.absolute(),
    )  # fmt: skip
    if dry_run:
        click.echo(planned.unit(), nl=False)
        return
    if not of_user:
        _require_user(account)
        if socket_group:
            # Imported here: it loads parts of the daemon. The group must exist.
            from bridge.carriers.unix import GroupSocket

            GroupSocket.of(socket_group, socket_directory)
        _require_runnable(account, group, installed_program())
        _require_owner(account, home)
    file = planned.file()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, planned.unit().encode(), mode=0o644)
    click.echo(f"Wrote {file}")
    _systemctl(of_user, "daemon-reload")
    click.echo(f"Next: {_command(of_user, 'enable', '--now')}")


@service.command()
@_of_user
@click.option("--dry-run", is_flag=True, help="Print what would be done and change nothing.")
def uninstall(of_user: bool, dry_run: bool) -> None:
    """Stop the service and remove its unit file. The HSM stays.

    \b
    Example:
      sudo hsm service uninstall
    """
    file = unit_file(of_user=of_user)
    if not file.exists():
        click.echo(f"There is no {file}")
        return
    if dry_run:
        click.echo(f"Would run `{_command(of_user, 'disable', '--now')}` and remove {file}")
        return
    _systemctl(of_user, "disable", "--now", NAME)
    file.unlink()
    _systemctl(of_user, "daemon-reload")
    click.echo(f"Removed {file}; the HSM stays")


@service.command()
@_of_user
@click.pass_context
def status(context: click.Context, of_user: bool) -> None:
    """Show the unit file and the state of the service; exit code 1 if it does not run.

    \b
    Example:
      hsm service status --user
    """
    file = unit_file(of_user=of_user)
    installed = file.exists()
    enabled, active = (_state(of_user, question) for question in ("is-enabled", "is-active"))
    click.echo(f"unit           {file if installed else f'none at {file}; `hsm service install` writes it'}")
    click.echo(f"enabled        {enabled}")
    click.echo(f"active         {active}")
    context.exit(0 if installed and active == "active" else 1)


def _home(context: click.Context, *, of_user: bool) -> Path:
    """Return the state directory: that of the command line or the environment, else the usual one of such a service."""
    root = context.find_root()
    home: Path = root.obj
    named = root.get_parameter_source("home") is not ParameterSource.DEFAULT or os.environ.get("HSM_HOME")
    return home if of_user or named else SYSTEM_HOME


def _passphrase(home: Path, given: Path | None, *, of_user: bool) -> Path | None:
    """Return the file with the passphrase; ``None`` for an HSM with a key file.

    Raises:
        StateError: The HSM has a passphrase, and no file is known.
    """
    if given is not None:
        return given.absolute()
    if (home / "master.key").exists():
        return None
    if not of_user and SYSTEM_PASSPHRASE.exists():
        return SYSTEM_PASSPHRASE
    if (home / "hsm.db").exists() or (home / "store.json").exists():
        raise StateError(f"a passphrase seals the HSM in {home}; --passphrase-file names the file that has it")
    return None


def _require_user(name: str) -> None:
    """Check that there is an operating-system user.

    Raises:
        StateError: There is none.
    """
    try:
        pwd.getpwnam(name)
    except KeyError as error:
        raise StateError(
            f"there is no user {name}; `useradd --system --home-dir {SYSTEM_HOME} --shell /usr/sbin/nologin {name}` "
            "makes one, or --run-as names another"
        ) from error


def _refuse_group(name: str) -> None:
    """Check that a service of a user has no group.

    Raises:
        UsageError: It has one.
    """
    if name:
        raise click.UsageError("--socket-group needs a service of the system: no other user reaches one with --user")


def _require_runnable(name: str, group: str, program: tuple[str, ...]) -> None:
    """Check that an operating-system user can run ``hsm`` of this installation. Only root can find that out.

    Raises:
        StateError: The user cannot, or the group does not exist.
    """
    try:
        own_group = grp.getgrnam(group or name).gr_gid
    except KeyError as error:
        raise StateError(f"there is no group {group or name}; --group names another") from error
    if os.geteuid() != 0:
        return
    try:
        done = subprocess.run(
            [*program, "--version"], user=name, group=own_group, extra_groups=os.getgrouplist(name, own_group),
            cwd="/", env={"PATH": os.defpath}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip
    except OSError as error:
        reason = error.strerror
    else:
        if done.returncode == 0:
            return
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise StateError(
        f"the user {name} cannot run {program[0]}: {reason}; install hsmbridge where that user can read it, "
        "for example in /opt, or name another user with --run-as"
    )


def _require_owner(name: str, home: Path) -> None:
    """Check that an HSM is the service's; systemd gives only ``SYSTEM_HOME`` to its user.

    Raises:
        StateError: Another user owns the state directory.
    """
    if home == SYSTEM_HOME or not home.exists():
        return
    owner = home.stat().st_uid
    if owner != pwd.getpwnam(name).pw_uid:
        raise StateError(
            f"{home} belongs to another user (id {owner}) than {name}, who runs it; `chown -R {name}: {home}`, "
            "or name its owner with --run-as"
        )


def _command(of_user: bool, *words: str) -> str:
    return " ".join(["systemctl", *(["--user"] if of_user else []), *words, NAME])


def _systemctl(of_user: bool, *words: str) -> None:
    """Run systemctl; where systemd does not run, say so and go on."""
    done = _ran(of_user, *words)
    if done is None:
        click.echo("There is no systemctl here; systemd reads the change when it starts", err=True)
    elif done.returncode != 0:
        click.echo(f"systemctl {' '.join(words)}: {done.stderr.strip()}", err=True)


def _state(of_user: bool, question: str) -> str:
    done = _ran(of_user, question, NAME)
    if done is None:
        return "unknown: there is no systemctl here"
    return done.stdout.strip() or "unknown: systemd does not answer"


def _ran(of_user: bool, *words: str) -> subprocess.CompletedProcess[str] | None:
    program = shutil.which("systemctl")
    if program is None:
        return None
    return subprocess.run(
        [program, *(["--user"] if of_user else []), *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip
