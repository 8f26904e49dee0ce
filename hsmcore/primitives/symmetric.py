"""AES and DESede in CBC, ECB and CTR (SP 800-38A), AES-GCM (SP 800-38D)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from hsmcore.errors import (
    DataLengthInvalid,
    MechanismParameterInvalid,
    PaddingInvalid,
    TagMismatch,
)
from hsmcore.primitives.parameters import Parameters, bytes_parameter, number_parameter
from hsmcore.tables.lookup import row_of
from hsmcore.tables.mechanisms import Mechanism

GCM_IV, GCM_TAG = 12, 16
"""Bytes of an IV that the HSM generates, and of a tag, which follows the ciphertext."""
GCM_TAGS = (8, 12, 13, 14, 15, GCM_TAG)
"""Tag lengths in bytes for decryption (SP 800-38D 5.2.1.2, without the shortest)."""

Sealed = tuple[bytes, dict[str, object] | None]

_ivs: list[bytes] = []
"""Unused random IVs; one system call draws many. ``list.pop`` gives each to one thread only."""
_IVS_DRAWN = 4096
"""So many that drawing is rarer than every 5 ms, the interpreter's switch interval: it releases the interpreter's lock,
and a thread that releases and takes it more often may keep every other thread from it for seconds."""

# A child process must not use the IVs of its parent.
os.register_at_fork(after_in_child=_ivs.clear)


def _draw_ivs() -> bytes:
    drawn = os.urandom(GCM_IV * _IVS_DRAWN)
    fresh = [drawn[at : at + GCM_IV] for at in range(0, len(drawn), GCM_IV)]
    iv = fresh.pop()
    _ivs.extend(fresh)
    return iv


def gcm_encryptor(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes], Sealed]:
    """Encrypt with AES-GCM and an IV that the HSM draws (SP 800-38D 8.2.2). The caller's IV is ignored."""
    encrypt = AESGCM(key).encrypt

    def run(parameters: Parameters, data: bytes) -> Sealed:
        try:
            iv = _ivs.pop()
        except IndexError:
            iv = _draw_ivs()
        return encrypt(iv, data, bytes_parameter(parameters, "aad") if parameters else None), {"iv": iv}

    return run


def gcm_decryptor(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes], bytes]:
    """Decrypt with AES-GCM and the IV of the parameter ``iv``, 12 bytes."""
    decrypt = AESGCM(key).decrypt

    def run(parameters: Parameters, data: bytes) -> bytes:
        iv = bytes_parameter(parameters, "iv")
        if iv is None or len(iv) != GCM_IV:
            raise MechanismParameterInvalid(f"decryption with {row.name} needs the parameter iv of {GCM_IV} bytes")
        tag = number_parameter(parameters, "tag_length") or GCM_TAG
        if tag not in GCM_TAGS:
            raise MechanismParameterInvalid(f"tag_length is one of {', '.join(map(str, GCM_TAGS))} bytes, not {tag}")
        if len(data) < tag:
            raise DataLengthInvalid(f"the ciphertext ends with a tag of {tag} bytes; this one is {len(data)} long")
        if tag < GCM_TAG:
            return _gcm_short(key, iv, data[:-tag], data[-tag:], bytes_parameter(parameters, "aad"))
        try:
            return decrypt(iv, data, bytes_parameter(parameters, "aad"))
        except InvalidTag:
            raise TagMismatch("the authentication tag does not match") from None

    return run


def _gcm_short(key: bytes, iv: bytes, data: bytes, tag: bytes, aad: bytes | None) -> bytes:
    """Decrypt with a truncated tag.

    Raises:
        TagMismatch: The tag does not match.
    """
    decryptor = Cipher(AES(key), modes.GCM(iv, tag, min_tag_length=len(tag))).decryptor()
    decryptor.authenticate_additional_data(aad or b"")
    plain = decryptor.update(data)
    try:
        return plain + decryptor.finalize()
    except InvalidTag:
        raise TagMismatch("the authentication tag does not match") from None


class CipherStream:
    """A multi-part operation in CBC, ECB or CTR."""

    def __init__(self, context: CipherContext, row: Mechanism, *, encrypts: bool) -> None:
        self._context = context
        self._row = row
        self._encrypts = encrypts
        pkcs7 = padding.PKCS7(row.block * 8)
        self._padding = (pkcs7.padder() if encrypts else pkcs7.unpadder()) if row.padded else None
        self._length = 0

    def update(self, data: bytes) -> bytes:
        """Process more data and return the output that is ready."""
        self._length += len(data)
        if self._padding is None:
            return self._context.update(data)
        if self._encrypts:
            return self._context.update(self._padding.update(data))
        return self._padding.update(self._context.update(data))

    def finish(self, data: bytes) -> bytes:
        """Process the last data and return the rest of the output.

        Raises:
            DataLengthInvalid: The length is not a multiple of the block.
            PaddingInvalid: The padding is wrong.
        """
        head = self.update(data)
        whole_blocks = self._row.mode == "CTR" or self._length % self._row.block == 0
        if not whole_blocks and not (self._row.padded and self._encrypts):
            _unaligned(self._row, self._length)
        if self._padding is None:
            return head + self._context.finalize()
        if self._encrypts:
            return head + self._context.update(self._padding.finalize()) + self._context.finalize()
        if self._length == 0:
            _unaligned(self._row, 0)
        try:
            return head + self._padding.update(self._context.finalize()) + self._padding.finalize()
        except ValueError:
            raise PaddingInvalid("the ciphertext does not decrypt: its padding is wrong") from None


