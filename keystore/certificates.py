"""Checks of X.509 certificates, and their public keys."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore.errors import KeyStoreEntry


def checked_chain(chain: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the DER certificates unchanged, after checking that each can be parsed.

    Raises:
        KeyStoreEntry: One of them is not an X.509 certificate.
    """
    checked = tuple(chain)
    for position, der in enumerate(checked):
        try:
            x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise KeyStoreEntry(f"certificate {position} of the chain is not an X.509 certificate: {error}") from error
    return checked


def public_key_of(certificate: bytes) -> bytes | None:
    """Return the SubjectPublicKeyInfo (DER) in the HSM's encoding, or ``None`` for a key of an unsupported kind."""
    try:
        public_key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
