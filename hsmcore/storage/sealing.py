"""Sealing of secrets in the store: AES-256-GCM under the master key, bound to the row.

The associated data has a text that names the kind of value, then fields, each a 4-byte big-endian length and its bytes.
A value that was moved to another row, or whose row was edited, does not open.

====================  ==========================================================================================
kind                  fields
====================  ==========================================================================================
``hsmbridge key row 1``  version (8 bytes), handle (8 bytes), owner, time of creation (8 bytes, ms), attributes as
                      stored (JSON), SubjectPublicKeyInfo (empty where there is none), sharing (JSON)
``hsmbridge user row 1``  version (8 bytes), user name, role, number (8 bytes), wrong passwords (8 bytes), MFA key and
                      quorum key (SubjectPublicKeyInfo, empty where there is none)
``hsmbridge settings 1``  ``audit``: there is a log; ``rows``: all rows have versions. Each is absent before the first
                      opening by a version of hsmbridge that has it
``hsmbridge quorum row 1``, ``hsmbridge quorum tokens row 1``  version (8 bytes)
``hsmbridge key 1``   as ``key row``, without version, and with sharing only for a shared key: rows of an older schema
``hsmbridge user 1``  user name, role; where a public key is registered, also both keys: rows of an older schema
``hsmbridge quorum 1``  none: the row of an older schema
``hsmbridge audit entry 1``  sequence number (8 bytes), hash of the entry; nothing is sealed but these
``hsmbridge audit head 1``  number of entries (8 bytes), reboot counter (8 bytes)
``... of 1``          the same of a cluster's second HSM and later ones, with the HSM's number (4 bytes) first
``hsmbridge tls request 1``, ``hsmbridge tls identity 1``  none; the two are files of the state directory
``hsmbridge master 1``  the header of the seal of master key and domain key
====================  ==========================================================================================

The HSM's secret is itself sealed. It is the master key, and the domain key, which an HSM shares with those that were
restored from its backups. The secret of an older HSM is the master key alone, from which its domain key is derived.
Layout of the seal, integers big-endian:

======  =====  =====================================================================================================
offset  bytes  field
======  =====  =====================================================================================================
0       1      version, 1
1       1      sealed under: 1 the key file, 2 a passphrase through Argon2id
2       16     salt (zero for the key file)
18      12     memory in KiB, passes, lanes of Argon2id, 4 bytes each (zero for the key file)
30      92     nonce (12), sealed master key (32) and domain key (32), tag (16); associated data is the 30-byte header
======  =====  =====================================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from copy import copy
from dataclasses import replace

from hsmcore.errors import MasterKeyUnavailable, StateVersion, StoreDamaged
from hsmcore.primitives import secrecy
from hsmcore.primitives.secrecy import Authenticator, Sealer
from hsmcore.storage.rows import KeyRow, UserRow, context

_HEADER = struct.Struct(">BB16sIII")
_VERSION, _BY_FILE, _BY_PASSPHRASE = 1, 1, 2
_MAX_COST = 256 * 1024, 16, 16
"""Maximum memory in KiB, passes and lanes of Argon2id; a header with more is forged."""


_SETTINGS_BEFORE_LOGS, _SETTINGS_BEFORE_VERSIONS = context("settings"), context("settings", b"audit")
_SETTINGS = context("settings", b"audit", b"rows")


class Domain:
    """The security domain of an HSM. HSMs that were restored from backups of one HSM have the same one."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.id = secrecy.derived_key(key, b"hsmbridge domain id", b"")[:8].hex()
        """The public name of the domain, 16 hexadecimal digits."""

    def wrapping_key(self, purpose: bytes, context: bytes) -> bytes:
        """Return a key of the domain for one purpose and context."""
        return secrecy.derived_key(self.key, b"hsmbridge " + purpose, context)


