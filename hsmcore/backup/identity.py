"""The HSM's TLS certificate and its key in a backup. They are files of the state directory, not rows of the store."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from hsmcore.errors import StoreDamaged
from hsmcore.primitives import tls_certificates
from hsmcore.primitives.tls_certificates import CertificateFacts
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State

_KIND, _AUTHORITY = "identity", "customerCA.crt"

Identity = Mapping[str, str]
"""The file ``tls.identity`` as it was sealed, and the certificate of its authority; empty for none."""


def read(state: State, vault: Vault) -> Identity:
    """Return the certificate and the key of an open HSM; empty where it has none, or the file is damaged."""
    sealed, authority = state.read_file(f"tls.{_KIND}"), state.read_file(_AUTHORITY)
    try:
        return {} if sealed is None else {
            "identity": vault.open_tls(_KIND, sealed).decode(), "authority": (authority or b"").decode(),
        }  # fmt: skip
    except StoreDamaged:
        return {}


def facts(identity: Identity) -> CertificateFacts | None:
    """Return what the certificate of a backup says; ``None`` where it has none."""
    if not identity:
        return None
    return tls_certificates.facts(base64.b64decode(json.loads(identity["identity"])["chain"]))


def write(state: State, vault: Vault, identity: Identity) -> None:
    """Give the certificate and the key of a backup to a new HSM.

    Raises:
        StoreFull: The disk is full.
    """
    if identity:
        state.write_file(f"tls.{_KIND}", vault.seal_tls(_KIND, identity["identity"].encode()))
        state.write_file(_AUTHORITY, identity["authority"].encode())
