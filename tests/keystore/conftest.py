"""A real HSM with one user, and certificates for its keys from an authority made for the test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from bridge.pytest_plugin import USER, fresh_hsm
from hsmcore.keys.records import KeyRecord
from tests.keystore.bench import PASSWORD, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path / "hsm"
    with fresh_hsm(home, PASSWORD) as hsm:
        yield Bench(home, hsm, hsm.users.login(USER, PASSWORD.encode()))


@pytest.fixture(scope="session")
def authority() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def root(authority: ec.EllipticCurvePrivateKey) -> bytes:
    """The authority's own certificate, DER."""
    return _issued(authority, authority.public_key(), "Root")


@pytest.fixture(scope="session")
def certify(authority: ec.EllipticCurvePrivateKey) -> Callable[[KeyRecord], bytes]:
    """Issue a certificate (DER) for the public half of a key."""

    def issue(record: KeyRecord) -> bytes:
        assert record.public_key_info is not None
        public_key = load_der_public_key(record.public_key_info)
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        return _issued(authority, public_key, "Leaf")

    return issue


def _issued(authority: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, name: str) -> bytes:
    # Begins and ends at once, as in the guide's example: an expired certificate must be storable.
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root")]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(authority, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)