class Vault:
    """Seals and opens under the master key, for one of the HSMs that have this key.

    The audit log's entries and head, and registration tokens, are bound to that HSM; all else is common to all.
    ``secret`` is the opened secret: the master key and the domain key.
    """

    def __init__(self, secret: bytes, hsm: int = 1) -> None:
        master, domain = secret[: secrecy.KEY_BYTES], secret[secrecy.KEY_BYTES :]
        self.domain = Domain(domain or secrecy.derived_key(master, b"hsmbridge domain", b""))
        self.secret = secret
        self._sealer = Sealer(master)
        self._registrations = Authenticator(master, context("registration"))
        self._hsm = hsm
        self._cluster = Authenticator(master, context("cluster"))

    def seal_key(self, row: KeyRow, material: bytes) -> KeyRow:
        """Return the row with the material sealed to it."""
        sealed = self._sealer.seal(material, row.context())
        return replace(row, sealed=sealed)

    def open_key(self, row: KeyRow) -> bytes:
        """Return a key's material.

        Raises:
            StoreDamaged: The row does not open.
        """
        return self._open(row.sealed, row.context(), f"key {row.handle:#018x}")

    def seal_user(self, row: UserRow, verifier: str) -> UserRow:
        """Return the row with the password hash sealed to it."""
        return replace(row, verifier=self._sealer.seal(verifier.encode(), row.context()))

    def open_user(self, row: UserRow) -> str:
        """Return a user's password hash, which also proves the row's registered keys.

        Raises:
            StoreDamaged: The row does not open.
        """
        return self._open(row.verifier, row.context(), f"user {row.username!r}").decode()

    def seal_settings(self, settings: bytes, *, versions: bool = True) -> bytes:
        """Seal the HSM's settings, and with them that there is a log, and that all rows have ``versions``."""
        return self._sealer.seal(settings, _SETTINGS if versions else _SETTINGS_BEFORE_VERSIONS)

    def open_settings(self, sealed: bytes) -> bytes:
        """Return the HSM's settings.

        Raises:
            StoreDamaged: They do not open.
        """
        for place in (_SETTINGS_BEFORE_LOGS, _SETTINGS_BEFORE_VERSIONS):
            settings = self._sealer.open(sealed, place)
            if settings is not None:
                return settings
        return self._open(sealed, _SETTINGS, "the settings")

    def sealed_before_logs(self, sealed: bytes) -> bool:
        """Tell whether settings were sealed by a version without an audit log."""
        return self._sealer.open(sealed, _SETTINGS_BEFORE_LOGS) is not None

    def sealed_before_versions(self, sealed: bytes) -> bool:
        """Tell whether settings were sealed by a version without versions of rows."""
        return self._sealer.open(sealed, _SETTINGS_BEFORE_VERSIONS) is not None

    def seal_quorum(self, rules: bytes, version: int) -> bytes:
        """Seal the quorum values and timeouts to a version of their row; 0 for an older schema."""
        return self._sealer.seal(rules, _quorum_context(version))

    def open_quorum(self, sealed: bytes, version: int) -> bytes:
        """Return the quorum values and timeouts.

        Raises:
            StoreDamaged: They do not open.
        """
        return self._open(sealed, _quorum_context(version), "the quorum values")

    def seal_quorum_tokens(self, tokens: bytes, version: int) -> bytes:
        """Seal the quorum tokens of a cluster, which are in the row with this version."""
        return self._sealer.seal(tokens, context("quorum tokens row", version.to_bytes(8, "big")))

    def open_quorum_tokens(self, sealed: bytes, version: int) -> bytes:
        """Return the quorum tokens of a cluster.

        Raises:
            StoreDamaged: They do not open.
        """
        return self._open(sealed, context("quorum tokens row", version.to_bytes(8, "big")), "the quorum tokens")

    def seal_tls(self, kind: str, content: bytes) -> bytes:
        """Seal a file with a key for TLS: ``request`` or ``identity``."""
        return self._sealer.seal(content, context(f"tls {kind}"))

    def open_tls(self, kind: str, sealed: bytes) -> bytes:
        """Return the content of a file with a key for TLS.

        Raises:
            StoreDamaged: It does not open.
        """
        content = self._sealer.open(sealed, context(f"tls {kind}"))
        if content is None:
            raise StoreDamaged(
                f"the file tls.{kind} of the state directory is damaged; `hsm cluster csr --new-key` and "
                "`hsm cluster initialize` replace it"
            )
        return content

    def seal_entry(self, sequence: int, digest: bytes) -> bytes:
        """Seal the hash of an entry of the audit log."""
        return self._sealer.seal(b"", self._own("audit entry", sequence.to_bytes(8, "big"), digest))

    def sealed_entry(self, sequence: int, digest: bytes, seal: bytes) -> bool:
        """Tell whether a seal belongs to an entry and its hash."""
        return self._sealer.open(seal, self._own("audit entry", sequence.to_bytes(8, "big"), digest)) is not None

    def seal_head(self, count: int, reboot: int, digest: bytes) -> bytes:
        """Seal the head of the audit log: the last entry's hash, bound to the number of entries."""
        return self._sealer.seal(digest, self._own("audit head", count.to_bytes(8, "big"), reboot.to_bytes(8, "big")))

    def open_head(self, count: int, reboot: int, sealed: bytes) -> bytes | None:
        """Return the hash of the last entry; ``None`` where the head was changed."""
        return self._sealer.open(sealed, self._own("audit head", count.to_bytes(8, "big"), reboot.to_bytes(8, "big")))

    def registration_code(self, data: bytes, role: str) -> bytes:
        """Return the code that authenticates a registration token of a user in a role; the role may be empty.

        It is no seal: anyone may request one without a login, and the number of seals under one key is limited.
        """
        return self._registrations.code(self._own("registration token", data, role.encode()))

    def is_registration_code(self, data: bytes, role: str, code: bytes) -> bool:
        """Tell whether a code authenticates a registration token."""
        return self._registrations.holds(self._own("registration token", data, role.encode()), code)

    def of(self, hsm: int) -> Vault:
        """Return the vault of another HSM with the same master key."""
        other = copy(self)
        other._hsm = hsm
        return other

    def cluster_code(self, data: bytes) -> bytes:
        """Return the code of a row that the HSMs of a cluster share. It is no seal either: it changes every second."""
        return self._cluster.code(data)

    def is_cluster_code(self, data: bytes, code: bytes) -> bool:
        """Tell whether a code is that of such a row."""
        return self._cluster.holds(data, code)

    def _own(self, kind: str, *fields: bytes) -> bytes:
        """Return associated data that is bound to this HSM; the first HSM's is that of an HSM without a cluster."""
        return (
            context(kind, *fields) if self._hsm == 1 else context(f"{kind} of", self._hsm.to_bytes(4, "big"), *fields)
        )

    def _open(self, sealed: bytes, place: bytes, what: str) -> bytes:
        plain = self._sealer.open(sealed, place)
        if plain is None:
            raise StoreDamaged(f"the stored row of {what} is damaged or was edited; restore it from a backup")
        return plain


