"""An authority that signs certificates of any validity, and servers that present them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from hsmcore.primitives import tls_certificates as certificates


class Authority:
    """A certificate authority; ``certificate`` is its own, in PEM."""

    def __init__(self, name: str = "tests") -> None:
        key, self.certificate = certificates.new_authority(name)
        loaded = load_pem_private_key(key, None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        self._key = loaded

    def sign(self, request: bytes, seconds: float = 3600) -> bytes:
        """Return the certificate for a request, valid for that many seconds from now; negative for an expired one."""
        asked = x509.load_pem_x509_csr(request)
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder().subject_name(asked.subject).public_key(asked.public_key())
            .issuer_name(x509.load_pem_x509_certificate(self.certificate).subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(seconds=seconds))
        )  # fmt: skip
        for extension in asked.extensions:
            builder = builder.add_extension(extension.value, critical=False)
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)

    def issue(self, folder: Path, name: str, *hosts: str, seconds: float = 3600) -> tuple[Path, Path]:
        """Write a certificate for addresses and its private key (PKCS #8), and return the paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        )
        if hosts:
            names = [x509.IPAddress(ipaddress.ip_address(host)) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        request = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_bytes(self.sign(request, seconds))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths


@contextmanager
def answering(context: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], object]) -> Iterator[int]:
    """Call ``answer`` with each connection to a TLS server at 127.0.0.1, and yield its port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connected, _ = listener.accept()
                connected.settimeout(20)
                with suppress(OSError), connected, context.wrap_socket(connected, server_side=True) as encrypted:
                    answer(encrypted)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def made(name: str, key: Key | None = None, issuer: Made | None = None, *, ca: bool = True, days: int = 1) -> Made:
    """Return a certificate of any key, signed by itself or by an issuer, valid for that many days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        .issuer_name(issuer.certificate.subject if issuer else subject).serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2)).not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )  # fmt: skip
    signer = issuer.key if issuer else key
    return Made(builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256()), key)


@contextmanager
def stand_in(files: tuple[Path, Path], newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[int]:
    """Serve handshakes at a port of 127.0.0.1 with a certificate and key, and yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(*files)
    with answering(context, lambda encrypted: encrypted.recv(1)) as port:
        yield port
