"""Ed25519 and ML-DSA vectors through the JCA.

The ML-DSA ones sign with a context, which the JCA has no word for; they are verified by the message representative,
made here with the standard library (FIPS 204 algorithms 2 and 7).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import cryptography_vectors
import pytest

from tests import jca
from tests.conftest import sampled
from tests.vectors import keys, nist

_ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
_ED25519_INFO = bytes.fromhex("302a300506032b6570032100")
"""DER prefix of the 32 bytes of a private (RFC 8410 7) and a public key (RFC 8410 4)."""
_ED25519_CASES = 1024
_ML_DSA = {"ML-DSA-44": ("11", 2420), "ML-DSA-65": ("12", 3309), "ML-DSA-87": ("13", 4627)}
"""The last byte of the object identifier (RFC 9881 2), and bytes in a signature (FIPS 204 table 2)."""


def _factory(algorithm: str) -> Any:
    return jca.java("java.security.KeyFactory").getInstance(algorithm, jca.PROVIDER)


def _spec(name: str, encoded: bytes) -> Any:
    return jca.java(f"java.security.spec.{name}")(encoded)


def test_ed25519(hsm: object, counted: Counter[str]) -> None:
    with cryptography_vectors.open_vector_file("asymmetric/Ed25519/sign.input", "r") as file:
        cases = [line.split(":")[:4] for line in file]
    assert len(cases) == _ED25519_CASES
    factory = _factory("Ed25519")
    for secret, public, message, signed in sampled(cases):
        private_key = factory.generatePrivate(_spec("PKCS8EncodedKeySpec", _ED25519_PKCS8 + bytes.fromhex(secret)[:32]))
        public_key = factory.generatePublic(_spec("X509EncodedKeySpec", _ED25519_INFO + bytes.fromhex(public)))
        data, expected = bytes.fromhex(message), bytes.fromhex(signed)[:64]
        assert jca.sign("Ed25519", private_key, data) == expected
        assert jca.verify("Ed25519", public_key, data, expected)
        assert not keys.verify("Ed25519", public_key, data + b"!", expected)
        counted["Ed25519"] += 1


@pytest.mark.parametrize("name", _ML_DSA)
def test_ml_dsa(hsm: object, counted: Counter[str], name: str) -> None:
    oid, length = _ML_DSA[name]
    path = f"asymmetric/MLDSA/kat_{name.replace('-', '').replace('MLDSA', 'MLDSA_')}_det_pure.rsp"
    for case in nist.records(path, "ctx"):
        raw, message = bytes.fromhex(case["pk"]), bytes.fromhex(case["msg"])
        context, signature = bytes.fromhex(case["ctx"]), bytes.fromhex(case["sm"])[:length]
        public = _factory("ML-DSA").generatePublic(_spec("X509EncodedKeySpec", _info(oid, raw)))
        framed = b"\0" + bytes([len(context)]) + context + message
        mu = hashlib.shake_256(hashlib.shake_256(raw).digest(64) + framed).digest(64)
        assert jca.verify("ML-DSA-EXTERNAL-MU", public, mu, signature)
        assert not jca.verify("ML-DSA-EXTERNAL-MU", public, mu[::-1], signature)
        assert jca.verify(name, public, message, signature) == (not context)
        counted["ML-DSA"] += 1


def _info(last_of_oid: str, raw: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an ML-DSA public key (RFC 9881 4)."""
    algorithm = bytes.fromhex(f"300b06096086480165030403{last_of_oid}")
    bits = b"\x03\x82" + (len(raw) + 1).to_bytes(2, "big") + b"\0" + raw
    return b"\x30\x82" + (len(algorithm) + len(bits)).to_bytes(2, "big") + algorithm + bits
