"""Which certificates issued which: the chain of one, out of a pool in any order."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm


class Pool:
    """The certificates of a file, DER; one that does not parse has no issuers and issued nothing."""

    def __init__(self, certificates: Iterable[bytes]) -> None:
        self._parsed: dict[bytes, x509.Certificate] = {}
        self._subjects: dict[bytes, list[bytes]] = {}
        for der in certificates:
            try:
                certificate = x509.load_der_x509_certificate(der)
                subject = certificate.subject.public_bytes()
                certificate.issuer.public_bytes()
            except ValueError:
                continue
            self._parsed[der] = certificate
            self._subjects.setdefault(subject, []).append(der)

    def chain_of(self, own: bytes) -> tuple[bytes, ...]:
        """Return the certificate and its issuers as far as the pool has them, up to one that issued itself."""
        chain = [own]
        while (issuer := self._issuer_of(chain[-1])) is not None and issuer not in chain:
            chain.append(issuer)
        return tuple(chain)

    def _issuer_of(self, der: bytes) -> bytes | None:
        certificate = self._parsed.get(der)
        if certificate is None or certificate.issuer == certificate.subject:
            return None
        candidates = self._subjects.get(certificate.issuer.public_bytes(), [])
        return next((other for other in candidates if _signed(self._parsed[other], certificate)), None)


def _signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Tell whether the issuer's key made the signature; where that cannot be computed, the names decide."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, InvalidSignature):
        return False
    except (TypeError, UnsupportedAlgorithm):
        return True
    return True
