"""The command ``hsm`` itself: its options, its subcommands and its error messages."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bridge.process.paths import default_home
from bridge.process.streams import drop_unwritable_output
from hsmcore import __version__
from hsmcore.errors import (
    AccountLocked,
    ForeignStorePassword,
    HsmError,
    KeyStorePassword,
    PermissionDenied,
    StateLocked,
    UserBusy,
    UserOwnsKeys,
)

_HINTS: dict[type[HsmError], str] = {
    AccountLocked: "`hsm user change-password`; for the last admin `hsm user recover`",
    UserBusy: "a session ends at the latest 10 seconds after its program",
    UserOwnsKeys: "`--force-delete-keys` destroys them too",
    PermissionDenied: "`hsm user` commands need an admin's login in HSM_ADMIN_PASSWORD or CLOUDHSM_PIN",
    ForeignStorePassword: "the password of FILE is in HSM_FILE_PASSWORD or --password-file",
    KeyStorePassword: "the password of the CloudHSM key store is in HSM_KEYSTORE_PASSWORD or --keystore-password-file",
}


_SECONDS = 2.0
"""Longest wait for a daemon before the message about it, in seconds."""
_COMMANDS = {
    "quickstart": "quickstart.quickstart",
    "doctor": "doctor.doctor",
    "init": "initialize.initialize",
    "start": "daemon.start",
    "stop": "daemon.stop",
    "status": "daemon.status",
    "join": "membership.join",
    "leave": "membership.leave",
    "reset": "faults.reset",
    "fault": "faults.fault",
    "user": "users.user",
    "key": "keys.key",
    "keystore": "keystores.keystore",
    "audit": "audit.audit",
    "cluster": "cluster.cluster",
    "backup": "backups.backup",
    "rekey": "rekey.rekey",
    "console": "console.console",
    "service": "service.service",
    "jar": "tools.jar",
    "install": "tools.install",
    "pkcs11": "pkcs11.pkcs11",
    "keytool": "tools.keytool",
    "jarsigner": "tools.jarsigner",
    "java": "tools.java",
    "daemon-run": "daemon.serve",
}
"""The subcommands with their module and its name there, in the order in which a new user needs them."""


def _hint_of_lock(error: HsmError, home: Path | None) -> str:
    """Return what to do about a process that has the HSM, empty for another error."""
    if not isinstance(error, StateLocked) or home is None:
        return ""
    # Imported here: most commands meet no other process.
    from bridge.carriers.client import Client

    try:
        Client.connect(home, _SECONDS).close()
    except HsmError:
        return "wait until that command has ended; `hsm doctor` tells whether it is a daemon that lost its socket"
    return "it is the daemon; `hsm stop` ends it"


class Commands(click.Group):
    """Prints an error as one line with a remedy and no traceback: exit code 1, or 2 for a wrong command line.

    A subcommand's module is loaded when the subcommand is used, so that each one starts without the others.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand.

        Raises:
            ClickException: The subcommand failed; the message has a remedy, if one is known.
            BrokenPipeError: The reader of the output has closed it.
        """
        try:
            return super().invoke(ctx)
        except HsmError as error:
            hint = _HINTS.get(type(error)) or _hint_of_lock(error, ctx.find_root().obj)
            raise click.ClickException(f"{error} ({hint})" if hint else str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            drop_unwritable_output()
            named = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            raise click.ClickException(named or str(error)) from error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a subcommand, or else CloudHSM's of this name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name in _COMMANDS:
            module, _, name = _COMMANDS[cmd_name].partition(".")
            found: click.Command = getattr(import_module(f"bridge.cli.{module}"), name)
            return found
        # Imported here because it loads the table of CloudHSM's commands.
        from bridge.cli import cloudhsm

        return cloudhsm.command(cmd_name) if cmd_name in cloudhsm.top_level() else None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the subcommands, then CloudHSM's."""
        from bridge.cli import cloudhsm

        return list(dict.fromkeys([*self.commands, *_COMMANDS, *cloudhsm.top_level()]))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), envvar="HSM_HOME", default=default_home,
    help="The state directory.  [env: HSM_HOME; default: hsmbridge in the XDG data directory]",
)  # fmt: skip
@click.version_option(__version__, prog_name="hsmbridge")
@click.pass_context
def hsm(context: click.Context, home: Path) -> None:
    """A software HSM for Java programs.

    \b
    First steps:
      export HSM_HOME=$PWD/my-hsm HSM_USER=cu1 HSM_PASSWORD=a-good-password
      hsm init
      hsm keytool -genkeypair -alias release -keyalg RSA -dname CN=Release -providerName CloudHSM \\
          -storetype CloudHSM -keystore certs.store -storepass changeit -keypass changeit
      cp "$(hsm jar)" app.jar
      hsm jarsigner -storetype CloudHSM -keystore certs.store -storepass changeit app.jar release
      hsm key list

    hsm keytool, hsm jarsigner and hsm java run the JDK's own tools in one process with the HSM. To use a separate JVM,
    start the daemon (hsm start) and add the provider's jar (hsm jar) to the JVM.
    """
    context.obj = home.absolute()
    if context.get_parameter_source("home") is click.core.ParameterSource.COMMANDLINE:
        # As HSM_HOME, the option has precedence over HSM_CONFIG.
        os.environ["HSM_HOME"] = str(context.obj)


@hsm.command("help")
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def show_help(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a command, with an example.

    \b
    Example:
      hsm help keytool
    """
    parent = context.parent
    if parent is None:
        raise click.UsageError("there is nothing to show help for")
    command: click.Command = parent.command
    within = parent
    for name in names:
        found = command.get_command(within, name) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f"there is no command `hsm {' '.join(names)}`")
        command, within = found, click.Context(found, info_name=name, parent=within)
    click.echo(command.get_help(within))
