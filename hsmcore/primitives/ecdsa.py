"""ECDSA (FIPS 186-5 6.4).

A signer takes a digest that the caller computed; the mechanism's hash fixes its length.
"""

from __future__ import annotations

from functools import cache, lru_cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHAKE256

from hsmcore.errors import DataLengthInvalid
from hsmcore.primitives.parameters import Parameters, hash_named
from hsmcore.primitives.signatures import Sign, Verify, holds, wrong_digest
from hsmcore.tables.mechanisms import Mechanism

MAX_RAW_DIGEST = 64
"""Maximum bytes of a digest where the mechanism names no hash, as in the JDK's NONEwithECDSA."""


def signer(row: Mechanism, key: ec.EllipticCurvePrivateKey) -> Sign:
    """Sign: a DER sequence of r and s, or for P1363 r then s, each with the length of the order."""
    sign, width = key.sign, (key.key_size + 7) // 8
    scheme, size = (_scheme(row.hash), hash_named(row.hash).digest_size) if row.hash else (None, 0)
    raw = row.mode == "P1363"

    def run(parameters: Parameters, data: bytes) -> bytes:
        if scheme is None:
            digest = _raw_digest(row, data)
            signature = sign(digest, _scheme_of_length(len(digest)))
        else:
            if len(data) != size:
                raise DataLengthInvalid(wrong_digest(row, data, size))
            signature = sign(data, scheme)
        return der_to_p1363(signature, width) if raw else signature

    return run


def verifier(row: Mechanism, key: ec.EllipticCurvePublicKey) -> Verify:
    """Verify; a malformed signature is wrong."""
    width = (key.key_size + 7) // 8
    size = hash_named(row.hash).digest_size if row.hash else 0
    raw = row.mode == "P1363"

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        if size and len(data) != size:
            raise DataLengthInvalid(wrong_digest(row, data, size))
        digest = data if size else _raw_digest(row, data)
        if raw and len(signature) != 2 * width:
            return False
        encoded = p1363_to_der(signature) if raw else signature
        return holds(lambda: key.verify(encoded, digest, _scheme(row.hash) if size else _scheme_of_length(len(digest))))

    return run


@cache
def _scheme(digest: str) -> ec.ECDSA:
    return ec.ECDSA(Prehashed(hash_named(digest)))


@lru_cache(maxsize=MAX_RAW_DIGEST)
def _scheme_of_length(length: int) -> ec.ECDSA:
    """Return the scheme for a digest of that length, of any hash.

    An extendable-output function stands in for the hash, because the library only checks the length of a digest. It
    uses the leftmost bits as in FIPS 186-5 6.4.1.
    """
    return ec.ECDSA(Prehashed(SHAKE256(length)))


def _raw_digest(row: Mechanism, data: bytes) -> bytes:
    """Return the digest; an empty one becomes a zero byte, which is the same number.

    Raises:
        DataLengthInvalid: The digest is too long.
    """
    if len(data) > MAX_RAW_DIGEST:
        raise DataLengthInvalid(f"{row.name} takes a digest of at most {MAX_RAW_DIGEST} bytes, not {len(data)}")
    return data or b"\0"


def der_to_p1363(signature: bytes, width: int) -> bytes:
    """Return r then s, each in ``width`` bytes (IEEE 1363 E.3.1)."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def p1363_to_der(signature: bytes) -> bytes:
    """Return the DER sequence (RFC 3279 2.2.3) of r then s in equal lengths."""
    width = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big"))
