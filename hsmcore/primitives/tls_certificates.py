"""X.509 for the HSM's TLS certificate: keys, requests, the check of signed certificates, and authorities (RFC 5280)."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hsmcore.errors import CertificateInvalid

_MOST_CERTIFICATES = 8
_LARGEST = 64 * 1024
"""Maximum bytes of a PEM file with certificates."""
MAX_ANCHOR = 6980
"""Maximum bytes of a trust anchor in PEM, with the certificates of its issuers (CloudHSM's quota)."""
_ANCHOR_CURVES, _ANCHOR_BITS = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1), (2048, 3072, 4096)
_DAYS = 3652
"""Validity of the certificates that this module signs, as in CloudHSM's guide."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate's contents. ``names`` are its host names and addresses; ``not_after`` is in seconds since 1970."""

    subject: str
    names: tuple[str, ...]
    not_before: int
    not_after: int


def new_key() -> bytes:
    """Return a new P-256 private key, as PKCS #8 in DER."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encrypted_pem(key: bytes, password: bytes) -> bytes:
    """Return a private key (PKCS #8 in DER) as PEM under a password."""
    return _private(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def request(key: bytes, common_name: str, names: Sequence[str]) -> bytes:
    """Return a certificate signing request in PEM (RFC 2986).

    Args:
        key: The private key, as PKCS #8 in DER.
        common_name: The common name of the subject.
        names: Host names and IP addresses of the server.

    Raises:
        CertificateInvalid: A name is neither a host name nor an address.
    """
    subject = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "hsmbridge"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])  # fmt: skip
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(_private(key), SHA256()).public_bytes(Encoding.PEM)


def check_signed(signed: bytes, anchor: bytes, keys: Sequence[bytes], now: dt.datetime) -> tuple[bytes, bytes, bytes]:
    """Check the certificate of a server: that it has one of the keys, is signed by the anchor, and is valid now.

    Args:
        signed: The certificate, and after it any certificates between it and the anchor, in PEM.
        anchor: The self-signed certificate of the authority, in PEM.
        keys: Private keys, as PKCS #8 in DER.
        now: The time at which the certificates must be valid.

    Returns:
        The private key, the chain without the anchor, and the anchor; both certificates in PEM.

    Raises:
        CertificateInvalid: The certificate is not such a one.
    """
    chain, authorities = _read(signed, "the signed certificate"), _read(anchor, "the trust anchor")
    if len(authorities) != 1:
        raise CertificateInvalid(f"the trust anchor is one certificate, and the file has {len(authorities)}")
    authority = authorities[0]
    _require_authority(authority)
    _require_issued(authority, authority)
    key = next((key for key in keys if _public(key) == _spki(chain[0])), None)
    if key is None:
        raise CertificateInvalid("the signed certificate has another public key than this HSM's request; sign that one")
    for certificate, issuer in zip(chain, [*chain[1:], authority], strict=True):
        _require_issued(certificate, issuer)
    for certificate in (*chain, authority):
        _require_current(certificate, now)
    return key, b"".join(map(_pem, chain)), _pem(authority)


def trust_anchor(pem: bytes, now: dt.datetime) -> bytes:
    """Check a trust anchor of clients' certificates, and return it in PEM without other text.

    Args:
        pem: The certificate of an authority, and after it any certificates of its issuers, in PEM.
        now: The time at which the certificates must be valid.

    Raises:
        CertificateInvalid: The certificate is not such a one; the message begins with CloudHSM's text.
    """
    try:
        if len(pem) > MAX_ANCHOR:
            raise CertificateInvalid(f"the file has {len(pem)} bytes, and at most {MAX_ANCHOR} fit")
        chain = _read(pem, "the file")
        for certificate in chain:
            _require_authority(certificate)
            _require_current(certificate, now)
            _require_anchor_key(certificate)
        for certificate, issuer in pairwise(chain):
            _require_issued(certificate, issuer)
    except CertificateInvalid as error:
        raise CertificateInvalid(f"Invalid Certificate: {error}") from error
    return b"".join(map(_pem, chain))


def _require_anchor_key(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    elliptic = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _ANCHOR_CURVES)
    if not elliptic and not (isinstance(key, rsa.RSAPublicKey) and key.key_size in _ANCHOR_BITS):
        raise CertificateInvalid(
            f"the key of {certificate.subject.rfc4514_string()} is neither of P-256, P-384 or P-521 nor of RSA with "
            "2048, 3072 or 4096 bits"
        )


