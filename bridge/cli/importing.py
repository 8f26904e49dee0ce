"""The implementation of ``hsm keystore import``: imports entries one by one, with a report row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.carriers.client import Client
from bridge.cli.reports import IMPORTABLE, IMPORTED, LEFT_OUT, REFUSED, THERE, Row, type_name
from bridge.cli.storefiles import LoadedStore
from bridge.cli.tables import maps
from bridge.protocol.codec import Value
from hsmcore.errors import ForeignKeyPassword, ForeignKeyUnreadable, HsmError, KeyStoreError, KeyUseError, RequestError
from keystore.foreign import Candidate, Found, Reason, Refused, check_chain, judge
from keystore.foreign.model import Opened


@dataclass(slots=True)
class Passwords:
    """Passwords of keys: the known ones, tried in turn, and a function that asks for another one."""

    known: list[str] = field(repr=False)
    ask: Callable[[str], str] | None = None
    """Asks for the password of the key with an alias; the answer may be empty."""

    def open(self, found: Found) -> Opened:
        """Open the key of an entry.

        Raises:
            Refused: No password opens the key, or the key is unreadable.
        """
        for password in self.known:
            opened = _opened(found, password)
            if opened is not None:
                return opened
        if self.ask is not None and (answer := self.ask(found.alias)):
            opened = _opened(found, answer)
            if opened is not None:
                self.known.append(answer)
                return opened
        raise Refused(Reason.KEY_PASSWORD, "none of the passwords given opens the key; --key-password asks for it")


def _opened(found: Found, password: str) -> Opened | None:
    if found.open is None:
        return None
    try:
        return found.open(password)
    except ForeignKeyPassword:
        return None
    except ForeignKeyUnreadable as error:
        raise Refused(Reason.KEY, str(error)) from error


class Importer:
    """Imports keys into the HSM, and certificates into a loaded key store.

    Args:
        store: The loaded key store; ``None`` skips certificates.
        template: Attributes for each new key.
        dry_run: Query the HSM and change nothing.
    """

    def __init__(
        self,
        client: Client,
        store: LoadedStore | None,
        passwords: Passwords,
        template: Mapping[str, bool],
        *,
        dry_run: bool,
    ) -> None:
        self._client = client
        self._store = store
        self._passwords = passwords
        self._template = template
        self._dry_run = dry_run
        self._seen: dict[str, str] = {}
        self.changed = False
        """True once the key store has unsaved entries."""

    def take(self, found: Found) -> Row:
        """Import one entry and return its row. The row reports a fault of the entry; a fault of the HSM is raised."""
        row = Row(found.alias, "certificate" if found.open is None else "key", certificates=len(found.chain))
        try:
            self._check_alias(found.alias)
            if found.open is None:
                self._take_certificate(found, row)
            else:
                self._take_key(found, row)
        except Refused as refused:
            row.result, row.reason, row.detail = REFUSED, refused.reason, refused.detail
        except (KeyUseError, KeyStoreError, RequestError) as error:
            row.result, row.reason, row.detail = REFUSED, Reason.HSM, str(error)
        return row

    def _check_alias(self, alias: str) -> None:
        if not alias:
            raise Refused(Reason.ALIAS, "the alias is empty")
        before = self._seen.get(alias.casefold())
        self._seen[alias.casefold()] = alias
        if before is not None:
            other = "the same alias" if before == alias else f"{before!r}, which differs only in case"
            raise Refused(Reason.DUPLICATE, f"the file has an earlier entry with {other}; rename one of them")

    def _take_certificate(self, found: Found, row: Row) -> None:
        check_chain(None, found.chain)
        if self._store is None:
            row.result = LEFT_OUT
            return
        if self._store.knows(found.alias):
            if self._store.is_certificate(found.alias) and self._store.chain(found.alias) == list(found.chain):
                row.result = THERE
                return
            raise Refused(Reason.ALIAS_TAKEN, "the alias names a key, or another certificate, in the key store")
        row.result = IMPORTABLE
        if not self._dry_run:
            self._store.set_certificate(found.alias, found.chain[0])
            self.changed = True
            row.result = IMPORTED

    def _take_key(self, found: Found, row: Row) -> None:
        opened = self._passwords.open(found)
        row.kind = "private key" if opened.object_class == "PRIVATE_KEY" else "secret key"
        candidate = judge(found.alias, opened, found.chain, self._template)
        row.type = type_name(candidate.attributes["KEY_TYPE"], candidate.size)
        if self._store is not None and self._store.is_certificate(found.alias):
            raise Refused(Reason.ALIAS_TAKEN, "the alias names a trusted certificate in the key store")
        handle = self._present(found.alias, candidate)
        row.result = IMPORTABLE if handle is None else THERE
        kept = [] if self._store is None else self._store.chain(found.alias)
        if handle is not None and kept and found.chain and kept != list(found.chain):
            row.detail = "the key store has other certificates for it, which were not changed"
            return
        if self._dry_run:
            return
        if handle is None:
            handle = self._imported(candidate)
            row.result = IMPORTED
        if self._store is not None and found.chain and kept != list(found.chain):
            self._store.set_key(found.alias, handle, found.chain)
            self.changed = True
        elif not found.chain and candidate.public_key_info is not None:
            row.detail = "the file has no certificate for it"

    def _imported(self, candidate: Candidate) -> int:
        (record,) = self._client.call("IMPORT_KEY", dict(candidate.attributes), candidate.material)
        return _handle(maps([record])[0])

    def _present(self, alias: str, candidate: Candidate) -> int | None:
        """Return the handle of the key if the HSM has it already, or ``None``.

        Raises:
            Refused: The alias is another key's label.
        """
        found = self._client.found_keys({"LABEL": alias})
        records = [record for record in found if record["OBJECT_CLASS"] != "PUBLIC_KEY"]
        if not records:
            return None
        if len(records) > 1 or not self._same(records[0], candidate):
            raise Refused(Reason.ALIAS_TAKEN, "the alias is the label of another key in the HSM")
        return _handle(records[0])

    def _same(self, record: Mapping[str, Value], candidate: Candidate) -> bool:
        names: Sequence[str] = ("OBJECT_CLASS", "KEY_TYPE", "TOKEN")
        if any(record[name] != candidate.attributes[name] for name in names) or record["SIZE"] != candidate.size:
            return False
        check = candidate.check
        if check is None:
            return record.get("PUBLIC_KEY_INFO") == candidate.public_key_info
        try:
            result = self._client.call(check.operation, _handle(record), check.mechanism, None, check.data)[0]
        except KeyUseError as error:
            raise Refused(Reason.ALIAS_TAKEN, f"the key with this label cannot be compared: {error}") from error
        return result == check.result


def _handle(record: Mapping[str, Value]) -> int:
    handle = record["HANDLE"]
    if not isinstance(handle, int):
        raise HsmError("the HSM sent an unknown answer; is the daemon of another version?")
    return handle
