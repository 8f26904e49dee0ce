"""RSA without padding: RSAEP, RSADP, RSASP1 and RSAVP1 (RFC 8017 5), the data as a big-endian number.

The cryptography library has no operation without padding. The private one is OpenSSL's, which blinds it, from the
system's libcrypto; the public one is a power of public numbers.
"""

from __future__ import annotations

import weakref
from ctypes import CDLL, byref, c_char_p, c_int, c_long, c_size_t, c_void_p, create_string_buffer
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hsmcore.errors import DataLengthInvalid, MechanismInvalid
from hsmcore.primitives.parameters import Parameters
from hsmcore.primitives.rsa import Decrypt, Encrypt, check_longest
from hsmcore.primitives.signatures import Verify
from hsmcore.tables.mechanisms import Mechanism

_NAMES = ("libcrypto.so.3", "libcrypto.so.1.1")
_PROTOTYPES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, c_void_p, c_long)),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new": (c_void_p, (c_void_p, c_void_p)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_ctrl_str": (c_int, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_decrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_char_p, c_void_p, c_char_p, c_size_t)),
    "ERR_clear_error": (None, ()),
}


@cache
def _libcrypto() -> CDLL | None:
    for name in _NAMES:
        try:
            library = CDLL(name)
            for function, (result, arguments) in _PROTOTYPES.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
        except (OSError, AttributeError):
            continue
        return library
    return None


class _PrivateKey:
    """A private key in OpenSSL's form, which ends with this object. Any thread may use it."""

    def __init__(self, library: CDLL, key: rsa.RSAPrivateKey) -> None:
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._library = library
        self._key = library.d2i_AutoPrivateKey(None, byref(c_char_p(der)), len(der))
        self._length = key.key_size // 8
        weakref.finalize(self, library.EVP_PKEY_free, self._key)

    def power(self, data: bytes) -> bytes | None:
        """Raise data of the modulus's length to the private exponent; ``None`` where OpenSSL fails."""
        library, result, length = self._library, create_string_buffer(self._length), c_size_t(self._length)
        context = library.EVP_PKEY_CTX_new(self._key, None)
        done = (
            library.EVP_PKEY_decrypt_init(context) == 1
            and library.EVP_PKEY_CTX_ctrl_str(context, b"rsa_padding_mode", b"none") == 1
            and library.EVP_PKEY_decrypt(context, result, byref(length), data, len(data)) == 1
        )
        library.EVP_PKEY_CTX_free(context)
        if not done:
            library.ERR_clear_error()
        return result.raw if done and length.value == self._length else None


def _filled(row: Mechanism, key: rsa.RSAPublicKey, data: bytes) -> bytes:
    """Return data with zero bytes before it, as long as the modulus.

    Raises:
        DataLengthInvalid: The number is not below the modulus.
    """
    length = key.key_size // 8
    check_longest(row, data, length)
    if int.from_bytes(data, "big") >= key.public_numbers().n:
        raise DataLengthInvalid(f"{row.name} takes a number below the modulus; these {len(data)} bytes are not one")
    return data.rjust(length, b"\0")


def _public_power(key: rsa.RSAPublicKey, data: bytes) -> bytes:
    """Raise data to the public exponent. The time depends on the data and the public numbers."""
    numbers = key.public_numbers()
    return pow(int.from_bytes(data, "big"), numbers.e, numbers.n).to_bytes(len(data), "big")


def encryptor(row: Mechanism, key: rsa.RSAPublicKey) -> Encrypt:
    """Encrypt; the result has the length of the modulus."""
    return lambda _parameters, data: (_public_power(key, _filled(row, key, data)), None)


def decryptor(row: Mechanism, key: rsa.RSAPrivateKey) -> Decrypt:
    """Decrypt or sign, which is the same without padding. The result has the length of the modulus.

    Raises:
        MechanismInvalid: The system has no libcrypto.
    """
    library = _libcrypto()
    if library is None:
        raise MechanismInvalid(f"{row.name} needs OpenSSL's libcrypto.so.3 for private keys, and the system has none")
    private, public = _PrivateKey(library, key), key.public_key()

    def run(parameters: Parameters, data: bytes) -> bytes:
        filled = _filled(row, public, data)
        result = private.power(filled)
        # A fault of the processor in one of the two halves of the power would tell the key (Boneh, DeMillo, Lipton).
        if result is None or _public_power(public, result) != filled:
            raise MechanismInvalid(f"{row.name} failed with this key")
        return result

    return run


def verifier(row: Mechanism, key: rsa.RSAPublicKey) -> Verify:
    """Verify: the signature, raised to the public exponent, is the data."""
    length = key.key_size // 8

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        filled = _filled(row, key, data)
        number = int.from_bytes(signature, "big")
        return len(signature) == length and number < key.public_numbers().n and _public_power(key, signature) == filled

    return run
