"""``hsm keystore``: import from and export to key stores of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli import reports, storefiles
from bridge.cli.access import as_user
from bridge.cloudhsm_cli.progress import progress
from hsmcore.files import read_whole, write_whole

if TYPE_CHECKING:
    from bridge.cli.reports import Row

_PATH = click.Path(path_type=Path, dir_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
_file_password = click.option(
    "--password-file", metavar="FILE",
    help="Read the password of FILE from here; - is standard input.  [env: HSM_FILE_PASSWORD; default: ask]",
)  # fmt: skip
_store_password = click.option(
    "--keystore-password-file", metavar="FILE",
    help="Read the password of the CloudHSM key store from here.  [env: HSM_KEYSTORE_PASSWORD; default: ask]",
)  # fmt: skip


@click.group()
def keystore() -> None:
    """Import and export keys and certificates of key store files of other programs.

    These commands log in as the crypto user (HSM_USER, HSM_PASSWORD), through the daemon if one runs.

    \b
    Example:
      hsm keystore import old.jks --keystore certs.store --dry-run
      hsm keystore import old.jks --keystore certs.store
      hsm keystore export certs.pem --keystore certs.store
    """


@keystore.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--keystore", "store", type=_PATH, help="The CloudHSM key store file for the certificates; created if missing."
)
@click.option("--no-certificates", is_flag=True, help="Import keys only; this needs no key store file.")
@click.option("--dry-run", is_flag=True, help="Show what would happen and change nothing.")
@click.option("--non-extractable", is_flag=True, help="Make the keys non-extractable.  [default: the HSM's setting]")
@click.option("--key-password", is_flag=True, help="Ask for each key password that differs from FILE's.")
@click.option(
    "--key-password-file", metavar="FILE",
    help="Passwords of keys, one per line; each is tried on every key.  [env: HSM_KEY_PASSWORD, one password]",
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
    """Import the keys and certificates of a JKS, JCEKS, BKS, UBER or PKCS #12 file into the HSM.

    The command recognises the format of FILE and does not change FILE. A private or secret key becomes a token key with
    its alias as the label and the attributes of KeyStore.setKeyEntry. Certificates and chains go into the CloudHSM key
    store file under the same alias. The report has the reason for each refused entry; the other entries are imported.
    You can repeat an interrupted run: it recognises imported keys by their public keys or check values.

    \b
    Exit code:
      0  every entry was imported, was there already, or was skipped on request
      1  stopped: FILE, a password or the HSM prevented it; you can repeat the command
      2  wrong command line
      3  some entries were refused, the others imported

    \b
    Reasons in the report:
      algorithm, size, curve   the HSM does not support the key (DSA, RSA-1024, ...)
      key, certificate         damaged, in an unknown encoding, or not a matching pair
      key-password             the key has a password of its own: --key-password, --key-password-file
      alias                    empty, or longer than a label may be
      alias-taken, duplicate   it already names another entry; rename it in FILE (keytool -changealias)
      hsm                      the HSM refused the key; the detail has its reason

    \b
    Example:
      hsm keystore import old.jks --keystore certs.store --dry-run
      HSM_FILE_PASSWORD=changeit HSM_KEYSTORE_PASSWORD=changeit hsm keystore import old.p12 --keystore certs.store
      hsm keystore import old.jceks --keystore certs.store --non-extractable --key-password --json
    """
    # Imported here, as below, because no other command needs these libraries.
    from bridge.cli.importing import Importer, Passwords
    from keystore.foreign import format_of, read

    if (store is None) != no_certificates:
        raise click.UsageError("give --keystore FILE for the certificates, or --no-certificates to skip them")
    _check_different(file, store)
    data = read_whole(file, storefiles.MAX_BYTES)
    known = format_of(data)
    password = storefiles.password(password_file, storefiles.FILE_PASSWORD, f"{file} ({known})")
    with storefiles.time_limit():
        found = read(data, password, storefiles.read_foreign)
    passwords = Passwords([password, *storefiles.key_passwords(key_password_file)])
    template = {"EXTRACTABLE": False} if non_extractable else {}
    rows: list[Row] = []
    with as_user(context.obj) as client:
        loaded = (
            None if store is None else storefiles.load_store(client, store, keystore_password_file, reads_only=dry_run)
        )
        importer = Importer(client, loaded, passwords, template, dry_run=dry_run)
        try:
            with progress("Checking" if dry_run else "Importing", len(found.entries)) as bar:
                passwords.ask = storefiles.asking(bar) if key_password else None
                for entry in found.entries:
                    rows.append(importer.take(entry))
                    bar.advance()
        finally:
            # Also after an interruption, so that imported keys keep their certificates.
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
    help="The format of FILE.  [default: pem if its name ends in .pem or .crt, otherwise pkcs12]",
)  # fmt: skip
@click.option("--alias", "aliases", multiple=True, help="Export this entry only; may be given several times.")
@click.option(
    "--include-private-keys", is_flag=True,
    help="Export private and secret keys too, if the HSM permits it. It no longer protects the exported copies.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@_file_password
@_store_password
@_json
@click.pass_context
def export_store(
    context: click.Context, file: Path, store: Path, form: str | None, aliases: tuple[str, ...],
    include_private_keys: bool, force: bool, password_file: str | None, keystore_password_file: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Write the certificates of a CloudHSM key store to a PKCS #12 or PEM file.

    With --include-private-keys, FILE is one encrypted PKCS #12 with all keys and their chains, which keytool can open.
    This needs an HSM made with `hsm init --enable-clear-key-extraction`, and keys that are EXTRACTABLE. keytool shows
    aliases of PKCS #12 files in lower case, and a generic secret as a key for HmacSHA256. Only the owner can read FILE.

    \b
    Exit code:
      0  every entry was exported
      1  stopped, and FILE was not written: it exists, or a password or the HSM prevented it
      2  wrong command line
      3  some entries were refused, the others exported; the report has the reasons

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
        raise click.ClickException(f"{file} exists; --force replaces it")
    with as_user(context.obj) as client:
        loaded = storefiles.load_store(client, store, keystore_password_file, reads_only=True)
        exporter = Exporter(client, loaded, with_keys=include_private_keys)
        rows = exporter.take_all(aliases)
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
