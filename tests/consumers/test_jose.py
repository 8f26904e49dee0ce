"""Nimbus JOSE+JWT with keys in the HSM; ``cryptography`` judges what it signs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509 import load_pem_x509_certificate

from tests.consumers.application import Application

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256")
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify(store: Path, algorithm: str, signed: bytes, signature: bytes) -> None:
    """Raise ``InvalidSignature`` unless it holds (RFC 7518, 3.3 to 3.5)."""
    digest = _HASHES[algorithm[2:]]
    pem = store.with_name("ec.pem" if algorithm.startswith("ES") else "rsa.pem")
    key = load_pem_x509_certificate(pem.read_bytes()).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        key.verify(encode_dss_signature(*halves), signed, ec.ECDSA(digest))
        return
    assert isinstance(key, rsa.RSAPublicKey)
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    key.verify(signature, signed, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)


@pytest.mark.parametrize("position", ["first", "last"])
def test_tokens_are_signed(library_user: Application, store: Path, position: str) -> None:
    payload = json.dumps({"sub": "alice"})
    tokens = library_user.run("Jose", "sign", position, store, payload, *_ALGORITHMS).split()
    for token, algorithm in zip(tokens, _ALGORITHMS, strict=True):
        header, body, signature = token.split(".")
        assert json.loads(_decoded(header)) == {"alg": algorithm}
        assert _decoded(body).decode() == payload
        _verify(store, algorithm, f"{header}.{body}".encode(), _decoded(signature))
        with pytest.raises(InvalidSignature):
            _verify(store, algorithm, f"{header}.{body}!".encode(), _decoded(signature))
