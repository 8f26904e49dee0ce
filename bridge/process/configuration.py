"""CloudHSM's JSON configuration files, as clients in Python read them: the servers, and the certificates for TLS."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.process.addresses import PORT, Address
from hsmcore.errors import StateError
from hsmcore.files import read_whole

_INSTALLED = Path("/opt/cloudhsm/etc/cloudhsm-cli.cfg")
_AUTHORITY = "/opt/cloudhsm/etc/customerCA.crt"
_LARGEST = 1024 * 1024
"""Maximum bytes of a configuration file."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files for TLS: the authority of the HSMs, and the client's own certificate and key, if it has them."""

    authority: Path
    own: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Servers:
    """The enabled servers of a configuration, in order: paths of sockets, or addresses."""

    places: tuple[Path | Address, ...]
    certificates: Certificates


def named() -> Path | None:
    """Return the configuration file of ``HSM_CONFIG``; ``None`` without it, or if ``HSM_HOME`` is set."""
    file = os.environ.get("HSM_CONFIG")
    return Path(file) if file and not os.environ.get("HSM_HOME") else None


def chosen() -> Path | None:
    """Return the configuration file of ``HSM_CONFIG``, or the installed one; ``None`` if ``HSM_HOME`` is set."""
    if os.environ.get("HSM_HOME") or not _INSTALLED.exists():
        return named()
    return named() or _INSTALLED


def servers(file: Path, cluster_id: str = "") -> Servers:
    """Read a configuration file.

    Args:
        file: The file.
        cluster_id: The id of a cluster in it; empty for the first one. A file without ids has one cluster.

    Raises:
        StateError: The file is no JSON, has no such cluster, no enabled server, or values of another type.
        OSError: The file cannot be read.
    """
    try:
        clusters = json.loads(read_whole(file, _LARGEST))["clusters"]
        cluster = clusters[_index(file, clusters, cluster_id)]["cluster"]
        places = tuple(_place(server) for server in cluster["servers"] if server.get("enable", True) is True)
        certificates = _certificates(cluster)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise StateError(f"{file} is no configuration of a cluster: {type(error).__name__} {error}") from error
    if not places:
        raise StateError(f"{file} has no server that is enabled")
    return Servers(places, certificates)


def has_cluster(file: Path, cluster_id: str) -> bool:
    """Tell whether a configuration file has a cluster with that id."""
    try:
        clusters = json.loads(read_whole(file, _LARGEST))["clusters"]
        return cluster_id.lower() in [str(cluster.get("cluster_id", "")).lower() for cluster in clusters]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _index(file: Path, clusters: Any, cluster_id: str) -> int:
    ids = [str(cluster.get("cluster_id", "")) for cluster in clusters]
    if not cluster_id or not any(ids):
        return 0
    for index, known in enumerate(ids):
        if known.lower() == cluster_id.lower():
            return index
    raise StateError(f"{file} has no cluster {cluster_id[:64]!r}; there are {', '.join(filter(None, ids))}")


def _place(server: Any) -> Path | Address:
    host, port = server["hostname"], server.get("port", PORT)
    if not isinstance(host, str) or type(port) is not int or not 0 < port < 65536:
        raise TypeError(f"in the server {server!r}")
    return Path(host) if host.startswith("/") else Address(host, port)


def _certificates(cluster: Any) -> Certificates:
    own = [
        cluster.get(names[0]) or cluster.get(names[1])
        for names in (("client_cert_hsm_tls_file", "client_cert_path"), ("client_key_hsm_tls_file", "client_key_path"))
    ]
    if any(own) and not all(own):
        raise ValueError("a client certificate needs its private key, and a key its certificate")
    return Certificates(
        Path(cluster.get("hsm_ca_file") or _AUTHORITY), (Path(own[0]), Path(own[1])) if all(own) else None
    )
