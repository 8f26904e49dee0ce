"""HSMs to back up, and the doors of a restored one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsmcore import Hsm, Settings
from hsmcore.backup.opening import Credentials
from tests.hsmcore.conftest import Site, make_site

PASSPHRASE = b"a passphrase of some length"


@pytest.fixture(scope="package")
def backed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An HSM with token keys of each kind, shared and with quorum values, and a session key."""
    site = make_site(tmp_path_factory.mktemp("backed") / "hsm", Settings(clear_key_extraction=True))
    with site.hsm as hsm:
        for number in range(40):
            hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": f"aes {number}"})
        for kind in ("RSA_KEY_PAIR_GEN", "EC_KEY_PAIR_GEN", "ML_DSA_KEY_PAIR_GEN"):
            hsm.keys.generate_pair(site.user, kind, {"TOKEN": True, "LABEL": kind}, {"TOKEN": True, "LABEL": kind})
        shared = hsm.keys.generate(site.other, "AES_KEY_GEN", {"TOKEN": True, "LABEL": "shared", "ID": b"\1\2"}).handle
        hsm.keys.share(site.other, shared, "cu1")
        hsm.keys.set_quorum(site.other, shared, 2, 2)
        hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": False, "LABEL": "session"})
        yield site


@pytest.fixture(scope="package")
def file(backed: Site) -> Path:
    """A backup of it."""
    return Path(backed.hsm.backups.create(backed.admin).info.path)


def key_file(site: Site) -> Credentials:
    """Return the key file of an HSM."""
    return Credentials(key_file=(site.home / "master.key").read_bytes())


def restored(file: Path, home: Path, site: Site) -> Hsm:
    """Restore a backup of an HSM with a key file and open the new one."""
    Hsm.restore(file, home, key_file(site))
    return Hsm.open(home)
