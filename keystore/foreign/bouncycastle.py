"""BKS and UBER, the key stores of Bouncy Castle, read by pyjks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import jks
from jks import util

from hsmcore.errors import ForeignKeyPassword, ForeignKeyUnreadable, ForeignStoreDamaged, ForeignStorePassword
from keystore.foreign.model import Found, Open, Opened, private_key, secret_key

MAX_ROUNDS = 1_000_000
"""Highest iteration count of a file. Bouncy Castle writes 1024 to 2047; pyjks computes a million in seconds."""
_VERSION_BYTES = 4


class _JavaText:
    """Reads texts as ``DataInput.readUTF`` does; pyjks assumes UTF-8."""

    @classmethod
    def _read_utf(cls, data: bytes, position: int, kind: str = "text") -> tuple[str, int]:
        (size,) = struct.unpack_from(">H", data, position)
        encoded = data[position + 2 : position + 2 + size]
        try:
            # Modified UTF-8: NUL in two bytes, and each half of a surrogate pair in three.
            halves = encoded.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
            text = halves.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeError as error:
            raise util.BadKeystoreFormatException(f"{kind} is not text") from error
        return text, position + 2 + size


# pyjks has no annotations, so mypy accepts its classes only as values.
_BksStore: Any = type("_BksStore", (_JavaText, jks.BksKeyStore), {})
_UberStore: Any = type("_UberStore", (_JavaText, jks.UberKeyStore), {})


def read_bks(data: bytes, password: str) -> list[Found]:
    """Read a BKS file, version 1 or 2.

    Raises:
        ForeignStoreDamaged: The file is damaged.
        ForeignStorePassword: The password is wrong, or the file was changed.
    """
    return list(_entries(_loaded(_BksStore, data, password)))


def read_uber(data: bytes, password: str) -> list[Found]:
    """Read an UBER file.

    Raises:
        ForeignStoreDamaged: The file is damaged, or this Python cannot load the package twofish.
        ForeignStorePassword: The password is wrong, or the file was changed.
    """
    try:
        import twofish  # noqa: F401 - without it pyjks cannot open the file
    except ImportError as error:
        raise ForeignStoreDamaged(
            f"UBER files cannot be read with this Python: the package twofish does not load ({error});"
            " convert the file to BKS or PKCS #12 with Bouncy Castle's keytool, or use Python 3.11"
        ) from error
    return list(_entries(_loaded(_UberStore, data, password)))


def _loaded(kind: Any, data: bytes, password: str) -> Any:
    if _rounds(data[_VERSION_BYTES:]) > MAX_ROUNDS:
        raise ForeignStoreDamaged(f"the file asks for more than {MAX_ROUNDS} iterations")
    try:
        return kind.loads(data, password, try_decrypt_keys=False)
    except (util.KeystoreSignatureException, util.DecryptionFailureException) as error:
        raise ForeignStorePassword("the password is wrong, or the file was changed") from error
    except Exception as error:
        # pyjks and javaobj raise any kind of error for unexpected bytes.
        raise ForeignStoreDamaged(f"the file is damaged: {error}") from error


def _rounds(data: bytes) -> int:
    """Return the iteration count after a salt with its length, as BKS and UBER files have them; 0 where data ends."""
    salt = int.from_bytes(data[:4], "big")
    return int.from_bytes(data[4 + salt : 8 + salt], "big")


def _entries(store: Any) -> Iterator[Found]:
    for alias, entry in store.entries.items():
        if isinstance(entry, jks.TrustedCertEntry):
            yield Found(alias, (bytes(entry.cert),))
        else:
            yield Found(alias, tuple(_chain(entry)), _opener(entry))


def _chain(entry: Any) -> Iterator[bytes]:
    # No secret key has the attribute, and a sealed one has it once it is decrypted.
    for certificate in vars(entry).get("cert_chain") or ():
        yield bytes(certificate.cert if isinstance(certificate, jks.TrustedCertEntry) else certificate[1])


def _opener(entry: Any) -> Open:
    def opened(password: str) -> Opened:
        if isinstance(entry, jks.BksSecretKeyEntry):
            raise ForeignKeyUnreadable("the program that wrote the file protected the key in its own way")
        if isinstance(entry, jks.BksSealedKeyEntry) and _rounds(vars(entry)["_encrypted"] or b"") > MAX_ROUNDS:
            raise ForeignKeyUnreadable(f"the key asks for more than {MAX_ROUNDS} iterations")
        try:
            entry.decrypt(password)
        except Exception as error:
            # A wrong password causes any kind of error later.
            raise ForeignKeyPassword("the password does not open the key") from error
        return _key(entry)

    return opened


def _key(entry: Any) -> Opened:
    if entry.type == jks.bks.KEY_TYPE_PRIVATE:
        return private_key(bytes(entry.pkey_pkcs8))
    if entry.type == jks.bks.KEY_TYPE_SECRET:
        return secret_key(str(entry.algorithm), bytes(entry.key))
    raise ForeignKeyUnreadable("the entry is a public key, which a CloudHSM key store cannot hold")
