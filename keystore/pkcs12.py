"""A reader of the certificates in a PKCS #12 file (RFC 7292, DER). It counts the keys and does not decrypt them.

``cryptography`` decrypts every key of a file too, with as many iterations as the file asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from hmac import compare_digest, digest

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from hsmcore.errors import KeyStoreDamaged, KeyStorePassword
from keystore import der
from keystore.der import INTEGER, OCTETS, OID, SEQUENCE, SET

MAX_ROUNDS = 100_000
"""Most iterations of key derivation for one whole file: at most a fifth of a second. The JDK writes 20,000."""
MAX_BYTES = 32 * 1024 * 1024
"""Longest file, in bytes."""
MAX_BAGS = 10_000
"""Most certificates and keys in a file. Reading and writing so many takes about a second."""
_MAX_PARTS, _MAX_ATTRIBUTES = 100, 100

_DATA, _ENCRYPTED = der.oid("1.2.840.113549.1.7.1"), der.oid("1.2.840.113549.1.7.6")
_KEY, _SHROUDED, _CERTIFICATE, _SECRET = (der.oid(f"1.2.840.113549.1.12.10.1.{bag}") for bag in (1, 2, 3, 5))
_X509 = der.oid("1.2.840.113549.1.9.22.1")
_FRIENDLY_NAME, _LOCAL_KEY_ID = der.oid("1.2.840.113549.1.9.20"), der.oid("1.2.840.113549.1.9.21")
_TRUSTED_USAGE = der.oid("2.16.840.1.113894.746875.1.1")
"""The attribute by which Java marks a trusted certificate (JDK-8006591)."""
_PBES2, _PBKDF2 = der.oid("1.2.840.113549.1.5.13"), der.oid("1.2.840.113549.1.5.12")

_DIGESTS = {
    der.oid("1.3.14.3.2.26"): "sha1",
    der.oid("2.16.840.1.101.3.4.2.4"): "sha224",
    der.oid("2.16.840.1.101.3.4.2.1"): "sha256",
    der.oid("2.16.840.1.101.3.4.2.2"): "sha384",
    der.oid("2.16.840.1.101.3.4.2.3"): "sha512",
}
"""Digests of the authentication code (RFC 7292, 4)."""
_DEFAULT_PRF = der.oid("1.2.840.113549.2.7")
_PRFS: dict[bytes, hashes.HashAlgorithm] = {
    _DEFAULT_PRF: hashes.SHA1(),  # noqa: S303 - files name it
    der.oid("1.2.840.113549.2.8"): hashes.SHA224(),
    der.oid("1.2.840.113549.2.9"): hashes.SHA256(),
    der.oid("1.2.840.113549.2.10"): hashes.SHA384(),
    der.oid("1.2.840.113549.2.11"): hashes.SHA512(),
}
"""HMACs of PBKDF2 (RFC 8018, B.1.2)."""
_AES_KEY_SIZES = {der.oid(f"2.16.840.1.101.3.4.1.{arc}"): size for arc, size in ((2, 16), (22, 24), (42, 32))}
"""AES-CBC by key size, in bytes."""


@dataclass(frozen=True, slots=True)
class Bag:
    """A certificate (DER) or a key of a file (``certificate`` is ``None``), with its attributes."""

    certificate: bytes | None
    name: str
    key_id: bytes
    trusted: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """The bags of a file; ``opened`` is false if encrypted ones are missing because the password was not given."""

    bags: list[Bag]
    opened: bool


def read(file: bytes, password: str | None) -> Contents:
    """Return the bags of a file.

    Args:
        password: ``None`` opens a file under the empty password, and reads the unencrypted parts of other files.

    Raises:
        KeyStoreDamaged: The file is not a PKCS #12 in DER, is damaged or too large, asks for too many iterations, or is
            protected in an unsupported way.
        KeyStorePassword: The password is wrong, or the file was changed.
    """
    if len(file) > MAX_BYTES:
        raise KeyStoreDamaged(f"the key store file is longer than {MAX_BYTES:,} bytes")
    try:
        safe, mac = _outer(file)
        return _opened(safe, mac, password)
    except der.Malformed as error:
        raise KeyStoreDamaged(f"the key store file is damaged, or not a PKCS #12 in DER: {error}") from error


def _outer(file: bytes) -> tuple[bytes, bytes | None]:
    """Return the AuthenticatedSafe and the MacData.

    Raises:
        KeyStoreDamaged: The file is not a password-protected PKCS #12, is truncated, or more bytes follow.
    """
    tag, length = der.outermost(file)
    if tag != SEQUENCE:
        raise KeyStoreDamaged("the file is not a CloudHSM key store: it is not a PKCS #12 file")
    if length != len(file):
        raise KeyStoreDamaged(f"the key store file is damaged: {length} bytes expected, {len(file)} found")
    pfx = der.Reader(der.Reader(file).take(SEQUENCE))
    version, safe = pfx.take(INTEGER), der.Reader(pfx.take(SEQUENCE))
    if version != b"\x03" or safe.take(OID) != _DATA:
        raise KeyStoreDamaged("the file is not a CloudHSM key store: it is not a PKCS #12 file under a password")
    return _explicit_octets(safe), pfx.take(SEQUENCE) if pfx.more() else None


def _opened(safe: bytes, mac: bytes | None, password: str | None) -> Contents:
    """Authenticate and decrypt the parts of a file.

    Raises:
        KeyStoreDamaged: A part is protected in an unsupported way, or there are too many certificates.
        KeyStorePassword: The password is wrong, or the file was changed.
    """
    rounds = _Rounds()
    if mac is None and password:
        raise KeyStorePassword(
            "the key store file has no authentication code, so that a password cannot show that nobody changed it;"
            " an empty one opens the file if it is not encrypted"
        )
    fits = mac is None or _authentic(safe, mac, password or "", rounds)
    if not fits and password is not None:
        raise KeyStorePassword("the key store's password is wrong, or the file was changed")
    decrypts = fits and not (mac is None and password is None)
    bags: list[Bag] = []
    opened = True
    for part in der.each(safe, SEQUENCE, _MAX_PARTS):
        info = der.Reader(part)
        kind = info.take(OID)
        if kind == _DATA:
            bags.extend(_bags(_explicit_octets(info)))
        elif kind != _ENCRYPTED:
            raise KeyStoreDamaged("a part of the key store file is not protected by a password")
        elif decrypts:
            bags.extend(_bags(_decrypted(info, password or "", rounds)))
        else:
            opened = False
        if len(bags) > MAX_BAGS:
            raise KeyStoreDamaged(f"the key store file has more than {MAX_BAGS:,} certificates and keys")
    return Contents(bags, opened and fits)


class _Rounds:
    """The number of iterations that remain for a file."""

    def __init__(self) -> None:
        self._left = MAX_ROUNDS

    def spend(self, encoded: bytes) -> int:
        """Return the number of iterations (an INTEGER's content) and subtract it.

        Raises:
            KeyStoreDamaged: The number is too small, or too large with the numbers before.
        """
        rounds = int.from_bytes(encoded[:8], "big", signed=True)
        if len(encoded) > 8 or not 1 <= rounds <= self._left:
            raise KeyStoreDamaged(
                f"the key store file asks for {rounds if len(encoded) <= 8 else 'too many'} iterations of its key"
                f" derivation; the limit is {MAX_ROUNDS:,} for a whole file"
            )
        self._left -= rounds
        return rounds


def _authentic(safe: bytes, mac_data: bytes, password: str, rounds: _Rounds) -> bool:
    """Return whether the authentication code is right.

    Raises:
        KeyStoreDamaged: The code is of an unsupported kind.
    """
    reader = der.Reader(mac_data)
    mac, salt = der.Reader(reader.take(SEQUENCE)), reader.take(OCTETS)
    count = rounds.spend(reader.take(INTEGER) if reader.more() else b"\x01")
    name = _DIGESTS.get(der.Reader(mac.take(SEQUENCE)).take(OID))
    if name is None:
        raise KeyStoreDamaged("the key store file's authentication code is of an unsupported kind")
    return compare_digest(digest(_mac_key(name, password, salt, count), safe, name), mac.take(OCTETS))


def _mac_key(name: str, password: str, salt: bytes, rounds: int) -> bytes:
    """Derive the key of the authentication code (RFC 7292, B.2, with ID 3 and one block of output)."""
    size = hashlib.new(name).block_size
    block = b"\x03" * size + _filled(salt, size) + _filled(password.encode("utf-16-be") + b"\0\0", size)
    for _ in range(rounds):
        block = hashlib.new(name, block).digest()
    return block


def _filled(text: bytes, size: int) -> bytes:
    """Repeat the text up to a multiple of the size, in bytes."""
    length = size * -(-len(text) // size)
    return (text * (length // len(text) + 1))[:length] if text else b""


def _explicit_octets(reader: der.Reader) -> bytes:
    return der.Reader(reader.take(der.EXPLICIT_0)).take(OCTETS)


def _decrypted(info: der.Reader, password: str, rounds: _Rounds) -> bytes:
    """Return the content of an EncryptedData.

    Raises:
        KeyStoreDamaged: The encryption is not PBES2 with AES.
        KeyStorePassword: The password is wrong, or the file was changed.
    """
    encrypted = der.Reader(der.Reader(info.take(der.EXPLICIT_0)).take(SEQUENCE))
    encrypted.take(INTEGER)
    content = der.Reader(encrypted.take(SEQUENCE))
    content.take(OID)
    algorithm, data = der.Reader(content.take(SEQUENCE)), content.take(der.IMPLICIT_0)
    if algorithm.take(OID) != _PBES2:
        raise KeyStoreDamaged(
            "the key store file has the encryption of old programs (not PBES2);"
            " `keytool -importkeystore` of JDK 17 or later copies it to a new file"
        )
    key, iv = _pbes2(der.Reader(algorithm.take(SEQUENCE)), password, rounds)
    try:
        decryptor = Cipher(AES(key), modes.CBC(iv)).decryptor()
        unpadder = padding.PKCS7(AES.block_size).unpadder()
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise KeyStorePassword("the key store's password is wrong, or the file was changed") from error


def _pbes2(parameters: der.Reader, password: str, rounds: _Rounds) -> tuple[bytes, bytes]:
    """Return the key and the IV for AES-CBC (RFC 8018, A.4).

    Raises:
        KeyStoreDamaged: The parameters name unsupported algorithms.
    """
    derivation, encryption = der.Reader(parameters.take(SEQUENCE)), der.Reader(parameters.take(SEQUENCE))
    length = _AES_KEY_SIZES.get(encryption.take(OID))
    if derivation.take(OID) != _PBKDF2 or length is None:
        raise KeyStoreDamaged("the key store file is encrypted in an unsupported way (supported: PBKDF2 with AES-CBC)")
    pbkdf2 = der.Reader(derivation.take(SEQUENCE))
    salt, count = pbkdf2.take(OCTETS), rounds.spend(pbkdf2.take(INTEGER))
    if pbkdf2.more() and pbkdf2.peek() == INTEGER:
        pbkdf2.take(INTEGER)
    prf = _PRFS.get(der.Reader(pbkdf2.take(SEQUENCE)).take(OID) if pbkdf2.more() else _DEFAULT_PRF)
    if prf is None:
        raise KeyStoreDamaged("the key store file's key derivation is of an unsupported kind")
    return PBKDF2HMAC(prf, length, salt, count).derive(password.encode()), encryption.take(OCTETS)


def _bags(contents: bytes) -> Iterator[Bag]:
    for encoded in der.each(contents, SEQUENCE, MAX_BAGS):
        bag = der.Reader(encoded)
        kind, value = bag.take(OID), bag.take(der.EXPLICIT_0)
        if kind in (_KEY, _SHROUDED, _SECRET):
            yield _bag(None, bag)
        elif kind == _CERTIFICATE:
            certificate = der.Reader(der.Reader(value).take(SEQUENCE))
            if certificate.take(OID) == _X509:
                yield _bag(_explicit_octets(certificate), bag)


def _bag(certificate: bytes | None, bag: der.Reader) -> Bag:
    attributes: dict[bytes, der.Reader] = {}
    for encoded in der.each_in(bag.take(SET) if bag.more() else b"", SEQUENCE, _MAX_ATTRIBUTES):
        attribute = der.Reader(encoded)
        kind = attribute.take(OID)
        attributes[kind] = der.Reader(attribute.take(SET))
    name, key_id = attributes.get(_FRIENDLY_NAME), attributes.get(_LOCAL_KEY_ID)
    return Bag(
        certificate,
        name.take(der.BMP_STRING).decode("utf-16-be", errors="replace") if name else "",
        key_id.take(OCTETS) if key_id else b"",
        _TRUSTED_USAGE in attributes,
    )
