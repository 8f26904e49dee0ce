"""Several HSMs of one cluster, each a state directory with a daemon as a process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.site import Site, fresh_site, kill

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@contextmanager
def cluster_of(root: Path, url: str, number: int = 2, *, of_first: str = "") -> Iterator[list[Site]]:
    """Make an HSM on a store of PostgreSQL and others that join it; their daemons are stopped afterwards.

    Args:
        root: The directory of their state directories.
        url: The store.
        number: How many HSMs there are.
        of_first: The store as the first HSM reaches it, if that is another way.
    """
    with fresh_site(root / "hsm1", "--store", of_first or url) as first:
        sites = [first]
        for other in range(2, number + 1):
            home = root / f"hsm{other}"
            site = Site(home, first.environment | {"HSM_HOME": str(home)})
            site.must_here("join", "--store", url, "--master-key-file", str(first.home / "master.key"))
            sites.append(site)
        try:
            yield sites
        finally:
            for site in sites[1:]:
                site.here("stop")


def kill_daemon(site: Site) -> None:
    """End a site's daemon without a warning."""
    kill(json.loads(site.must_here("status", "--json"))["pid"])


def free_port(host: str) -> int:
    """Return a port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def served_over_tls(sites: list[Site], folder: Path) -> list[int]:
    """Give each site a certificate of one authority, start its daemon at its address of ``HOSTS``, return the ports."""
    ports = []
    for site, host in zip(sites, HOSTS, strict=False):
        site.must_here("cluster", "initialize", "--new-ca", str(folder / "ca"), "--name", host)
        ports.append(free_port(host))
        start(site, ports[-1])
    return ports


def start(site: Site, port: int) -> None:
    """Start a site's daemon again at its address."""
    number = int(site.home.name.removeprefix("hsm")) - 1
    site.must("start", "--listen", f"{HOSTS[number]}:{port}")


def configured(sites: list[Site], ports: list[int], file: Path) -> Path:
    """Write a Java provider's configuration with all sites, and return its path."""
    servers = [{"hostname": host, "port": port} for host, port in zip(HOSTS, ports, strict=False)]
    options = {"disable_key_availability_check": True}
    cluster = {"hsm_ca_file": str(sites[0].home / "customerCA.crt"), "servers": servers, "options": options}
    file.write_text(json.dumps({"clusters": [{"type": "hsm2m", "cluster": cluster}]}))
    return file
