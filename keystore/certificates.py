"""Checks of X.509 certificates, and their public keys."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore.errors import KeyStoreEntry


def parsed(der: bytes) -> x509.Certificate:
    """Return the certificate (DER).

    Raises:
        ValueError: The bytes are not an X.509 certificate.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        # The other errors of malformed certificates are ValueErrors.
        raise ValueError(str(error)) from error


def checked_chain(chain: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the DER certificates unchanged, after checking that each can be parsed.

    Raises:
        KeyStoreEntry: One of them is not an X.509 certificate.
    """
    checked = tuple(chain)
    for position, der in enumerate(checked):
        try:
            parsed(der)
        except ValueError as error:
            raise KeyStoreEntry(f"certificate {position} of the chain is not an X.509 certificate: {error}") from error
    return checked


def public_key_of(certificate: bytes) -> bytes | None:
    """Return the SubjectPublicKeyInfo (DER) in the HSM's encoding, or ``None`` for a key of an unsupported kind."""
    try:
        public_key = parsed(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