def first(pem: bytes) -> bytes:
    """Return the first certificate of a chain, in PEM.

    Raises:
        CertificateInvalid: The bytes are not certificates.
    """
    return _pem(_read(pem, "the chain")[0])


def issued(certificate: bytes, chain: bytes) -> bool:
    """Tell whether the first certificate of a chain in PEM has issued a certificate in DER."""
    try:
        _require_issued(x509.load_der_x509_certificate(certificate), _read(chain, "the chain")[0])
    except (CertificateInvalid, ValueError):
        return False
    return True


def facts(pem: bytes) -> CertificateFacts:
    """Return what the first certificate of a PEM file says.

    Raises:
        CertificateInvalid: The bytes are not a certificate.
    """
    certificate = _read(pem, "the certificate")[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        texts = [
            *names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)),
        ]  # fmt: skip
    except x509.ExtensionNotFound:
        texts = []
    return CertificateFacts(
        certificate.subject.rfc4514_string(),
        tuple(texts),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def new_authority(common_name: str) -> tuple[bytes, bytes]:
    """Return a new certificate authority: its private key without a password and its certificate, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), _pem(certificate)


def sign_request(request_pem: bytes, authority_key: bytes, authority: bytes, seconds: int | None = None) -> bytes:
    """Sign a request with an authority of ``new_authority``, and return the certificate in PEM.

    Args:
        request_pem: The request.
        authority_key: The authority's private key, in PEM.
        authority: The authority's certificate, in PEM.
        seconds: Time from now to the certificate's end; ``None`` for ten years.

    Raises:
        CertificateInvalid: The request, the key or the certificate does not decode, or the key is of another kind.
    """
    try:
        asked = x509.load_pem_x509_csr(request_pem)
        key = load_pem_private_key(authority_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid("the request or the authority's key is no PEM file of that kind") from error
    public = asked.public_key()
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(public, ec.EllipticCurvePublicKey):
        raise CertificateInvalid("the request and the authority have elliptic-curve keys")
    issuer = _read(authority, "the authority")[0]
    builder = _builder(asked.subject, issuer.subject, public, seconds).add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    for extension in asked.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return _pem(builder.sign(key, SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, seconds: int | None = None
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    lifetime = dt.timedelta(days=_DAYS) if seconds is None else dt.timedelta(seconds=seconds)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Clocks of clients may be a little late.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + lifetime)
    )


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    loaded = load_der_private_key(key, password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise CertificateInvalid("the server's key is no elliptic-curve key")
    return loaded


def _public(key: bytes) -> bytes:
    return _private(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        if name and len(name) <= 253 and not any(character.isspace() for character in name):
            return x509.DNSName(name.lower())
    except ValueError:
        pass
    raise CertificateInvalid(f"{name[:64]!r} is neither a host name in ASCII nor an IP address")


def _read(pem: bytes, what: str) -> list[x509.Certificate]:
    if len(pem) > _LARGEST:
        raise CertificateInvalid(f"{what} is a PEM file of at most {_LARGEST} bytes, not of {len(pem)}")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            certificate.public_key()
            certificate.extensions  # noqa: B018  # parses them
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"{what} is no PEM file with certificates: {error}") from error
    if not 0 < len(certificates) <= _MOST_CERTIFICATES:
        raise CertificateInvalid(f"{what} has {len(certificates)} certificates, and at most {_MOST_CERTIFICATES} fit")
    return certificates


def _require_authority(authority: x509.Certificate) -> None:
    try:
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        basic = x509.BasicConstraints(ca=False, path_length=None)
    if not basic.ca:
        raise CertificateInvalid(
            f"{authority.subject.rfc4514_string()} is no authority: Basic Constraints lack CA:TRUE"
        )


def _require_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateInvalid(
            f"the certificate of {certificate.subject.rfc4514_string()} is not signed by "
            f"{issuer.subject.rfc4514_string()}"
        ) from error


def _require_current(certificate: x509.Certificate, now: dt.datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise CertificateInvalid(
            f"the certificate of {certificate.subject.rfc4514_string()} is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}, not now"
        )
