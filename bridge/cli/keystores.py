"""``hsm keystore``: keys and certificates from and to the key stores of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli import reports, storefiles
from bridge.cli.access import as_user
from bridge.cli.progress import progress
from hsmcore.files import read_whole, write_whole

if TYPE_CHECKING:
    from bridge.cli.reports import Row

_PATH = click.Path(path_type=Path, dir_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
_file_password = click.option(
    "--password-file", metavar="FILE",
    help="Read the password of FILE from here, - for standard input.  [env: HSM_FILE_PASSWORD; else asked for]",
)  # fmt: skip
_store_password = click.option(
    "--keystore-password-file", metavar="FILE",
    help="Read the password of the CloudHSM key store from here.  [env: HSM_KEYSTORE_PASSWORD; else asked for]",
)  # fmt: skip


@click.group()
def keystore() -> None:
    """Move keys and certificates from and to key store files of other programs.

    These commands log in as the crypto user (HSM_USER, HSM_PASSWORD), through the daemon where one runs.

    \b
    Example:
      hsm keystore import old.jks --keystore certs.store --dry-run
      hsm keystore import old.jks --keystore certs.store
      hsm keystore export certs.pem --keystore certs.store
    """


@keystore.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--keystore", "store", type=_PATH, help="The CloudHSM key store file for the certificates; made if it is not there."
)
@click.option("--no-certificates", is_flag=True, help="Take the keys only; no key store file is needed.")
@click.option("--dry-run", is_flag=True, help="Show what would happen and change nothing.")
@click.option("--non-extractable", is_flag=True, help="Make the keys non-extractable.  [default: as the HSM was made]")
@click.option("--key-password", is_flag=True, help="Ask for the password of each key that FILE's does not open.")
@click.option(
    "--key-password-file", metavar="FILE",
    help="Passwords of keys, one a line, each tried on every key.  [env: HSM_KEY_PASSWORD, one password]",
)  # fmt: skip
@_file_password
@_store_password
@_json
@click.pass_context
def import_store(
    context: click.Context, file: Path, store: Path | None, no_certificates: bool, dry_run: bool, non_extractable: bool,
    key_password: bool, key_password_file: str | None, password_file: str | None, keystore_password_file: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Take the keys and certificates of a JKS, JCEKS, BKS, UBER or PKCS #12 file into the HSM.

    What FILE is, its content tells. A private or secret key becomes a token key whose label is the alias, as
    KeyStore.setKeyEntry would make it; certificates and chains go to the CloudHSM key store file, under the same alias.
    FILE is only read. An entry that cannot be taken does not stop the others, and the report says why. A run that was
    interrupted is started again: what is there already is recognised by its public key or check value.

    \b
    Exit code:
      0  everything was taken, was there already, or was left out as asked
      1  stopped: FILE, a password or the HSM was in the way; it may be run again
      2  wrong command line
      3  some entries were refused, the others taken

    \b
    Reasons in the report:
      algorithm, size, curve   the HSM has no such keys (DSA, RSA-1024, ...)
      key, certificate         damaged, not understood, or not belonging together
      key-password             the key has a password of its own: --key-password, --key-password-file
      alias                    empty, or longer than a label may be
      alias-taken, duplicate   it names something else already; rename it in FILE (keytool -changealias)
      hsm                      the HSM refused, the detail says why

    \b
    Example:
      hsm keystore import old.jks --keystore certs.store --dry-run
      HSM_FILE_PASSWORD=changeit HSM_KEYSTORE_PASSWORD=changeit hsm keystore import old.p12 --keystore certs.store
      hsm keystore import old.jceks --keystore certs.store --non-extractable --key-password --json
    """
    # Imported here, as below: libraries that no other command needs.
    from bridge.cli.importing import Importer, Passwords
    from keystore.foreign import format_of, read

    if (store is None) != no_certificates:
        raise click.UsageError("give --keystore FILE for the certificates, or --no-certificates to leave them")
    _check_different(file, store)
    data = read_whole(file, storefiles.MAX_BYTES)
    known = format_of(data)
    password = storefiles.password(password_file, storefiles.FILE_PASSWORD, f"{file} ({known})")
    with storefiles.time_limit():
        found = read(data, password, storefiles.read_foreign)
    passwords = Passwords([password, *storefiles.key_passwords(key_password_file)])
    wishes = {"EXTRACTABLE": False} if non_extractable else {}
    rows: list[Row] = []
    with as_user(context.obj) as client:
        loaded = (
            None if store is None else storefiles.load_store(client, store, keystore_password_file, reads_only=dry_run)
        )
        handle = None if loaded is None else loaded.handle
        importer = Importer(client, handle, passwords, wishes, dry_run=dry_run)
        try:
            with progress("Checking" if dry_run else "Importing", len(found.entries)) as bar:
                passwords.ask = storefiles.asking(bar) if key_password else None
                for entry in found.entries:
                    rows.append(importer.take(entry))
                    bar.advance()
        finally:
            # Also after an interruption: the certificates of the keys that are in the HSM by now are not lost.
            if importer.changed and loaded:
                loaded.save()
    about = {"file": str(file), "format": found.format.value, "dry_run": dry_run}
    reports.show(rows, about, as_json=as_json)
    context.exit(reports.exit_code(rows))


