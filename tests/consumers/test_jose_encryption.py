"""Nimbus JOSE+JWT decrypts with keys in the HSM what ``cryptography`` encrypted; the content key is there too."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate

from tests.consumers.application import Application


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("position", ["first", "last"])
def test_tokens_are_decrypted(library_user: Application, store: Path, position: str) -> None:
    texts = ["from one who has the certificate", "and again"]
    tokens = [_token(store, text.encode()) for text in texts]
    assert library_user.run("Jose", "decrypt", position, store, *tokens).splitlines() == texts
    broken = tokens[0][:-4] + ("AAAA" if tokens[0][-4:] != "AAAA" else "BBBB")
    assert library_user.attempt("Jose", "decrypt", position, store, broken).returncode != 0


def _token(store: Path, text: bytes) -> str:
    """Encrypt with RSA-OAEP-256 and A256GCM (RFC 7516, 3.3; RFC 7518, 4.3)."""
    key = load_pem_x509_certificate(store.with_name("rsa.pem").read_bytes()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    header = _encoded(json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM"}).encode())
    content_key, iv = AESGCM.generate_key(256), os.urandom(12)
    sealed = AESGCM(content_key).encrypt(iv, text, header.encode())
    parts = (key.encrypt(content_key, oaep), iv, sealed[:-16], sealed[-16:])
    return ".".join((header, *map(_encoded, parts)))
