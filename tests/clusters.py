"""Several HSMs of one cluster, each a state directory with a daemon as a process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.site import Site, fresh_site


@contextmanager
def cluster_of(root: Path, url: str, number: int = 2) -> Iterator[list[Site]]:
    """Make an HSM on a store of PostgreSQL and others that join it; their daemons are stopped afterwards."""
    with fresh_site(root / "hsm1", "--store", url) as first:
        sites = [first]
        for other in range(2, number + 1):
            home = root / f"hsm{other}"
            site = Site(home, first.environment | {"HSM_HOME": str(home)})
            site.must("join", "--store", url, "--master-key-file", str(first.home / "master.key"))
            sites.append(site)
        try:
            yield sites
        finally:
            for site in sites[1:]:
                site.hsm("stop")


def kill(site: Site) -> None:
    """End a site's daemon without a warning."""
    os.kill(json.loads(site.must("status", "--json"))["pid"], signal.SIGKILL)
