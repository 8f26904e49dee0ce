"""Limits on how much data an operation takes at once: CloudHSM's where the HSM is strict, none else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hsmcore import Settings
from hsmcore.errors import DataLengthInvalid
from hsmcore.tables.mechanisms import MECHANISMS, Mechanism
from tests.hsmcore.conftest import Site, make_site
from tests.hsmcore.making import take_secret

_LIMITS = {
    "AES_GCM": 16_000,
    "AES_CBC": 16_272,
    "AES_CBC_PAD": 16_272,
    "DESEDE_CBC": 16_280,
    "DESEDE_CBC_PAD": 16_280,
    "HMAC_SHA1": 16_288,
    "HMAC_SHA224": 16_256,
    "HMAC_SHA256": 16_288,
    "HMAC_SHA384": 16_224,
    "HMAC_SHA512": 16_224,
}
_BEYOND = 100_000


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("strict") / "hsm", Settings(strict_limits=True))
    with made.hsm:
        yield made


def _key(site: Site, row: Mechanism) -> int:
    kind = "DESEDE" if row.name.startswith("DESEDE") else "AES"
    return take_secret(site.hsm, site.user, kind, bytes(range(24))).handle


def test_the_table_has_these_limits() -> None:
    assert {row.name: row.limit for row in MECHANISMS.values() if row.limit} == _LIMITS


@pytest.mark.parametrize("name", [name for name in _LIMITS if not name.startswith("HMAC")])
def test_ciphers(site: Site, strict: Site, name: str) -> None:
    row = MECHANISMS[name]
    loose_key, strict_key, data = _key(site, row), _key(strict, row), bytes(row.limit)
    iv = {"iv": bytes(row.iv)}
    sealed, parameters = strict.hsm.crypto.encrypt(strict.user, strict_key, name, iv, data)
    assert strict.hsm.crypto.decrypt(strict.user, strict_key, name, parameters, sealed) == data
    longer, parameters = site.hsm.crypto.encrypt(site.user, loose_key, name, iv, bytes(_BEYOND))
    assert site.hsm.crypto.decrypt(site.user, loose_key, name, parameters, longer) == bytes(_BEYOND)
    for _ in range(2):
        with pytest.raises(DataLengthInvalid, match="strict limits"):
            strict.hsm.crypto.encrypt(strict.user, strict_key, name, iv, bytes(row.limit + max(row.block, 1)))
        with pytest.raises(DataLengthInvalid, match="strict limits"):
            strict.hsm.crypto.decrypt(strict.user, strict_key, name, parameters, longer)
    assert strict.hsm.crypto.encrypt(strict.user, strict_key, name, iv, data)


@pytest.mark.parametrize("name", [name for name in _LIMITS if name.startswith("HMAC")])
def test_macs(site: Site, strict: Site, name: str) -> None:
    row = MECHANISMS[name]
    loose_key, strict_key = _key(site, row), _key(strict, row)
    mac = strict.hsm.crypto.sign(strict.user, strict_key, name, None, bytes(row.limit))
    assert strict.hsm.crypto.verify(strict.user, strict_key, name, None, bytes(row.limit), mac)
    assert site.hsm.crypto.sign(site.user, loose_key, name, None, bytes(_BEYOND))
    with pytest.raises(DataLengthInvalid):
        strict.hsm.crypto.sign(strict.user, strict_key, name, None, bytes(row.limit + 1))
    with pytest.raises(DataLengthInvalid):
        strict.hsm.crypto.verify(strict.user, strict_key, name, None, bytes(row.limit + 1), mac)


@pytest.mark.parametrize(("kind", "name"), [("encrypt", "AES_CBC"), ("decrypt", "DESEDE_CBC"), ("sign", "HMAC_SHA256")])
def test_each_part_of_an_operation_has_the_limit(strict: Site, kind: str, name: str) -> None:
    row = MECHANISMS[name]
    hsm, user, key = strict.hsm, strict.user, _key(strict, row)
    operation, _ = hsm.crypto.begin(user, kind, key, name, {"iv": bytes(row.iv)})
    for _ in range(3):
        hsm.crypto.update(user, operation, bytes(row.limit))
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.update(user, operation, bytes(_BEYOND))
    with pytest.raises(DataLengthInvalid):
        hsm.crypto.finish(user, operation, bytes(_BEYOND))
    operation, _ = hsm.crypto.begin(user, kind, key, name, {"iv": bytes(row.iv)})
    hsm.crypto.update(user, operation, bytes(row.limit))
    assert hsm.crypto.finish(user, operation, bytes(row.limit))


@pytest.mark.parametrize("name", ["AES_ECB", "AES_CTR", "DESEDE_ECB"])
def test_modes_without_a_known_limit(strict: Site, name: str) -> None:
    row = MECHANISMS[name]
    sealed, _ = strict.hsm.crypto.encrypt(strict.user, _key(strict, row), name, {"iv": bytes(row.iv)}, bytes(_BEYOND))
    assert len(sealed) == _BEYOND
