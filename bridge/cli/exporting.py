"""The implementation of ``hsm keystore export``: collects entries for the file, with a report row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.carriers.client import Client
from bridge.cli.reports import EXPORTED, REFUSED, Row, type_name
from bridge.cli.storefiles import LoadedStore
from bridge.protocol.codec import Value
from hsmcore.errors import KeyStoreEntry, KeyUseError
from keystore.foreign import OwnKey, Reason, Refused


class Exporter:
    """Collects the entries of a loaded key store for export; private and secret keys only if ``with_keys``."""

    def __init__(self, client: Client, store: LoadedStore, *, with_keys: bool) -> None:
        self._client = client
        self._store = store
        self._with_keys = with_keys
        self.keys: list[OwnKey] = []
        self.certificates: list[tuple[str, bytes]] = []
        """Aliases and DER; the alias of an issuer has the alias of the key and a number: ``release (issuer 1)``."""

    def take_all(self, aliases: Sequence[str]) -> list[Row]:
        """Collect the entries with these aliases, or all entries if ``aliases`` is empty.

        Raises:
            KeyStoreEntry: The key store has no entry with one of the aliases.
        """
        known = self._store.aliases()
        unknown = [alias for alias in aliases if alias not in known]
        if unknown:
            raise KeyStoreEntry(f"the key store has no entry {unknown[0]!r}")
        rows = [self.take(alias) for alias in aliases or known]
        return [row for row in rows if row is not None]

    def take(self, alias: str) -> Row | None:
        """Collect one entry; ``None`` if it has nothing to export, such as a key without certificates."""
        chain, is_certificate = self._store.chain(alias), self._store.is_certificate(alias)
        row = Row(alias, "certificate" if is_certificate else "key", certificates=len(chain), result=EXPORTED)
        try:
            if self._with_keys:
                self._check_alias(alias)
                if not is_certificate:
                    return self._take_key(alias, chain, row)
        except Refused as refused:
            row.result, row.reason, row.detail = REFUSED, refused.reason, refused.detail
            return row
        if not chain:
            return None
        row.kind = "certificate"
        self._take_certificates(alias, chain)
        return row

    def _check_alias(self, alias: str) -> None:
        taken = [key.alias for key in self.keys] + [other for other, _ in self.certificates]
        if alias.casefold() in map(str.casefold, taken):
            raise Refused(Reason.DUPLICATE, "another alias differs only in case, which PKCS #12 ignores")

    def _take_certificates(self, alias: str, chain: Sequence[bytes]) -> None:
        self.certificates.append((alias, chain[0]))
        known = {der for _, der in self.certificates}
        self.certificates += [
            (f"{alias} (issuer {place})", der) for place, der in enumerate(chain[1:], 1) if der not in known
        ]

    def _take_key(self, alias: str, chain: Sequence[bytes], row: Row) -> Row | None:
        record = self._record(alias)
        if record is None or record["OBJECT_CLASS"] == "PUBLIC_KEY":
            return None
        private = record["OBJECT_CLASS"] == "PRIVATE_KEY"
        row.kind, row.type = "private key" if private else "secret key", type_name(record["KEY_TYPE"], record["SIZE"])
        if private and not chain:
            raise Refused(Reason.CERTIFICATE, "the key store file has no certificate for it, which PKCS #12 needs")
        (material,) = self._client.call("CLEAR_VALUE", record["HANDLE"])
        if not isinstance(material, bytes):
            raise Refused(Reason.NOT_EXTRACTABLE, _why(record))
        self.keys.append(OwnKey(alias, str(record["KEY_TYPE"]), material, tuple(chain)))
        return row

    def _record(self, alias: str) -> Mapping[str, Value] | None:
        try:
            return self._store.key(alias)
        except KeyUseError as error:
            raise Refused(Reason.HSM, str(error)) from error


def _why(record: Mapping[str, Value]) -> str:
    if not record["EXTRACTABLE"]:
        return "the key is not extractable (EXTRACTABLE is false)"
    if record["WRAP_WITH_TRUSTED"]:
        return "the key can only be wrapped with a trusted key (WRAP_WITH_TRUSTED)"
    return "this HSM extracts no keys in the clear; `hsm init --enable-clear-key-extraction` makes one that does"