@keystore.command("export")
@click.argument("file", type=_PATH)
@click.option(
    "--keystore", "store", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
    help="The CloudHSM key store file.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["pkcs12", "pem"]),
    help="What FILE becomes.  [default: pem where its name ends in .pem or .crt, else pkcs12]",
)  # fmt: skip
@click.option("--alias", "wanted", multiple=True, help="Export this entry only; may be given several times.")
@click.option(
    "--include-private-keys", is_flag=True,
    help="Export private and secret keys too, from an HSM that gives them out. They are then outside of it for good.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@_file_password
@_store_password
@_json
@click.pass_context
def export_store(
    context: click.Context, file: Path, store: Path, form: str | None, wanted: tuple[str, ...],
    include_private_keys: bool, force: bool, password_file: str | None, keystore_password_file: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Write the certificates of a CloudHSM key store to a PKCS #12 or PEM file.

    With --include-private-keys the keys go with their chains into an encrypted PKCS #12, all into one file that keytool
    opens; that takes an HSM made with `hsm init --enable-clear-key-extraction` and keys that are EXTRACTABLE. keytool
    shows aliases of PKCS #12 files in lower case, and a generic secret as a key for HmacSHA256. FILE is readable for
    its owner only.

    \b
    Exit code:
      0  everything was exported
      1  stopped, and FILE was not written: it is there already, or a password or the HSM was in the way
      2  wrong command line
      3  some entries were refused, the others exported; the report says why

    \b
    Example:
      hsm keystore export certs.pem --keystore certs.store
      hsm keystore export trust.p12 --keystore certs.store --alias root-ca --alias issuing-ca
      hsm keystore export backup.p12 --keystore certs.store --include-private-keys
    """
    from bridge.cli.exporting import Exporter
    from keystore.foreign import write_pem, write_pkcs12

    as_pem = form == "pem" or (form is None and file.suffix in {".pem", ".crt"})
    if as_pem and include_private_keys:
        raise click.UsageError("keys are exported to PKCS #12 only; give --format pkcs12")
    _check_different(file, store)
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already; --force replaces it")
    with as_user(context.obj) as client:
        loaded = storefiles.load_store(client, store, keystore_password_file, reads_only=True)
        exporter = Exporter(client, loaded.handle, with_keys=include_private_keys)
        rows = exporter.take_all(wanted)
    if exporter.keys or exporter.certificates:
        if as_pem:
            content = write_pem(exporter.certificates)
        else:
            password = storefiles.password(password_file, storefiles.FILE_PASSWORD, str(file), new=True)
            content = write_pkcs12(exporter.keys, exporter.certificates, password, storefiles.write_foreign)
        write_whole(file, content, replace=force)
    elif not rows:
        raise click.ClickException("there is nothing to export")
    about = {"file": str(file), "format": "PEM" if as_pem else "PKCS #12"}
    reports.show(rows, about, as_json=as_json)
    context.exit(reports.exit_code(rows))


def _check_different(file: Path, store: Path | None) -> None:
    if store is not None and store.exists() and file.exists() and store.samefile(file):
        raise click.UsageError("FILE and --keystore are the same file; give one of them another name")
