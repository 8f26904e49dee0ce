"""``hsm jar``, and the JDK's own ``java``, ``keytool`` and ``jarsigner`` with the provider registered."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click

from bridge.cli.passing import Words
from bridge.process.environment import passphrase
from bridge.process.paths import provider_jar, socket_path
from hsmcore.errors import StateError

_REPOSITORY = Path("~/.m2/repository")


def _launch(context: click.Context, tool: str) -> None:
    # Imported here: nothing else needs the launcher.
    from bridge.launcher.launcher import launch

    context.exit(launch(tool, context.args, context.obj, passphrase=passphrase()))


@click.command()
@click.option(
    "--install", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="The same as hsm install --prefix DIR.",
)  # fmt: skip
@click.option(
    "--maven", "repository", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]", is_flag=False,
    flag_value=_REPOSITORY,
    help="Install the jars in a Maven repository, ~/.m2/repository unless DIR names one, with sources and Javadoc.",
)  # fmt: skip
@click.pass_obj
def jar(home: Path, folder: Path | None, repository: Path | None) -> None:
    """Print the path of the provider's jar, for a separate JVM.

    Maven and Gradle find the jar as io.hsmbridge:hsmbridge-jce after --maven, which prints the coordinates.

    \b
    Example:
      java -cp "$(hsm jar):app.jar" com.example.Main
      hsm jar --maven
    """
    if repository is not None:
        _publish(repository.expanduser().absolute(), named=repository != _REPOSITORY)
        if folder is None:
            return
    if folder is None:
        click.echo(provider_jar())
    else:
        _install(home, folder)


def _home_of_java() -> Path:
    """Return the directory that Java programs have in ``user.home``: that of the password file, whatever HOME is."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def _publish(repository: Path, *, named: bool) -> None:
    """Install the jars, print their coordinates, and tell what Maven will not find."""
    # Imported here: nothing else needs it.
    from bridge.launcher.maven import has_documents, publish

    package = provider_jar().parent
    for coordinates in publish(repository, package):
        click.echo(coordinates)
    click.echo(f"Installed in {repository}", err=True)
    if not has_documents(package):
        click.echo("without sources and Javadoc, which `make maven` in the clone builds", err=True)
    if not named and (of_java := _home_of_java()) != Path.home():
        click.echo(
            f"Java's home directory is {of_java}, not HOME: give Maven and Gradle -Dmaven.repo.local={repository}, "
            f"or repeat with --maven {of_java / '.m2' / 'repository'}",
            err=True,
        )


@click.command()
@click.option(
    "--prefix", type=click.Path(path_type=Path, file_okay=False), default="/opt/cloudhsm", show_default=True,
    help="The directory to install into.",
)  # fmt: skip
@click.pass_obj
def install(home: Path, prefix: Path) -> None:
    """Install what programs written for CloudHSM expect in /opt/cloudhsm.

    That is the jar in java, configuration files for this HSM's daemon and the certificate of its authority in etc,
    cloudhsm-cli and the configure programs in bin, the PKCS #11 library and the OpenSSL engine in lib, and the header
    of the vendor's mechanisms in include. Configuration files that are there stay as they are; the jar of an earlier
    hsmbridge is replaced. You can repeat it at any time.

    \b
    Example:
      sudo env HSM_HOME=$HSM_HOME hsm install
      /opt/cloudhsm/bin/configure-jce -a 127.0.0.2 --hsm-ca-cert customerCA.crt --disable-key-availability-check
    """
    _install(home, prefix)


def _install(home: Path, folder: Path) -> None:
    # Imported here: no other command needs it.
    from bridge.launcher.installation import Parts
    from bridge.launcher.installation import install as put
    from bridge.launcher.library import native_files

    try:
        native = native_files()
    except StateError:
        native = {}
    parts = Parts(provider_jar(), socket_path(home), home / "customerCA.crt", native)
    for path in put(folder.absolute(), parts):
        click.echo(path)


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def keytool(context: click.Context) -> None:
    """Run the JDK's keytool in one process with the HSM.

    The words are an ordinary keytool command line. With -providerName CloudHSM the HSM generates a key pair; without
    it, keytool generates the pair in software and the key store imports it. The exit code is keytool's.

    \b
    Example:
      hsm keytool -genkeypair -alias release -keyalg EC -groupname secp256r1 -dname CN=Release \\
          -providerName CloudHSM -storetype CloudHSM -keystore certs.store -storepass changeit -keypass changeit
    """
    _launch(context, "keytool")


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def jarsigner(context: click.Context) -> None:
    """Run the JDK's jarsigner in one process with the HSM.

    The words are an ordinary jarsigner command line. The exit code is jarsigner's.

    \b
    Example:
      hsm jarsigner -storetype CloudHSM -keystore certs.store -storepass changeit app.jar release
      hsm jarsigner -verify -storetype CloudHSM -keystore certs.store -storepass changeit app.jar
    """
    _launch(context, "jarsigner")


@click.command(cls=Words, add_help_option=False)
@click.pass_context
def java(context: click.Context) -> None:
    """Run a Java program in one process with the HSM.

    The words are an ordinary java command line: options, then -jar FILE or a class, then its arguments. The provider is
    the last in the JVM's list. The exit code is the program's.

    \b
    Example:
      hsm java -cp app.jar com.example.Main --sign
    """
    _launch(context, "java")
