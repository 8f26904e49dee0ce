"""``hsm jar``, and the JDK's own ``java``, ``keytool`` and ``jarsigner`` with the provider already there."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.access import passphrase
from bridge.cli.passing import Words
from bridge.process.paths import socket_path


def _launch(context: click.Context, tool: str) -> None:
    # Imported here: nothing else needs the launcher.
    from bridge.launcher.launcher import launch

    context.exit(launch(tool, context.args, context.obj, passphrase=passphrase()))


@click.command()
@click.option(
    "--install", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Put the jar into DIR/java and a configuration for this HSM's daemon into DIR/etc, unless one is there.",
)  # fmt: skip
@click.pass_obj
def jar(home: Path, folder: Path | None) -> None:
    """Print where the provider's jar is, for a JVM of its own.

    Code written for CloudHSM expects it in /opt/cloudhsm: --install puts it there under the name it looks for, in place
    of one that an earlier hsmbridge put there, and prints the files. It may be done again at any time.

    \b
    Example:
      java -cp "$(hsm jar):app.jar" com.example.Main
      sudo env HSM_HOME=$HSM_HOME hsm jar --install /opt/cloudhsm
    """
    # Imported here: it loads JPype, which most commands do without.
    from bridge.carriers.jvm import provider_jar
    from bridge.launcher.installation import install

    found = provider_jar()
    for path in [found] if folder is None else install(folder.absolute(), found, socket_path(home)):
        click.echo(path)


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def keytool(context: click.Context) -> None:
    """Run the JDK's keytool beside the HSM.

    An ordinary keytool command line. With -providerName CloudHSM a pair is generated inside the HSM; without, keytool
    makes it in software and the key store imports it. Its exit code is passed on.

    \b
    Example:
      hsm keytool -genkeypair -alias release -keyalg EC -groupname secp256r1 -dname CN=Release \\
          -providerName CloudHSM -storetype CloudHSM -keystore certs.store -storepass changeit -keypass changeit
    """
    _launch(context, "keytool")


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def jarsigner(context: click.Context) -> None:
    """Run the JDK's jarsigner beside the HSM.

    An ordinary jarsigner command line. Its exit code is passed on.

    \b
    Example:
      hsm jarsigner -storetype CloudHSM -keystore certs.store -storepass changeit app.jar release
      hsm jarsigner -verify -storetype CloudHSM -keystore certs.store -storepass changeit app.jar
    """
    _launch(context, "jarsigner")


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def java(context: click.Context) -> None:
    """Run a Java program beside the HSM.

    An ordinary java command line: options, then -jar FILE or a class, then its arguments. The provider is the last in
    the list. The program's exit code is passed on.

    \b
    Example:
      hsm java -cp app.jar com.example.Main --sign
    """
    _launch(context, "java")
