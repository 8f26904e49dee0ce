"""Reference PEM: a file in the form of a private key, with the public key and a reference to the key in the HSM.

The key reference takes the place of the private number. The structure is RSAPrivateKey (RFC 8017 A.1.2), whose other
numbers are 1, or ECPrivateKey (RFC 5915), so that programs read the public key and find the private key by it.
"""

from __future__ import annotations

from bridge.cloudhsm_cli.attributes import Fields
from bridge.cloudhsm_cli.files import to_pem

_INTEGER, _BITS, _OCTETS, _SEQUENCE = 0x02, 0x03, 0x04, 0x30
_PARAMETERS, _PUBLIC = 0xA0, 0xA1


def reference_pem(key: Fields) -> bytes:
    """Return the content of the file for a private key."""
    handle = key["HANDLE"]
    number = handle if isinstance(handle, int) else 0
    if key["KEY_TYPE"] == "RSA":
        modulus, exponent = (int.from_bytes(_bytes(key, name), "big") for name in ("MODULUS", "PUBLIC_EXPONENT"))
        numbers = (0, modulus, exponent, number, 1, 1, 1, 1, 1)
        return to_pem(_der(_SEQUENCE, *map(_integer, numbers)), "RSA PRIVATE KEY")
    size = key["SIZE"]
    width = (size + 7) // 8 if isinstance(size, int) else 0
    point = _bytes(key, "EC_POINT")[-(1 + 2 * width) :]
    content = (
        _integer(1),
        _der(_OCTETS, number.to_bytes(width, "big")),
        _der(_PARAMETERS, _bytes(key, "EC_PARAMS")),
        _der(_PUBLIC, _der(_BITS, b"\0", point)),
    )
    return to_pem(_der(_SEQUENCE, *content), "EC PRIVATE KEY")


def _bytes(key: Fields, name: str) -> bytes:
    value = key[name]
    return value if isinstance(value, bytes) else b""


def _integer(number: int) -> bytes:
    return _der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _der(tag: int, *content: bytes) -> bytes:
    """Return tag, length and content (X.690 8.1.3)."""
    joined = b"".join(content)
    length = len(joined)
    if length < 0x80:
        return bytes([tag, length]) + joined
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + joined
