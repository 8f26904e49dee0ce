"""X.509 certificates: the names and the number in them."""

from __future__ import annotations

from cryptography import x509

from hsmcore.errors import KeyMaterialInvalid


def facts(certificate: bytes) -> dict[str, bytes]:
    """Return SUBJECT, ISSUER and SERIAL_NUMBER of a certificate, each in DER.

    Raises:
        KeyMaterialInvalid: The bytes are no certificate.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        return {
            "SUBJECT": parsed.subject.public_bytes(),
            "ISSUER": parsed.issuer.public_bytes(),
            "SERIAL_NUMBER": _integer(parsed.serial_number),
        }
    except ValueError as error:
        raise KeyMaterialInvalid("the bytes are no X.509 certificate (DER)") from error


def _integer(number: int) -> bytes:
    """Return an INTEGER (X.690 8.3) of fewer than 128 bytes."""
    content = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return bytes([2, len(content)]) + content
