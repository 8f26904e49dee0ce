"""Connections of Python clients to HSMs on other machines: TLS 1.3, to a server whose certificate is checked."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from bridge.carriers.client import DaemonUnreachable
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates
from hsmcore.errors import StateError

CONNECT_SECONDS = 10.0
"""Time limit for a connection and for its handshake, in seconds."""
_HSM = "HSM:"
_ALERTS = {
    "UNKNOWN_CA": "no trust anchor of the HSM has signed the certificate of this client",
    "CERTIFICATE_REQUIRED": "it takes clients with a certificate of a registered trust anchor only",
    "CERTIFICATE_EXPIRED": "the certificate of this client has expired, or is not valid yet",
    "BAD_CERTIFICATE": "the certificate of this client is not accepted",
    "UNSUPPORTED_CERTIFICATE": "the certificate of this client is for another purpose",
    "CERTIFICATE_UNKNOWN": "the certificate of this client is not accepted",
}
"""Reasons of a server that refuses a client, by the end of the alert's name (RFC 8446, 6.2)."""


def connected(server: Address, certificates: Certificates, timeout: float) -> socket.socket:
    """Return an encrypted connection to a server.

    Args:
        server: The server.
        certificates: The files for TLS.
        timeout: Time limit of each later wait, in seconds.

    Raises:
        DaemonUnreachable: No HSM answers there, or its certificate is refused.
        StateError: A file for TLS cannot be used.
    """
    context = _context(certificates)
    try:
        plain = socket.create_connection((server.host, server.port), CONNECT_SECONDS)
    except OSError as error:
        raise DaemonUnreachable(
            f"no HSM answers at {server}: {error.strerror or error}; `hsm start --listen` starts one there"
        ) from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        encrypted = context.wrap_socket(plain, server_hostname=server.host)
        _require_name(encrypted.getpeercert() or {}, server.host)
        encrypted.settimeout(timeout)
    except TimeoutError as error:
        plain.close()
        raise DaemonUnreachable(
            f"the HSM at {server} has not answered the handshake for {CONNECT_SECONDS:g} s"
        ) from error
    except (OSError, ValueError) as error:
        plain.close()
        raise DaemonUnreachable(f"the HSM at {server} is refused: {_reason(error, certificates)}") from error
    except BaseException:
        plain.close()
        raise
    return encrypted


def refusal(connected: socket.socket, error: OSError) -> str:
    """Return the reason why the server refuses this client, after an error; empty if it does not.

    In TLS 1.3 the client learns it from the first read after its part of the handshake.
    """
    if not isinstance(error, ssl.SSLError):
        # The server's alert may be there to read, after a write that has failed.
        try:
            connected.recv(1)
        except ssl.SSLError as alert:
            error = alert
        except OSError:
            return ""
    name = str(getattr(error, "reason", "") or "")
    return next((text for end, text in _ALERTS.items() if name.endswith(f"ALERT_{end}")), "")


def _context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    try:
        context.load_verify_locations(certificates.authority)
        if certificates.own is not None:
            context.load_cert_chain(*certificates.own, password=_no_passphrase)
    except OSError as error:
        files = ", ".join(map(str, (certificates.authority, *(certificates.own or ()))))
        raise StateError(f"the files for TLS cannot be used ({_fault(error)}): {files}") from error
    return context


def _fault(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "the private key is not the one of the client certificate"
    if isinstance(error, ssl.SSLError) and "PASSWORD" in str(error.reason).upper() + str(error).upper():
        return "the private key has a passphrase, which is not supported"
    return error.strerror or str(error)


def _no_passphrase() -> bytes:
    # OpenSSL would ask at the terminal.
    return b""


def _require_name(certificate: Mapping[str, Any], host: str) -> None:
    """Check that a certificate is that of a host.

    One without names is accepted if its subject is an HSM's, because the authority signs for HSMs alone: ``openssl
    x509`` without ``-copy_extensions``, as CloudHSM's guide has it, leaves the names out.

    Raises:
        ValueError: It names other hosts.
    """
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    subject = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    if not names and any(name.startswith(_HSM) for name in subject):
        return
    if not any(_same(name, host) for name in names):
        raise ValueError(f"its certificate is for {', '.join(names or subject)}, not for {host}")


def _same(name: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        return name.lower() == host.lower()


def _reason(error: Exception, certificates: Certificates) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if any(word in error.verify_message for word in ("issuer", "self", "signature failure")):
            return f"no authority in {certificates.authority} has signed its certificate"
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    return str(error)
