"""The HSM's TLS certificate: its key, the request for it, and its storage in the state directory."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hsmcore.api.core import Core
from hsmcore.api.guard import audited
from hsmcore.errors import CertificateInvalid, CertificateMissing, StoreDamaged
from hsmcore.primitives import tls_certificates
from hsmcore.primitives.tls_certificates import CertificateFacts

_REQUEST, _IDENTITY, _ANCHOR = "tls.request", "tls.identity", "customerCA.crt"
_MOST_NAMES = 64
_SOON = 30 * 24 * 3600
"""Time before the end of a certificate's validity from which it is announced, in seconds."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's certificate chain and its private key under a password, both in PEM."""

    chain: bytes
    key: bytes = field(repr=False)


class TlsService:
    """Makes the key of the HSM's TLS certificate, and stores the certificate that an authority has signed.

    Only the owner of the state directory may call these methods; a carrier does not offer them to the network.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._log = core.log
        self._opened: dict[str, bytes] | None = None
        self.generation = 0
        """Changes whenever the identity changes."""

    @audited
    def request(self, names: Sequence[str], new_key: bool = False) -> bytes:
        """Return the certificate signing request of the HSM in PEM, the same for the same names.

        Args:
            names: Host names and IP addresses by which clients reach the HSM.
            new_key: Make another key. The present certificate stays in use until ``initialize``.

        Raises:
            CertificateInvalid: A name is neither a host name nor an address, or there are more than 64.
            StoreFull: The disk is full.
        """
        if len(names) > _MOST_NAMES:
            raise CertificateInvalid(f"a certificate has at most {_MOST_NAMES} names, not {len(names)}")
        with self._core.lock:
            known = None if new_key else self._read(_REQUEST)
            if known is not None and (not names or known["names"].decode().split("\n") == list(names)):
                self._log.concerns_nothing()
                return known["csr"]
            key = tls_certificates.new_key() if known is None else known["key"]
            csr = tls_certificates.request(key, f"HSM:{self._core.store.serial()}", names)
            self._log.record()
            self._write(_REQUEST, {"key": key, "names": "\n".join(names).encode(), "csr": csr})
            return csr

    @audited
    def initialize(self, signed: bytes, anchor: bytes) -> CertificateFacts:
        """Store the HSM's certificate, which every later TLS connection gets.

        Args:
            signed: The signed certificate, and after it any certificates between it and the anchor, in PEM.
            anchor: The self-signed certificate of the authority, in PEM.

        Raises:
            CertificateMissing: The HSM has no key yet; ``request`` makes it.
            CertificateInvalid: The certificate belongs to another key, is not signed by the anchor, or not valid now.
            StoreFull: The disk is full.
        """
        with self._core.lock:
            kept = [content for content in map(self._readable, (_REQUEST, _IDENTITY)) if content is not None]
            if not kept:
                raise CertificateMissing("this HSM has requested no certificate yet; `hsm cluster csr` does")
            key, chain, authority = tls_certificates.check_signed(
                signed, anchor, [content["key"] for content in kept], dt.datetime.now(dt.UTC)
            )
            self._log.record()
            self._write(_IDENTITY, {"key": key, "chain": chain})
            self._core.state.write_file(_ANCHOR, authority)
            self._opened = None
            self.generation += 1
            return tls_certificates.facts(chain)

    def identity(self, password: bytes) -> Identity:
        """Return the certificate chain, and the private key under a password.

        Raises:
            CertificateMissing: The HSM has no certificate.
            StoreDamaged: The stored certificate does not open.
        """
        content = self._identity()
        if content is None:
            raise CertificateMissing(
                "this HSM has no TLS certificate; `hsm cluster csr` and `hsm cluster initialize` give it one"
            )
        return Identity(content["chain"], tls_certificates.encrypted_pem(content["key"], password))

    def certificate(self) -> CertificateFacts | None:
        """Return what the HSM's certificate says; ``None`` where it has none.

        Raises:
            StoreDamaged: The stored certificate does not open.
        """
        content = self._identity()
        return None if content is None else tls_certificates.facts(content["chain"])

    def end(self) -> int | None:
        """Return the end of the certificate's validity in seconds since 1970; ``None`` without a readable one."""
        try:
            facts = self.certificate()
        except StoreDamaged:
            return None
        return None if facts is None else facts.not_after

    def ending(self) -> str:
        """Return a sentence about the certificate's end, from 30 days before; empty earlier or without one."""
        end = self.end()
        if end is None or end > time.time() + _SOON:
            return ""
        shown = f"{dt.datetime.fromtimestamp(end, dt.UTC):%Y-%m-%d %H:%M} UTC"
        says = f"is valid until {shown}" if end > time.time() else f"has expired at {shown}, and clients refuse it"
        return f"the TLS certificate {says}; `hsm cluster csr` and `hsm cluster initialize` replace it"

    def _identity(self) -> dict[str, bytes] | None:
        if (opened := self._opened) is not None:
            # Without the lock, which a health check does not wait for.
            return opened
        with self._core.lock:
            if self._opened is None:
                self._opened = self._read(_IDENTITY)
            return self._opened

    def _readable(self, name: str) -> dict[str, bytes] | None:
        try:
            return self._read(name)
        except StoreDamaged:
            return None

    def _read(self, name: str) -> dict[str, bytes] | None:
        sealed = self._core.state.read_file(name)
        if sealed is None:
            return None
        content = self._core.vault.open_tls(name.removeprefix("tls."), sealed)
        try:
            return {name: base64.b64decode(value) for name, value in json.loads(content).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise StoreDamaged(f"the file {name} of the state directory has another version's form") from error

    def _write(self, name: str, content: dict[str, bytes]) -> None:
        encoded = json.dumps({name: base64.b64encode(value).decode() for name, value in content.items()})
        self._core.state.write_file(name, self._core.vault.seal_tls(name.removeprefix("tls."), encoded.encode()))
