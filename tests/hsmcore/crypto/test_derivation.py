"""Derived keys and random bytes: against openssl, the standard library and published vectors; and what is refused."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmcore.api.crypto import MAX_RANDOM
from hsmcore.errors import (
    AttributeInvalid,
    DataLengthInvalid,
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    KeySizeInvalid,
    KeyTypeInconsistent,
    MechanismInvalid,
    MechanismParameterInvalid,
    PermissionDenied,
    Unauthenticated,
)
from hsmcore.tables.mechanisms import MECHANISMS, Mechanism, Operation
from tests.hsmcore.conftest import PASSWORDS, Site
from tests.hsmcore.judge import cmac
from tests.hsmcore.making import CURVE_TYPES, ec_key, pkcs8, public_info, rsa_key, take_pair, take_secret

_BASE = bytes(range(32))
_AGREEMENTS = [row for row in MECHANISMS.values() if row.family == "ecdh_x963"]
_FEW = settings(settings.get_profile("core"), max_examples=15)
_AES_256 = {"KEY_TYPE": "AES", "SIZE": 256}
_COUNTER = {"counter_bits": 8, "prefix": b"prefix", "suffix": b"suffix"}


def _base(site: Site, **attributes: object) -> int:
    return take_secret(site.hsm, site.user, "AES", _BASE, **{"DERIVE": True, **attributes}).handle


def _private(site: Site, key: ec.EllipticCurvePrivateKey, **attributes: object) -> int:
    wanted = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC", "DERIVE": True, **attributes}
    return site.hsm.keys.import_(site.user, wanted, pkcs8(key)).handle


def _derived(site: Site, base: int, mechanism: str, parameters: Any, attributes: dict[str, Any]) -> bytes | None:
    """Derive, read what was derived and destroy it."""
    record = site.hsm.keys.derive(site.user, base, mechanism, parameters, attributes)
    material = site.hsm.keys.clear_value(site.user, record.handle)
    site.hsm.keys.destroy(site.user, record.handle)
    return material


def _blocks(block: Callable[[int], bytes], length: int) -> bytes:
    out = b""
    for counter in count(1):
        out += block(counter)
        if len(out) >= length:
            return out[:length]
    raise AssertionError


@_FEW
@given(
    size=st.sampled_from([16, 24, 32]),
    bits=st.sampled_from([8, 16, 24, 32]),
    prefix=st.none() | st.binary(max_size=40),
    suffix=st.none() | st.binary(max_size=40),
    length=st.integers(1, 100),
)
def test_the_cmac_kdf_is_counter_mode_over_openssls_cmac(
    open_site: Site, size: int, bits: int, prefix: bytes | None, suffix: bytes | None, length: int
) -> None:
    base = take_secret(open_site.hsm, open_site.user, "AES", _BASE[:size], DERIVE=True).handle
    parameters = {"counter_bits": bits, "prefix": prefix, "suffix": suffix}
    wanted = {"KEY_TYPE": "GENERIC_SECRET", "SIZE": 8 * length}
    around = (prefix or b"", suffix or b"")
    expected = _blocks(lambda i: cmac(_BASE[:size], around[0] + i.to_bytes(bits // 8, "big") + around[1]), length)
    assert _derived(open_site, base, "AES_CMAC_KDF", parameters, wanted) == expected


@pytest.mark.parametrize("mechanism", [row.name for row in MECHANISMS.values() if row.family == "hmac_kdf"])
@pytest.mark.parametrize("key_type", ["AES", "GENERIC_SECRET"])
def test_the_hmac_kdf_is_counter_mode_over_the_standard_librarys_hmac(
    open_site: Site, mechanism: str, key_type: str
) -> None:
    base = take_secret(open_site.hsm, open_site.user, key_type, _BASE, DERIVE=True).handle
    parameters = {"counter_bits": 16, "prefix": b"before", "suffix": b"after"}
    digest = MECHANISMS[mechanism].hash.replace("-", "").lower()
    expected = _blocks(lambda i: hmac.digest(_BASE, b"before" + i.to_bytes(2, "big") + b"after", digest), 100)
    wanted = {"KEY_TYPE": "GENERIC_SECRET", "SIZE": 800}
    assert _derived(open_site, base, mechanism, parameters, wanted) == expected
    for wrong in ({}, {"counter_bits": 12}, {"counter_bits": 8, "prefix": "text"}):
        with pytest.raises(MechanismParameterInvalid):
            open_site.hsm.keys.derive(open_site.user, base, mechanism, wrong, _AES_256)


@pytest.mark.parametrize("row", _AGREEMENTS, ids=[row.name for row in _AGREEMENTS])
@pytest.mark.parametrize("curve", CURVE_TYPES)
def test_ecdh_with_the_x963_kdf(open_site: Site, row: Mechanism, curve: str) -> None:
    peer = ec.generate_private_key(CURVE_TYPES[curve]())
    base = _private(open_site, ec_key(curve))
    secret = ec_key(curve).exchange(ec.ECDH(), peer.public_key())
    for shared_info in (None, b"", b"shared by both"):
        parameters = {"peer": public_info(peer), "shared_info": shared_info}
        expected = _blocks(
            lambda i, info=shared_info: hashlib.new(
                row.hash.replace("-", "").lower(), secret + i.to_bytes(4, "big") + (info or b"")
            ).digest(),
            75,
        )
        for kind, bits in (("AES", 256), ("GENERIC_SECRET", 600)):
            wanted = {"KEY_TYPE": kind, "SIZE": bits}
            assert _derived(open_site, base, row.name, parameters, wanted) == expected[: bits // 8]


def test_a_derived_des_key_has_odd_parity(open_site: Site) -> None:
    base = _base(open_site)
    for attributes in (
        {"KEY_TYPE": "DESEDE"},
        {"KEY_TYPE": "DESEDE", "SIZE": 192},
        {"KEY_TYPE": "DESEDE", "SIZE": 168},
    ):
        des = _derived(open_site, base, "AES_CMAC_KDF", _COUNTER, attributes)
        raw = _derived(open_site, base, "AES_CMAC_KDF", _COUNTER, {"KEY_TYPE": "GENERIC_SECRET", "SIZE": 192})
        assert des is not None
        assert raw is not None
        assert [byte >> 1 for byte in des] == [byte >> 1 for byte in raw]
        assert all(byte.bit_count() % 2 for byte in des)


def test_what_a_derived_key_says_about_itself(site: Site) -> None:
    hsm, user = site.hsm, site.user
    imported, made = _base(site), hsm.keys.generate(user, "AES_KEY_GEN", {"DERIVE": True, "EXTRACTABLE": False}).handle
    for base, history in ((imported, False), (made, True)):
        wanted = {**_AES_256, "LABEL": "derived", "EXTRACTABLE": False, "DECRYPT": False, "TOKEN": True}
        record = hsm.keys.derive(user, base, "AES_CMAC_KDF", _COUNTER, wanted)
        attributes = record.attributes
        assert {name: attributes[name] for name in wanted} == wanted
        assert attributes["OBJECT_CLASS"] == "SECRET_KEY"
        assert attributes["LOCAL"] is True
        assert attributes["ENCRYPT"] is True
        assert attributes["DERIVE"] is False
        assert attributes["ALWAYS_SENSITIVE"] is attributes["NEVER_EXTRACTABLE"] is history
        assert hsm.keys.find(user, {"LABEL": "derived"}) == [record]
        assert hsm.keys.clear_value(user, record.handle) is None
        hsm.keys.destroy(user, record.handle)


@pytest.mark.parametrize("curve", CURVE_TYPES)
def test_plain_ecdh_gives_the_last_bytes_of_the_shared_coordinate(open_site: Site, curve: str) -> None:
    other = ec.generate_private_key(CURVE_TYPES[curve]())
    secret = other.exchange(ec.ECDH(), ec_key(curve).public_key())
    base, peer = _private(open_site, ec_key(curve)), {"peer": public_info(other)}
    for length in (len(secret), 16):
        wanted = {"KEY_TYPE": "GENERIC_SECRET", "SIZE": length * 8}
        assert _derived(open_site, base, "ECDH", peer, wanted) == secret[-length:]
    wanted = {"KEY_TYPE": "GENERIC_SECRET", "SIZE": len(secret) * 8 + 8}
    with pytest.raises(MechanismParameterInvalid, match=f"gives {len(secret)} bytes"):
        open_site.hsm.keys.derive(open_site.user, base, "ECDH", peer, wanted)


def _misuses(site: Site) -> Iterator[tuple[type[HsmError], tuple[Any, ...]]]:
    base, pair = _base(site), take_pair(site.hsm, site.user, ec_key(), DERIVE=False)
    private = _private(site, ec_key())
    peer = {"peer": public_info(ec_key())}
    kdf, ecdh = "AES_CMAC_KDF", "ECDH_X963_SHA256"
    yield KeyNotFound, (1, kdf, _COUNTER, _AES_256)
    yield MechanismInvalid, (base, "no such", _COUNTER, _AES_256)
    yield MechanismInvalid, (base, "AES_CBC", _COUNTER, _AES_256)
    yield KeyTypeInconsistent, (base, ecdh, peer, _AES_256)
    yield KeyTypeInconsistent, (private, kdf, _COUNTER, _AES_256)
    yield KeyTypeInconsistent, (pair[0].handle, ecdh, peer, _AES_256)
    yield KeyFunctionNotPermitted, (pair[1].handle, ecdh, peer, _AES_256)
    yield KeyFunctionNotPermitted, (_base(site, DERIVE=False), kdf, _COUNTER, _AES_256)
    for bits in (None, 0, 7, 9, 64, True, "8"):
        yield MechanismParameterInvalid, (base, kdf, {"counter_bits": bits}, _AES_256)
    yield MechanismParameterInvalid, (base, kdf, None, _AES_256)
    yield MechanismParameterInvalid, (base, kdf, {"counter_bits": 8, "prefix": "text"}, _AES_256)
    yield MechanismParameterInvalid, (base, kdf, {"counter_bits": 8, "suffix": 1}, _AES_256)
    yield MechanismParameterInvalid, (private, ecdh, None, _AES_256)
    yield MechanismParameterInvalid, (private, ecdh, {"peer": 5}, _AES_256)
    yield MechanismParameterInvalid, (private, ecdh, {**peer, "shared_info": "text"}, _AES_256)
    for wrong in (b"", b"no key", public_info(rsa_key()), public_info(ec_key("P-384")), _off_the_curve()):
        yield KeyTypeInconsistent, (private, ecdh, {"peer": wrong}, _AES_256)
    for wanted in ({}, {"KEY_TYPE": "RSA"}, {"KEY_TYPE": "AES"}, {**_AES_256, "OBJECT_CLASS": "PUBLIC_KEY"}):
        yield AttributeInvalid, (base, kdf, _COUNTER, wanted)
    yield AttributeInvalid, (base, kdf, _COUNTER, {**_AES_256, "LABEL": "x" * 128})
    yield AttributeInvalid, (base, kdf, _COUNTER, {**_AES_256, "TRUSTED": True})
    for kind, bits in (("AES", 0), ("AES", 100), ("AES", -128), ("DESEDE", 128), ("GENERIC_SECRET", 6408)):
        yield KeySizeInvalid, (base, kdf, _COUNTER, {"KEY_TYPE": kind, "SIZE": bits})


def _off_the_curve() -> bytes:
    info = bytearray(public_info(ec_key()))
    info[-1] ^= 1
    return bytes(info)


def test_misuse_is_refused_and_changes_nothing(site: Site) -> None:
    cases = list(_misuses(site))
    before = site.hsm.keys.find(site.user, {})
    for kind, arguments in cases:
        with pytest.raises(kind):
            site.hsm.keys.derive(site.user, *arguments)
    assert site.hsm.keys.find(site.user, {}) == before


def test_a_base_key_is_its_owners(site: Site) -> None:
    base = _base(site, TOKEN=True)
    arguments = (base, "AES_CMAC_KDF", _COUNTER, _AES_256)
    with pytest.raises(KeyNotFound):
        site.hsm.keys.derive(site.other, *arguments)
    with pytest.raises(PermissionDenied):
        site.hsm.keys.derive(site.admin, *arguments)
    ended = site.hsm.users.login("cu1", PASSWORDS["cu1"])
    site.hsm.users.logout(ended)
    with pytest.raises(Unauthenticated):
        site.hsm.keys.derive(ended, *arguments)
    assert site.hsm.keys.derive(site.user, *arguments)
    site.hsm.keys.destroy(site.user, base)
    with pytest.raises(KeyNotFound):
        site.hsm.keys.derive(site.user, *arguments)


def test_a_counter_does_not_come_round(site: Site) -> None:
    wanted = {"KEY_TYPE": "GENERIC_SECRET", "SIZE": 6400}
    assert site.hsm.keys.derive(site.user, _base(site), "AES_CMAC_KDF", {"counter_bits": 8}, wanted)


def test_random_bytes(site: Site) -> None:
    drawn = [site.hsm.crypto.random(site.user, 32) for _ in range(50)]
    assert len(set(drawn)) == 50
    assert {len(bytes_) for bytes_ in drawn} == {32}
    assert site.hsm.crypto.random(site.user, 0) == b""
    assert len(site.hsm.crypto.random(site.user, MAX_RANDOM)) == MAX_RANDOM
    for length in (-1, MAX_RANDOM + 1):
        with pytest.raises(DataLengthInvalid):
            site.hsm.crypto.random(site.user, length)


def test_every_derivation_has_its_test_here() -> None:
    families = {row.family for row in MECHANISMS.values() if Operation.DERIVE in row.operations}
    assert families == {"cmac_kdf", "hmac_kdf", "ecdh", "ecdh_x963"}
