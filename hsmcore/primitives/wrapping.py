"""Key wrapping: AES key wrap (RFC 3394), with zero padding (RFC 5649) or PKCS #5 padding; RSA with AES; triple DES."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from hmac import compare_digest

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from hsmcore.errors import DataLengthInvalid, MechanismParameterInvalid, PaddingInvalid
from hsmcore.primitives.parameters import Parameters, bytes_parameter
from hsmcore.primitives.rsa import oaep_decryptor, oaep_encryptor
from hsmcore.tables.mechanisms import KEY_WRAP_IV, Mechanism

Wrap = Callable[[Parameters, bytes], tuple[bytes, None]]
Unwrap = Callable[[Parameters, bytes], bytes]

SEMIBLOCK = 8
"""Bytes of a semiblock of AES key wrap (RFC 3394 2)."""
SHORTEST = 16
"""Minimum bytes for AES key wrap without zero padding (RFC 3394 2, n is 2 or more)."""
TDEA_ICV = b"\xa6" * 4
"""The check value of triple DES key wrap (NIST SP 800-38F 6.2, ICV3)."""
TDEA_SHORTEST, TDEA_LONGEST = 8, 8192
"""Minimum and maximum bytes for triple DES key wrap; every step is a call, and no key is longer."""
TEMPORARY_KEY = 32
"""Bytes of the temporary AES key of RSA-AES key wrap (PKCS #11 CKM_RSA_AES_KEY_WRAP: 16, 24 or 32)."""


def aes_wrapper(row: Mechanism, key: bytes) -> Wrap:
    """Wrap with AES key wrap.

    NO_PAD is RFC 3394, ZERO_PAD is RFC 5649. PKCS5_PAD is specific to CloudHSM: 1 to 8 bytes of PKCS #5 padding (RFC
    8018 6.1.1), 8 for data of whole semiblocks, then RFC 3394.
    """

    def run(parameters: Parameters, data: bytes) -> tuple[bytes, None]:
        _check_iv(row, parameters)
        if row.mode == "ZERO_PAD":
            return keywrap.aes_key_wrap_with_padding(key, data), None
        if row.mode == "PKCS5_PAD":
            padder = PKCS7(SEMIBLOCK * 8).padder()
            data = padder.update(data) + padder.finalize()
        if len(data) < SHORTEST or len(data) % SEMIBLOCK:
            raise DataLengthInvalid(
                f"{row.name} wraps {SHORTEST} bytes or more, padding included, in units of {SEMIBLOCK}, not {len(data)}"
            )
        return keywrap.aes_key_wrap(key, data), None

    return run


def aes_unwrapper(row: Mechanism, key: bytes) -> Unwrap:
    """Unwrap with AES key wrap. The function raises ``PaddingInvalid`` for a wrong check value or padding."""
    unwrap = keywrap.aes_key_unwrap_with_padding if row.mode == "ZERO_PAD" else keywrap.aes_key_unwrap

    def run(parameters: Parameters, data: bytes) -> bytes:
        _check_iv(row, parameters)
        try:
            plain = unwrap(key, data)
            if row.mode == "PKCS5_PAD":
                unpadder = PKCS7(SEMIBLOCK * 8).unpadder()
                plain = unpadder.update(plain) + unpadder.finalize()
        except (keywrap.InvalidUnwrap, ValueError):
            raise _refused() from None
        return plain

    return run


def _check_iv(row: Mechanism, parameters: Parameters) -> None:
    """Check that the parameter ``iv`` is absent or RFC 3394's; ZERO_PAD has a fixed one (RFC 5649 3).

    Raises:
        MechanismParameterInvalid: It is another one, or the mechanism takes none.
    """
    if not row.iv:
        _require_no_iv(row, parameters)
    elif bytes_parameter(parameters, "iv") not in {None, KEY_WRAP_IV}:
        raise MechanismParameterInvalid(f"the iv of {row.name} is 0x{KEY_WRAP_IV.hex()} or not given")


def rsa_aes_wrapper(row: Mechanism, key: rsa.RSAPublicKey) -> Wrap:
    """Wrap with RSA-AES key wrap (PKCS #11 CKM_RSA_AES_KEY_WRAP).

    The result is a temporary AES-256 key under RSAES-OAEP, with the length of the modulus, then the data under that key
    (RFC 5649).
    """
    encrypt = oaep_encryptor(row, key)

    def run(parameters: Parameters, data: bytes) -> tuple[bytes, None]:
        temporary = os.urandom(TEMPORARY_KEY)
        return encrypt(parameters, temporary)[0] + keywrap.aes_key_wrap_with_padding(temporary, data), None

    return run


def rsa_aes_unwrapper(row: Mechanism, key: rsa.RSAPrivateKey) -> Unwrap:
    """Unwrap with RSA-AES key wrap and a temporary AES key of any size."""
    decrypt, modulus = oaep_decryptor(row, key), key.key_size // 8

    def run(parameters: Parameters, data: bytes) -> bytes:
        temporary = decrypt(parameters, data[:modulus])
        try:
            return keywrap.aes_key_unwrap_with_padding(temporary, data[modulus:])
        except (keywrap.InvalidUnwrap, ValueError):
            raise _refused() from None

    return run


def tdea_wrapper(row: Mechanism, key: bytes) -> Wrap:
    """Wrap with TKW (NIST SP 800-38F 7.2), whole semiblocks of four bytes."""

    def run(parameters: Parameters, data: bytes) -> tuple[bytes, None]:
        _require_no_iv(row, parameters)
        if not TDEA_SHORTEST <= len(data) <= TDEA_LONGEST or len(data) % row.block:
            raise DataLengthInvalid(
                f"{row.name} wraps {TDEA_SHORTEST} to {TDEA_LONGEST} bytes in units of {row.block}, not {len(data)}"
            )
        encrypt = Cipher(TripleDES(key), ECB()).encryptor().update  # noqa: S305 (the block function of the standard)
        first, rest = TDEA_ICV, deque(data[at : at + row.block] for at in range(0, len(data), row.block))
        for step in range(1, 6 * len(rest) + 1):
            block = encrypt(first + rest.popleft())
            first = _counted(block[: row.block], step)
            rest.append(block[row.block :])
        return first + b"".join(rest), None

    return run


def tdea_unwrapper(row: Mechanism, key: bytes) -> Unwrap:
    """Unwrap with TKW. The function raises ``PaddingInvalid`` for a wrong check value."""

    def run(parameters: Parameters, data: bytes) -> bytes:
        _require_no_iv(row, parameters)
        if not TDEA_SHORTEST < len(data) <= TDEA_LONGEST + row.block or len(data) % row.block:
            raise _refused()
        decrypt = Cipher(TripleDES(key), ECB()).decryptor().update  # noqa: S305 (the block function of the standard)
        first, *others = (data[at : at + row.block] for at in range(0, len(data), row.block))
        rest = deque(others)
        for step in range(6 * len(rest), 0, -1):
            block = decrypt(_counted(first, step) + rest.pop())
            first = block[: row.block]
            rest.appendleft(block[row.block :])
        if not compare_digest(first, TDEA_ICV):
            raise _refused()
        return b"".join(rest)

    return run


def _counted(half: bytes, step: int) -> bytes:
    return (int.from_bytes(half, "big") ^ step).to_bytes(len(half), "big")


def _require_no_iv(row: Mechanism, parameters: Parameters) -> None:
    if bytes_parameter(parameters, "iv") is not None:
        raise MechanismParameterInvalid(f"{row.name} takes no iv")


def _refused() -> PaddingInvalid:
    return PaddingInvalid("the bytes do not unwrap with this key and these parameters")
