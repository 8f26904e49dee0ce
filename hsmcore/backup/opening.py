"""The key of a backup's content, which the header has in wrapped form, once for each way to open the backup.

``domain_key`` is wrapped under a key of the security domain, which every HSM of the domain has. ``secret`` is the
sealed secret of the HSM as its database has it. The passphrase or the key file that the HSM had at that time opens it,
and the secret has the domain's key. A backup with a passphrase of its own has ``passphrase_key`` instead of ``secret``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hsmcore.backup.format import Header
from hsmcore.errors import BackupDamaged, BackupForeign, MasterKeyUnavailable
from hsmcore.primitives import secrecy
from hsmcore.storage.sealing import Domain, Vault, open_secret, plausible_cost

_COST = ("memory_kib", "passes", "lanes")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The ways that a caller has to open a backup: each is ``None`` where the caller does not have it.

    ``passphrase`` is that of the backup, or that of the HSM at the time. ``key_file`` is the content of the HSM's key
    file at the time.
    """

    passphrase: bytes | None = field(default=None, repr=False)
    key_file: bytes | None = field(default=None, repr=False)


NO_CREDENTIALS = Credentials()


def wrapped(
    key: bytes, name: str, domain: Domain, secret: bytes, passphrase: bytes | None
) -> Mapping[str, Any]:  # fmt: skip
    """Return the fields of a header that wrap the key of the content.

    Args:
        key: The key, 32 bytes.
        name: The name of the backup.
        domain: The HSM's security domain.
        secret: The HSM's sealed secret.
        passphrase: A passphrase of the backup itself; ``None`` for that of the HSM.
    """
    fields: dict[str, Any] = {"domain": domain.id, "domain_key": _wrap(_domain_key(domain, name), key)}
    if passphrase is None:
        return fields | {"secret": secret.hex()}
    salt = secrecy.random_bytes(secrecy.SALT_BYTES)
    cost = secrecy.MEMORY_KIB, secrecy.ITERATIONS, secrecy.LANES
    wrapping = secrecy.key_from_passphrase(passphrase, salt, *cost)
    return fields | {
        "passphrase_key": _wrap(wrapping, key), "salt": salt.hex(), **dict(zip(_COST, cost, strict=True))
    }  # fmt: skip


def _wrap(wrapping: bytes, key: bytes) -> str:
    return secrecy.wrap_key(wrapping, key).hex()


def _domain_key(domain: Domain, name: str) -> bytes:
    return domain.wrapping_key(b"backup", name.encode())


def open_in_domain(header: Header, domain: Domain) -> bytes:
    """Return the key of the content of a backup of this domain.

    Raises:
        BackupForeign: It was made in another domain.
        BackupDamaged: The header was changed.
    """
    if header.text("domain") != domain.id:
        raise BackupForeign(
            f"the backup was made in the security domain {header.text('domain')[:16]!r}, and this HSM is of the domain "
            f"{domain.id}: only the HSM that made it and HSMs that were restored from its backups open it"
        )
    key = secrecy.unwrap_key(_domain_key(domain, header.text("name")), header.data("domain_key"))
    if key is None:
        raise BackupDamaged("the header of the backup was changed")
    return key


def open_with(header: Header, credentials: Credentials) -> bytes:
    """Return the key of the content of a backup.

    Raises:
        MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
        BackupDamaged: The header was changed.
    """
    if "secret" in header.fields:
        secret = open_secret(header.data("secret"), credentials.passphrase, lambda: _key_file(credentials))
        try:
            return open_in_domain(header, Vault(secret).domain)
        except BackupForeign as error:
            raise BackupDamaged("the header of the backup was changed") from error
    if credentials.passphrase is None:
        raise MasterKeyUnavailable("the backup has a passphrase of its own; give it with --passphrase-file")
    cost = [header.number(name) for name in _COST]
    if not plausible_cost(*cost):
        raise BackupDamaged("the header of the backup was changed: nobody chooses that cost of a passphrase")
    wrapping = secrecy.key_from_passphrase(credentials.passphrase, header.data("salt"), *cost)
    key = secrecy.unwrap_key(wrapping, header.data("passphrase_key"))
    if key is None:
        raise MasterKeyUnavailable("the passphrase does not open the backup")
    return key


def _key_file(credentials: Credentials) -> bytes:
    if credentials.key_file is None:
        raise MasterKeyUnavailable(
            "the key file of the HSM that was backed up opens the backup; give its master.key with --key-file"
        )
    if len(credentials.key_file) != secrecy.KEY_BYTES:
        raise MasterKeyUnavailable(f"a key file has {secrecy.KEY_BYTES} bytes, not {len(credentials.key_file)}")
    return credentials.key_file
