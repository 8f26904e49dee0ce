"""The file of a backup: a header, then sealed parts of a bounded size. ``docs/backup.md`` describes it.

The reader checks each length before it reads that many bytes. It decodes a part only after the seal has proved the
part's content, its place, the header before it, and whether it is the last one. So it refuses a file that was cut,
edited, or put together from two.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from hsmcore.errors import BackupDamaged, StateVersion
from hsmcore.primitives.secrecy import Sealer, sha256
from hsmcore.storage.rows import context

MAGIC = b"hsmbkup"
VERSION = 1
MAX_HEADER = 16 * 1024
"""Maximum bytes of a header."""
MAX_PART = 1024 * 1024
"""Maximum bytes of a sealed part."""
FULL_PART = 64 * 1024
"""Bytes of content from which on a part is written."""
_LAST = 1 << 31
"""Bit of the length of the last part."""
_BEGINNING = struct.Struct(">7sBI")
_LENGTH = struct.Struct(">I")
_MIN_PART = 28
"""Bytes of nonce and tag."""

Record = Mapping[str, Any]
"""The content of a part."""


@dataclass(frozen=True, slots=True)
class Header:
    """The readable beginning of a backup. ``encoded`` are its bytes, to which every part is bound."""

    fields: Mapping[str, Any]
    encoded: bytes

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Header:
        """Return the header with these fields."""
        text = json.dumps(fields, separators=(",", ":")).encode()
        return cls(fields, _BEGINNING.pack(MAGIC, VERSION, len(text)) + text)

    def text(self, name: str) -> str:
        """Return a field that is a text.

        Raises:
            BackupDamaged: It is missing, or of another type.
        """
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise BackupDamaged(f"the header of the backup has no text {name!r}")
        return value

    def number(self, name: str) -> int:
        """Return a field that is a number from 0 to 2^63 - 1.

        Raises:
            BackupDamaged: It is missing, or of another type.
        """
        value = self.fields.get(name)
        if type(value) is not int or not 0 <= value < 2**63:
            raise BackupDamaged(f"the header of the backup has no number {name!r}")
        return value

    def data(self, name: str) -> bytes:
        """Return a field with bytes in hexadecimal digits; empty where it is missing.

        Raises:
            BackupDamaged: It is of another type.
        """
        try:
            return bytes.fromhex(self.text(name)) if name in self.fields else b""
        except ValueError as error:
            raise BackupDamaged(f"the field {name!r} in the header of the backup is damaged") from error


def read_header(file: BinaryIO) -> Header:
    """Read the header at the beginning of a file.

    Raises:
        BackupDamaged: The file is no backup, or its header is damaged.
        StateVersion: A newer version made the backup.
    """
    beginning = file.read(_BEGINNING.size)
    if len(beginning) < _BEGINNING.size or not beginning.startswith(MAGIC):
        raise BackupDamaged("the file is not a backup of an HSM")
    _, version, length = _BEGINNING.unpack(beginning)
    if version != VERSION:
        raise StateVersion(f"the backup has form {version}; this version of hsmbridge knows form {VERSION}")
    text = file.read(length) if length <= MAX_HEADER else b""
    if len(text) < length:
        raise BackupDamaged("the header of the backup is cut short or damaged")
    fields = _json(text)
    if fields is None:
        raise BackupDamaged("the header of the backup is damaged")
    return Header(fields, beginning + text)


class PartWriter:
    """Writes the parts of one file."""

    def __init__(self, file: BinaryIO, header: Header, key: bytes) -> None:
        self._file = file
        self._sealer = Sealer(key)
        self._header = sha256(header.encoded)
        self._number = 0
        self.digest = b""
        """A digest of all records, in their order."""

    def write(self, record: str, *, last: bool = False) -> None:
        """Seal a record, a JSON object, and write it.

        Raises:
            OSError: The file system refuses.
            OverflowError: The record is too long for a part.
        """
        plain = record.encode()
        self.digest = sha256(self.digest + plain)
        sealed = self._sealer.seal(plain, _place(self._header, self._number, last=last))
        if len(sealed) > MAX_PART:
            raise OverflowError(f"a part of a backup has {len(sealed)} bytes, more than {MAX_PART}")
        self._file.write(_LENGTH.pack(len(sealed) | (_LAST if last else 0)) + sealed)
        self._number += 1


def read_parts(file: BinaryIO, header: Header, key: bytes) -> Iterator[Record]:
    """Yield the records of all parts, from the end of the header on.

    Raises:
        BackupDamaged: A part does not open, or is missing.
    """
    for plain in _opened_parts(file, header, key):
        record = _json(plain)
        if record is None:
            raise BackupDamaged("a part of the backup is not a JSON object")
        yield record


def read_digest(file: BinaryIO, header: Header, key: bytes, step: Callable[[], None]) -> bytes:
    """Return the digest of all records, from the end of the header on; ``step`` is called after each part.

    Raises:
        BackupDamaged: A part does not open, or is missing.
    """
    digest = b""
    for plain in _opened_parts(file, header, key):
        digest = sha256(digest + plain)
        step()
    return digest


def _opened_parts(file: BinaryIO, header: Header, key: bytes) -> Iterator[bytes]:
    sealer, digest = Sealer(key), sha256(header.encoded)
    for number, (sealed, last) in enumerate(_sealed_parts(file)):
        plain = sealer.open(sealed, _place(digest, number, last=last))
        if plain is None:
            raise BackupDamaged(f"part {number + 1} of the backup is damaged or was changed")
        yield plain


def _sealed_parts(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    last = False
    while not last:
        length, last = _length(file.read(_LENGTH.size))
        sealed = file.read(length)
        if len(sealed) < length:
            raise BackupDamaged("the backup is cut short")
        yield sealed, last
    if file.read(1):
        raise BackupDamaged("the backup has bytes after its end")


def is_whole(file: BinaryIO, size: int) -> bool:
    """Tell whether the parts of a file, from the end of the header on, fill its size. Reads only their lengths."""
    position, last = file.tell(), False
    try:
        while not last and position < size:
            file.seek(position)
            length, last = _length(file.read(_LENGTH.size))
            position += _LENGTH.size + length
    except BackupDamaged:
        return False
    return last and position == size


def _length(encoded: bytes) -> tuple[int, bool]:
    if len(encoded) < _LENGTH.size:
        raise BackupDamaged("the backup is cut short")
    (number,) = _LENGTH.unpack(encoded)
    length = number & ~_LAST
    if not _MIN_PART <= length <= MAX_PART:
        raise BackupDamaged(f"a part of the backup claims to have {length} bytes")
    return length, bool(number & _LAST)


def _place(header: bytes, number: int, *, last: bool) -> bytes:
    return context("backup part", header, number.to_bytes(8, "big"), bytes([last]))


def _json(text: bytes) -> Record | None:
    """Return a JSON object; ``None`` for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