def _quorum_context(version: int) -> bytes:
    return context("quorum row", version.to_bytes(8, "big")) if version else context("quorum")


def new_secret(domain: Domain | None = None) -> bytes:
    """Return the secret of a new HSM: a random master key, and the key of a domain or of a new one."""
    key = secrecy.random_bytes(secrecy.KEY_BYTES) if domain is None else domain.key
    return secrecy.random_bytes(secrecy.KEY_BYTES) + key


def seal_secret(secret: bytes, passphrase: bytes | None, file_key: bytes) -> bytes:
    """Seal the HSM's secret under a passphrase; ``None`` seals it under the key file's 32 bytes."""
    if passphrase is None:
        header = _HEADER.pack(_VERSION, _BY_FILE, bytes(secrecy.SALT_BYTES), 0, 0, 0)
        key = file_key
    else:
        salt = secrecy.random_bytes(secrecy.SALT_BYTES)
        cost = secrecy.MEMORY_KIB, secrecy.ITERATIONS, secrecy.LANES
        header = _HEADER.pack(_VERSION, _BY_PASSPHRASE, salt, *cost)
        key = secrecy.key_from_passphrase(passphrase, salt, *cost)
    return header + Sealer(key).seal(secret, context("master", header))


def open_secret(sealed: bytes, passphrase: bytes | None, read_file_key: Callable[[], bytes]) -> bytes:
    """Return the HSM's secret.

    Raises:
        MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
        StateVersion: A newer version sealed it.
        StoreDamaged: The seal is damaged.
    """
    if len(sealed) < _HEADER.size:
        raise StoreDamaged("the sealed master key is cut short; restore the state directory")
    header = sealed[: _HEADER.size]
    version, kind, salt, memory, passes, lanes = _HEADER.unpack(header)
    if version != _VERSION:
        raise StateVersion(f"the master key is sealed in form {version}, which is newer than this version of hsmbridge")
    if kind == _BY_FILE:
        key, wrong = read_file_key(), "the key file master.key is not the one of this HSM's master key"
    elif passphrase is None:
        raise MasterKeyUnavailable("a passphrase seals the master key; set HSM_PASSPHRASE to that of `hsm init`")
    elif not plausible_cost(memory, passes, lanes):
        raise StoreDamaged("the sealed master key's header is damaged; restore the state directory")
    else:
        key = secrecy.key_from_passphrase(passphrase, salt, memory, passes, lanes)
        wrong = "the passphrase does not open the master key; set HSM_PASSPHRASE to that of `hsm init`"
    secret = Sealer(key).open(sealed[_HEADER.size :], context("master", header))
    if secret is None:
        raise MasterKeyUnavailable(wrong)
    return secret


def plausible_cost(memory: int, passes: int, lanes: int) -> bool:
    """Tell whether this HSM may have chosen a cost of Argon2id; a forged one could take all memory, or hours."""
    bounds = zip((memory, passes, lanes), _MAX_COST, strict=True)
    return all(0 < value <= most for value, most in bounds) and memory >= 8 * lanes
