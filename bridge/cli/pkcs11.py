"""``hsm pkcs11``: where the PKCS #11 library is."""

from __future__ import annotations

import click


@click.command()
@click.option("--path", "form", flag_value="path", default=True, help="Print the library's path (the default).")
@click.option("--p11-kit", "form", flag_value="p11-kit", help="Print a module file for p11-kit.")
def pkcs11(form: str) -> None:
    """Print the path of the PKCS #11 library, for programs that are not Java.

    The library reaches the daemon of HSM_HOME, which `hsm start` starts. The PIN is USER:PASSWORD.

    \b
    Example:
      pkcs11-tool --module "$(hsm pkcs11 --path)" --session-rw --login --list-objects
      hsm pkcs11 --p11-kit > /etc/pkcs11/modules/hsmbridge.module
    """
    from bridge.launcher.library import library_path, module_file

    library = library_path()
    click.echo(module_file(library) if form == "p11-kit" else library, nl=form == "path")
