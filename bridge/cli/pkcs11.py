"""``hsm pkcs11``: where the PKCS #11 library is."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.process.paths import socket_path


@click.command()
@click.option("--path", "form", flag_value="path", default=True, help="Print the library's path (the default).")
@click.option("--p11-kit", "form", flag_value="p11-kit", help="Print a module file for p11-kit.")
@click.option(
    "--install", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Install the library and the OpenSSL engine in DIR/lib, the header of the vendor's mechanisms in "
    "DIR/include/pkcs11 and, if missing, a configuration for this HSM's daemon in DIR/etc.",
)  # fmt: skip
@click.pass_obj
def pkcs11(home: Path, form: str, folder: Path | None) -> None:
    """Print the path of the PKCS #11 library, for programs that are not Java.

    The library reaches the daemon of HSM_HOME, which `hsm start` starts. The PIN is USER:PASSWORD.

    \b
    Example:
      pkcs11-tool --module "$(hsm pkcs11 --path)" --session-rw --login --list-objects
      hsm pkcs11 --p11-kit > /etc/pkcs11/modules/hsmbridge.module
      sudo env HSM_HOME=$HSM_HOME hsm pkcs11 --install /opt/cloudhsm
    """
    # Imported here: no other command needs it.
    from bridge.launcher.library import install, library_path, module_file

    if folder is not None:
        for path in install(folder.absolute(), socket_path(home)):
            click.echo(path)
    else:
        library = library_path()
        click.echo(module_file(library) if form == "p11-kit" else library, nl=form == "path")
