"""Certificates for keys of the JVM."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key


@pytest.fixture(scope="session")
def authority() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def root(authority: ec.EllipticCurvePrivateKey) -> bytes:
    """The authority's own certificate, DER."""
    return _issued(authority, authority.public_key(), "Root")


@pytest.fixture(scope="session")
def certify(authority: ec.EllipticCurvePrivateKey) -> Callable[[Any], bytes]:
    """Issue a certificate (DER) for a Java public key."""

    def issue(public: Any) -> bytes:
        key = load_der_public_key(bytes(public.getEncoded()))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return _issued(authority, key, "Leaf")

    return issue


def _issued(authority: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, name: str) -> bytes:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root")]),
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + dt.timedelta(days=1),
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.DER)
