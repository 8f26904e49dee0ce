"""Searching for secrets in all the forms in which one could be written."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hsmcore import Hsm
from hsmcore.keys.records import KeyRecord
from hsmcore.sessions.session import Session

from .making import ec_key, pkcs8, rsa_key, take_secret

AES_KEY = bytes.fromhex("6b1d4e98a7c3f20513b9d0e7581a6cf42e93b7045d8fa1c660e2947b3df51a88")
DES_KEY = bytes.fromhex("a1b2c4d5e6f7089b1c2d3e4f5061728394a5b6c7d8e9fa0b")
GENERIC_KEY = b"a generic secret that reads well"
MARK = 12
"""Bytes of a long secret that may not appear anywhere."""


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def private_parts(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> list[bytes]:
    """Return the numbers of a private key that are secret, big-endian."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [_big(key.private_numbers().private_value)]
    numbers = key.private_numbers()
    return [_big(number) for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)]


SECRETS = {"AES": AES_KEY, "DESEDE": DES_KEY, "GENERIC_SECRET": GENERIC_KEY}


def known_secrets() -> list[bytes]:
    """Return what ``take_all`` imports and nobody may see."""
    return [*SECRETS.values(), *private_parts(rsa_key()), *private_parts(ec_key())]


def take_all(hsm: Hsm, session: Session, **attributes: object) -> list[KeyRecord]:
    """Import every known secret and private key."""
    keys = [take_secret(hsm, session, kind, value, **attributes) for kind, value in SECRETS.items()]
    for kind, key in (("RSA", rsa_key()), ("EC", ec_key())):
        wishes = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": kind} | attributes
        keys.append(hsm.keys.import_(session, wishes, pkcs8(key)))
    return keys


def _forms(secret: bytes) -> Mapping[str, bytes]:
    start = secret[:MARK] if len(secret) > MARK else secret
    whole = start[: len(start) // 3 * 3]
    # bytes escape an apostrophe or not, by the quotation marks that are elsewhere in them.
    written = repr(b'"' + start)[3:-1]
    forms = {
        "raw": start,
        "reversed": secret[::-1][:MARK],
        "hex": start.hex().encode(),
        "HEX": start.hex().upper().encode(),
        "base64": base64.b64encode(whole),
        "repr": written.encode(),
        "repr in double quotes": written.replace("\\'", "'").encode(),
    }
    if len(secret) > 16:
        forms["decimal"] = str(int.from_bytes(secret, "big")).encode()[:4000]
    return forms


def assert_absent(secrets: list[bytes], *places: bytes | str) -> None:
    """Check that no secret is in any of these texts, in whatever form."""
    for place in places:
        data = place if isinstance(place, bytes) else place.encode("utf-8", "surrogateescape")
        for secret in secrets:
            found = [name for name, form in _forms(secret).items() if form in data]
            assert not found, f"a secret is there in the form {found[0]}"