def _unaligned(row: Mechanism, length: int) -> NoReturn:
    raise DataLengthInvalid(f"{row.name} takes blocks of {row.block} bytes; the data is {length} bytes long")


def encrypt_stream(row: Mechanism, key: bytes) -> Callable[[Parameters], tuple[CipherStream, dict[str, object] | None]]:
    """Begin a multi-part encryption. Returns the IV, which the HSM draws where the parameter ``iv`` is absent."""
    algorithm = _algorithm(row, key)

    def begin(parameters: Parameters) -> tuple[CipherStream, dict[str, object] | None]:
        iv = _iv(row, parameters)
        context = Cipher(algorithm, _mode(row, iv)).encryptor()
        return CipherStream(context, row, encrypts=True), {"iv": iv} if row.iv else None

    return begin


def decrypt_stream(row: Mechanism, key: bytes) -> Callable[[Parameters], tuple[CipherStream, None]]:
    """Begin a multi-part decryption, with the parameter ``iv`` where the mode has one."""
    algorithm = _algorithm(row, key)

    def begin(parameters: Parameters) -> tuple[CipherStream, None]:
        return CipherStream(
            Cipher(algorithm, _mode(row, _required_iv(row, parameters))).decryptor(), row, encrypts=False
        ), None

    return begin


def _required_iv(row: Mechanism, parameters: Parameters) -> bytes:
    iv = bytes_parameter(parameters, "iv") if row.iv else b""
    if iv is None:
        raise MechanismParameterInvalid(f"decryption with {row.name} needs the parameter iv of {row.iv} bytes")
    return iv


def _iv(row: Mechanism, parameters: Parameters) -> bytes:
    """Return the IV for an encryption; draw one where the parameter is absent."""
    iv = bytes_parameter(parameters, "iv") if row.iv else b""
    return os.urandom(row.iv) if iv is None else iv


def _algorithm(row: Mechanism, key: bytes) -> AES | TripleDES:
    return TripleDES(key) if row.block == 8 else AES(key)


_MODES: dict[str, Callable[..., modes.CBC | modes.CTR | modes.ECB]] = {
    "CBC": modes.CBC,
    "CTR": modes.CTR,
    "ECB": modes.ECB,
}


def _mode(row: Mechanism, iv: bytes) -> modes.CBC | modes.CTR | modes.ECB:
    if len(iv) != row.iv:
        raise MechanismParameterInvalid(f"the iv of {row.name} has {row.iv} bytes, not {len(iv)}")
    mode = row_of(_MODES, row.mode, "_MODES of hsmcore.primitives.symmetric")
    return mode(iv) if row.iv else mode()


def block_encryptor(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes], Sealed]:
    """Encrypt in CBC, ECB or CTR in one call."""
    crypt = _counter(row, key) if row.mode == "CTR" else _chained(row, key)

    def run(parameters: Parameters, data: bytes) -> Sealed:
        iv = _iv(row, parameters)
        return crypt(iv, data), {"iv": iv} if row.iv else None

    return run


def block_decryptor(row: Mechanism, key: bytes) -> Callable[[Parameters, bytes], bytes]:
    """Decrypt in CBC, ECB or CTR in one call."""
    if row.mode == "CTR":
        crypt = _counter(row, key)
        return lambda parameters, data: crypt(_required_iv(row, parameters), data)
    begin = decrypt_stream(row, key)
    return lambda parameters, data: begin(parameters)[0].finish(data)


def _chained(row: Mechanism, key: bytes) -> Callable[[bytes, bytes], bytes]:
    """Encrypt in CBC or ECB, with the PKCS #7 padding of RFC 5652 6.3."""
    algorithm = _algorithm(row, key)
    block = row.block
    paddings = [bytes([block - rest]) * (block - rest) for rest in range(block)]

    def crypt(iv: bytes, data: bytes) -> bytes:
        if row.padded:
            data += paddings[len(data) % block]
        elif len(data) % block:
            _unaligned(row, len(data))
        return Cipher(algorithm, _mode(row, iv)).encryptor().update(data)

    return crypt


def _counter(row: Mechanism, key: bytes) -> Callable[[bytes, bytes], bytes]:
    """Encrypt or decrypt in CTR. A new context costs more than a kilobyte, so idle ones are used again."""
    algorithm = _algorithm(row, key)
    idle: list[CipherContext] = []

    def crypt(iv: bytes, data: bytes) -> bytes:
        mode = _mode(row, iv)
        try:
            context = idle.pop()
        except IndexError:
            context = Cipher(algorithm, mode).encryptor()
        else:
            context.reset_nonce(iv)
        result = context.update(data)
        idle.append(context)
        return result

    return crypt
