"""What the key store reads in certificates: that they are certificates, and whose."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore.errors import KeyStoreEntry


def checked_chain(chain: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the DER certificates as they are. Raises ``KeyStoreEntry`` where one is no certificate."""
    checked = tuple(chain)
    for position, der in enumerate(checked):
        try:
            x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise KeyStoreEntry(f"certificate {position} of the chain is no X.509 certificate: {error}") from error
    return checked


def public_key_of(certificate: bytes) -> bytes | None:
    """Return the SubjectPublicKeyInfo (DER) in the encoding that the HSM uses; ``None`` for a key it cannot have."""
    try:
        public_key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
