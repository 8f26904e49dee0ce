"""Wrapping and unwrapping: every mechanism with every key, who may, trusted keys, templates, what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import padding

from hsmcore import Hsm, Settings
from hsmcore.errors import (
    AttributeInvalid,
    DataLengthInvalid,
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    KeyNotWrappable,
    KeyTypeInconsistent,
    KeyUnextractable,
    MechanismInvalid,
    MechanismParameterInvalid,
    PermissionDenied,
    TemplateInconsistent,
    WrappedKeyInvalid,
)
from hsmcore.keys.records import KeyRecord
from hsmcore.primitives.parameters import hash_named
from hsmcore.tables.mechanisms import HASHES, KEY_WRAP_IV, MECHANISMS, Mechanism, Operation
from tests.hsmcore.conftest import PASSWORDS, Site
from tests.hsmcore.judge import KeyFiles
from tests.hsmcore.making import ec_key, one_of_each, pkcs8, rsa_key, take_pair, take_secret
from tests.vectors import nist

_WRAPS = [row for row in MECHANISMS.values() if Operation.WRAP in row.operations]
_SECRETS = {"AES": (16, 24, 32), "DESEDE": (24,), "GENERIC_SECRET": (1, 8, 16, 20, 24, 800)}
_PAIRS = {"RSA": rsa_key(), "EC": ec_key("P-521")}
_LONGEST = {"RSA_PKCS1": 245} | {
    f"RSA_OAEP_{name}": 254 - 2 * hash_named(digest).digest_size for name, digest in HASHES.items()
}
"""Bytes that a 2048-bit RSA key wraps at most (RFC 8017 7.1.1, 7.2.1)."""
_GCM = "AES_GCM"


@pytest.fixture(scope="module")
def keys(open_site: Site) -> dict[str, tuple[int, int]]:
    """Wrapping and unwrapping key by key type."""
    public, private = take_pair(open_site.hsm, open_site.user, rsa_key())
    aes = open_site.hsm.keys.generate(open_site.user, "AES_KEY_GEN", {}).handle
    des = open_site.hsm.keys.generate(open_site.user, "DESEDE_KEY_GEN", {}).handle
    return {"AES": (aes, aes), "DESEDE": (des, des), "RSA": (public.handle, private.handle)}


def _targets(site: Site) -> Iterator[tuple[KeyRecord, bytes]]:
    for kind, sizes in _SECRETS.items():
        for material in map(os.urandom, sizes):
            yield take_secret(site.hsm, site.user, kind, material), material
    for kind, key in _PAIRS.items():
        wishes = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": kind}
        yield site.hsm.keys.import_(site.user, wishes, pkcs8(key)), pkcs8(key)


def _fits(row: Mechanism, length: int) -> bool:
    if row.name in _LONGEST:
        return length <= _LONGEST[row.name]
    if row.name == "DESEDE_KEY_WRAP":
        return length >= 8 and length % 4 == 0
    if row.mode == "NO_PAD":
        return length >= 16 and length % 8 == 0
    return row.mode != "PKCS5_PAD" or length >= 8


def _named(key: KeyRecord) -> dict[str, object]:
    return {name: key.attributes[name] for name in ("OBJECT_CLASS", "KEY_TYPE")}


@pytest.mark.parametrize("row", _WRAPS, ids=lambda row: row.name)
def test_every_key_comes_back(open_site: Site, keys: dict[str, tuple[int, int]], row: Mechanism) -> None:
    hsm, user = open_site.hsm, open_site.user
    wrapping, unwrapping = keys[next(iter(row.key_types)).value]
    for target, material in _targets(open_site):
        if not _fits(row, len(material)):
            with pytest.raises(DataLengthInvalid):
                hsm.keys.wrap(user, wrapping, row.name, None, target.handle)
            continue
        wrapped, parameters = hsm.keys.wrap(user, wrapping, row.name, None, target.handle)
        assert (parameters is not None) == (row.name == _GCM)
        back = hsm.keys.unwrap(user, unwrapping, row.name, parameters, wrapped, _named(target))
        assert back.handle != target.handle
        assert hsm.keys.clear_value(user, back.handle) == material
        assert back.public_key_info == target.public_key_info
        assert back.attributes == {**target.attributes, "LOCAL": False}
        again, _ = hsm.keys.wrap(user, wrapping, row.name, None, target.handle)
        deterministic = row.family in {"aes_key_wrap", "tdea_key_wrap"}
        assert (again == wrapped) == deterministic, "only key wrap under AES or triple DES is deterministic"


def test_triple_des_key_wrap_is_nists(open_site: Site) -> None:
    hsm, user, name = open_site.hsm, open_site.user, "DESEDE_KEY_WRAP"
    for case in nist.records("keywrap/kwtestvectors/TKW_AE.txt", "c"):
        wrapping = take_secret(hsm, user, "DESEDE", bytes.fromhex(case["k"])).handle
        target = take_secret(hsm, user, "GENERIC_SECRET", bytes.fromhex(case["p"])).handle
        assert hsm.keys.wrap(user, wrapping, name, None, target)[0].hex() == case["c"]
    refused = 0
    for case in nist.decryptions("keywrap/kwtestvectors/TKW_AD.txt", "P"):
        unwrapping = take_secret(hsm, user, "DESEDE", bytes.fromhex(case["k"])).handle
        unwrap = partial(hsm.keys.unwrap, user, unwrapping, name, None, bytes.fromhex(case["c"]), _SECRET)
        if "p" in case:
            assert hsm.keys.clear_value(user, unwrap().handle) == bytes.fromhex(case["p"])
        else:
            refused += 1
            _refused(open_site, WrappedKeyInvalid, unwrap)
    assert refused


@pytest.mark.parametrize("length", range(8, 34))
def test_aes_key_wrap_is_what_its_standards_say(open_site: Site, length: int) -> None:
    key, material = os.urandom(32), os.urandom(length)
    hsm, user = open_site.hsm, open_site.user
    wrapping = take_secret(hsm, user, "AES", key).handle
    target = take_secret(hsm, user, "GENERIC_SECRET", material).handle
    zero, _ = hsm.keys.wrap(user, wrapping, "AES_KEY_WRAP_ZERO_PAD", None, target)
    assert keywrap.aes_key_unwrap_with_padding(key, zero) == material
    proprietary, _ = hsm.keys.wrap(user, wrapping, "AES_KEY_WRAP_PKCS5_PAD", None, target)
    padding_length = 8 - length % 8
    assert keywrap.aes_key_unwrap(key, proprietary) == material + bytes([padding_length]) * padding_length
    if length % 8 == 0 and length > 8:
        plain, _ = hsm.keys.wrap(user, wrapping, "AES_KEY_WRAP_NO_PAD", None, target)
        assert keywrap.aes_key_unwrap(key, plain) == material
        assert len(proprietary) == len(plain) + 8


@pytest.mark.parametrize("name", HASHES)
def test_rsa_aes_key_wrap_is_read_by_openssl(open_site: Site, tmp_path: Path, name: str) -> None:
    files = KeyFiles(tmp_path, rsa_key())
    hash_name = name.lower()
    oaep = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{hash_name}", f"rsa_mgf1_md:{hash_name}"]
    options = [part for option in oaep for part in ("-pkeyopt", option)]
    hsm, user = open_site.hsm, open_site.user
    public, private = take_pair(hsm, user, rsa_key())
    target = hsm.keys.import_(user, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"}, pkcs8(ec_key()))
    wrapped, _ = hsm.keys.wrap(user, public.handle, f"RSA_AES_KEY_WRAP_{name}", None, target.handle)
    temporary = files.decrypt(wrapped[:256], *options)
    assert len(temporary) == 32
    assert keywrap.aes_key_unwrap_with_padding(temporary, wrapped[256:]) == pkcs8(ec_key())
    for size in (16, 24, 32):
        theirs = os.urandom(size)
        blob = files.encrypt(theirs, *options) + keywrap.aes_key_wrap_with_padding(theirs, bytes(range(20)))
        back = hsm.keys.unwrap(user, private.handle, f"RSA_AES_KEY_WRAP_{name}", None, blob, _SECRET)
        assert hsm.keys.clear_value(user, back.handle) == bytes(range(20))


def test_oaep_labels_and_hashes_bind(open_site: Site, keys: dict[str, tuple[int, int]]) -> None:
    hsm, user, (public, private) = open_site.hsm, open_site.user, keys["RSA"]
    target = take_secret(hsm, user, "AES", bytes(16))
    for family in ("RSA_OAEP", "RSA_AES_KEY_WRAP"):
        wrapped, _ = hsm.keys.wrap(user, public, f"{family}_SHA256", {"label": b"for us"}, target.handle)
        hsm.keys.unwrap(user, private, f"{family}_SHA256", {"label": b"for us"}, wrapped, _named(target))
        for name, parameters in ((f"{family}_SHA256", None), (f"{family}_SHA384", {"label": b"for us"})):
            with pytest.raises(WrappedKeyInvalid):
                hsm.keys.unwrap(user, private, name, parameters, wrapped, _named(target))
        with pytest.raises(MechanismParameterInvalid):
            hsm.keys.wrap(user, public, f"{family}_SHA256", {"mgf_hash": "SHA-1"}, target.handle)


_SECRET = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "GENERIC_SECRET"}
_AES = _SECRET | {"KEY_TYPE": "AES"}


def test_the_iv_of_aes_key_wrap(open_site: Site, keys: dict[str, tuple[int, int]]) -> None:
    hsm, user, (key, _) = open_site.hsm, open_site.user, keys["AES"]
    target = take_secret(hsm, user, "AES", bytes(16)).handle
    for name in ("AES_KEY_WRAP_NO_PAD", "AES_KEY_WRAP_PKCS5_PAD", "AES_KEY_WRAP_ZERO_PAD"):
        implicit, _ = hsm.keys.wrap(user, key, name, None, target)
        good = [{"iv": KEY_WRAP_IV}] if name != "AES_KEY_WRAP_ZERO_PAD" else []
        for parameters in good:
            assert hsm.keys.wrap(user, key, name, parameters, target)[0] == implicit
            hsm.keys.unwrap(user, key, name, parameters, implicit, _AES)
        for iv in (b"", KEY_WRAP_IV[:7], KEY_WRAP_IV[:4], bytes(8), KEY_WRAP_IV * 2, *([] if good else [KEY_WRAP_IV])):
            with pytest.raises(MechanismParameterInvalid):
                hsm.keys.wrap(user, key, name, {"iv": iv}, target)
            with pytest.raises(MechanismParameterInvalid):
                hsm.keys.unwrap(user, key, name, {"iv": iv}, implicit, _AES)


def test_gcm_makes_the_iv_and_binds_the_associated_data(open_site: Site, keys: dict[str, tuple[int, int]]) -> None:
    hsm, user, (key, _) = open_site.hsm, open_site.user, keys["AES"]
    target = take_secret(hsm, user, "AES", bytes(16)).handle
    seen = set()
    for _ in range(100):
        wrapped, parameters = hsm.keys.wrap(user, key, _GCM, {"iv": bytes(12), "aad": b"bound"}, target)
        assert parameters is not None
        seen.add(parameters["iv"])
    assert len(seen) == 100
    assert bytes(12) not in seen
    hsm.keys.unwrap(user, key, _GCM, parameters | {"aad": b"bound"}, wrapped, _AES)
    for wrong in ({"aad": b"other"}, {"aad": b"bound", "iv": bytes(12)}):
        with pytest.raises(WrappedKeyInvalid):
            hsm.keys.unwrap(user, key, _GCM, parameters | wrong, wrapped, _AES)
    for iv in (None, b"", bytes(16), bytes(11)):
        with pytest.raises(MechanismParameterInvalid):
            hsm.keys.unwrap(user, key, _GCM, {"iv": iv}, wrapped, _AES)


@pytest.mark.parametrize("iv", [bytes(16), bytes(range(16))], ids=["zero", "other"])
def test_cbc_unwraps_what_it_does_not_wrap(open_site: Site, keys: dict[str, tuple[int, int]], iv: bytes) -> None:
    hsm, user, (key, _) = open_site.hsm, open_site.user, keys["AES"]
    material = os.urandom(32)
    sealed, _ = hsm.crypto.encrypt(user, key, "AES_CBC", {"iv": iv}, material)
    back = hsm.keys.unwrap(user, key, "AES_CBC", {"iv": iv}, sealed, _AES)
    assert hsm.keys.clear_value(user, back.handle) == material
    for name in ("AES_CBC", "AES_CBC_PAD", "AES_ECB", "AES_CTR"):
        with pytest.raises(MechanismInvalid):
            hsm.keys.wrap(user, key, name, {"iv": iv}, back.handle)
    with pytest.raises(MechanismInvalid):
        hsm.keys.unwrap(user, key, "AES_CBC_PAD", {"iv": iv}, sealed, _AES)


def test_an_unwrapped_key_is_the_callers_with_the_callers_attributes(site: Site) -> None:
    hsm, user = site.hsm, site.user
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    target = hsm.keys.generate(user, "AES_KEY_GEN", {"LABEL": "first", "TOKEN": True})
    wrapped, parameters = hsm.keys.wrap(user, key, _GCM, None, target.handle)
    plain = hsm.keys.unwrap(user, key, _GCM, parameters, wrapped, _AES).attributes
    assert [plain[name] for name in ("TOKEN", "EXTRACTABLE", "LABEL", "SIZE")] == [False, True, "", 256]
    assert not any(plain[name] for name in ("LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"))
    wishes = {"LABEL": "second", "TOKEN": True, "EXTRACTABLE": False, "ENCRYPT": False, "ID": "x", "SIZE": 256}
    kept = hsm.keys.unwrap(user, key, _GCM, parameters, wrapped, _AES | wishes)
    assert {name: kept.attributes[name] for name in wishes} == wishes | {"ID": b"x"}
    assert not any(kept.attributes[name] for name in ("LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE"))
    second = hsm.users.login("cu1", PASSWORDS["cu1"])
    assert hsm.keys.get(second, kept.handle) == kept
    hsm.users.logout(second)
    for wrong in ({"SIZE": 128}, {"TRUSTED": True}, {"LOCAL": True}, {"WRAP": 1}, {"NOTHING": True}):
        with pytest.raises(AttributeInvalid):
            hsm.keys.unwrap(user, key, _GCM, parameters, wrapped, _AES | wrong)
    for handle in (kept.handle, target.handle):
        hsm.keys.destroy(user, handle)


def _refused(site: Site, error: type[HsmError], call: Callable[[], object]) -> None:
    """Check that the call fails in this way and leaves no key behind."""
    before = site.hsm.status(), site.hsm.keys.find(site.user, {})
    with pytest.raises(error):
        call()
    assert (site.hsm.status(), site.hsm.keys.find(site.user, {})) == before


@pytest.mark.parametrize("row", _WRAPS, ids=lambda row: row.name)
def test_bytes_that_do_not_unwrap(open_site: Site, keys: dict[str, tuple[int, int]], row: Mechanism) -> None:
    hsm, user = open_site.hsm, open_site.user
    wrapping, unwrapping = keys[next(iter(row.key_types)).value]
    target = take_secret(hsm, user, "AES", bytes(32))
    wrapped, parameters = hsm.keys.wrap(user, wrapping, row.name, None, target.handle)
    damaged = [wrapped[:cut] for cut in {0, 1, 8, 16, len(wrapped) // 2, len(wrapped) - 8, len(wrapped) - 1}]
    damaged += [wrapped + b"\0", wrapped + bytes(8), bytes(len(wrapped))]
    damaged += [
        wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in {0, len(wrapped) // 2, -1 % len(wrapped)}
    ]
    unwrap = partial(hsm.keys.unwrap, user, unwrapping, row.name, parameters)
    for blob in damaged:
        # Wrong PKCS #1 padding gives random bytes of a random length, see below.
        if row.name != "RSA_PKCS1" or len(blob) != len(wrapped):
            _refused(open_site, WrappedKeyInvalid, partial(unwrap, blob, _AES))
    for wrong in ({"KEY_TYPE": "DESEDE"}, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "RSA"}):
        _refused(open_site, WrappedKeyInvalid, partial(unwrap, wrapped, _AES | wrong))
    for wrong in ({"OBJECT_CLASS": "PUBLIC_KEY", "KEY_TYPE": "RSA"}, {"KEY_TYPE": "RSA"}, {"OBJECT_CLASS": None}):
        _refused(open_site, AttributeInvalid, partial(unwrap, wrapped, _AES | wrong))
    back = hsm.keys.unwrap(user, unwrapping, row.name, parameters, wrapped, _AES)
    assert hsm.keys.clear_value(user, back.handle) == bytes(32)


def test_pkcs1_of_another_key_is_no_oracle(open_site: Site, keys: dict[str, tuple[int, int]]) -> None:
    """Wrong padding gives random bytes (implicit rejection), which may be a generic secret, but never the real one."""
    hsm, user, (_, private) = open_site.hsm, open_site.user, keys["RSA"]
    blob = bytearray(rsa_key().public_key().encrypt(b"the right secret", padding.PKCS1v15()))
    blob[-1] ^= 1
    for _ in range(2):
        try:
            back = hsm.keys.unwrap(user, private, "RSA_PKCS1", None, bytes(blob), _SECRET)
        except WrappedKeyInvalid:
            continue
        assert hsm.keys.clear_value(user, back.handle) != b"the right secret"


def test_what_is_not_wrapped(site: Site) -> None:
    hsm, user = site.hsm, site.user
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    for (key_class, _), target in one_of_each(hsm, user, TOKEN=True).items():
        for session in (site.other, site.admin):
            with pytest.raises(HsmError):
                hsm.keys.wrap(session, key, _GCM, None, target.handle)
        if key_class == "PUBLIC_KEY":
            _refused(site, KeyNotWrappable, partial(hsm.keys.wrap, user, key, _GCM, None, target.handle))
        hsm.keys.destroy(user, target.handle)
        with pytest.raises(KeyNotFound):
            hsm.keys.wrap(user, key, _GCM, None, target.handle)
    fixed = hsm.keys.generate(user, "AES_KEY_GEN", {"EXTRACTABLE": False}).handle
    _refused(site, KeyUnextractable, partial(hsm.keys.wrap, user, key, _GCM, None, fixed))
    _refused(site, KeyNotFound, partial(hsm.keys.wrap, user, key, _GCM, None, 7))
    _refused(site, KeyNotFound, partial(hsm.keys.wrap, user, 7, _GCM, None, key))
    generic = take_secret(hsm, user, "GENERIC_SECRET", bytes(32)).handle
    _refused(site, KeyTypeInconsistent, partial(hsm.keys.wrap, user, generic, "AES_KEY_WRAP_ZERO_PAD", None, key))
    weak = hsm.keys.generate(user, "AES_KEY_GEN", {"WRAP": False, "UNWRAP": False}).handle
    _refused(site, KeyFunctionNotPermitted, partial(hsm.keys.wrap, user, weak, _GCM, None, key))
    _refused(site, KeyFunctionNotPermitted, partial(hsm.keys.unwrap, user, weak, _GCM, None, bytes(48), _AES))


def test_only_the_owner_wraps_out(site: Site) -> None:
    """A key that another user sees is used there, as a wrapping key too, but does not leave."""
    hsm = site.hsm
    public, private = take_pair(hsm, site.user, rsa_key(), TOKEN=True)
    own = hsm.keys.generate(site.other, "AES_KEY_GEN", {}).handle
    wrapped, _ = hsm.keys.wrap(site.other, public.handle, "RSA_OAEP_SHA256", None, own)
    assert hsm.keys.unwrap(site.user, private.handle, "RSA_OAEP_SHA256", None, wrapped, _AES)
    with pytest.raises(PermissionDenied):
        hsm.keys.wrap(site.other, own, _GCM, None, public.handle)
    with pytest.raises(PermissionDenied):
        hsm.keys.wrap(site.admin, public.handle, "RSA_OAEP_SHA256", None, own)
    with pytest.raises(KeyNotFound):
        hsm.keys.wrap(site.other, own, _GCM, None, private.handle)
    for half in (public, private):
        hsm.keys.destroy(site.user, half.handle)


def test_wrap_with_trusted(site: Site) -> None:
    hsm, user = site.hsm, site.user
    key = hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True}).handle
    target = hsm.keys.generate(user, "AES_KEY_GEN", {"WRAP_WITH_TRUSTED": True}).handle
    later = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    hsm.keys.wrap(user, key, _GCM, None, later)
    hsm.keys.set_attributes(user, later, {"WRAP_WITH_TRUSTED": True})
    for bound in (target, later):
        _refused(site, KeyNotWrappable, partial(hsm.keys.wrap, user, key, _GCM, None, bound))
        with pytest.raises(AttributeInvalid):
            hsm.keys.set_attributes(user, bound, {"WRAP_WITH_TRUSTED": False})
    with pytest.raises(PermissionDenied):
        hsm.keys.set_attributes(user, key, {"TRUSTED": True})
    hsm.keys.set_attributes(site.admin, key, {"TRUSTED": True})
    wrapped, parameters = hsm.keys.wrap(user, key, _GCM, None, target)
    assert hsm.keys.unwrap(user, key, _GCM, parameters, wrapped, _AES)
    hsm.keys.set_attributes(site.admin, key, {"TRUSTED": False})
    _refused(site, KeyNotWrappable, partial(hsm.keys.wrap, user, key, _GCM, None, target))
    hsm.keys.destroy(user, key)


def test_a_trusted_bound_key_is_not_read_in_clear(open_site: Site) -> None:
    key = open_site.hsm.keys.generate(open_site.user, "AES_KEY_GEN", {"WRAP_WITH_TRUSTED": True})
    assert open_site.hsm.keys.clear_value(open_site.user, key.handle) is None


def test_wrap_templates(site: Site) -> None:
    hsm, user = site.hsm, site.user
    template = {"KEY_TYPE": "AES", "WRAP_WITH_TRUSTED": False, "LABEL": "data"}
    key = hsm.keys.generate(user, "AES_KEY_GEN", {"WRAP_TEMPLATE": template, "TOKEN": True})
    assert key.attributes["WRAP_TEMPLATE"] == template
    fits = hsm.keys.generate(user, "AES_KEY_GEN", {"LABEL": "data"}).handle
    hsm.keys.wrap(user, key.handle, _GCM, None, fits)
    others = [
        hsm.keys.generate(user, "DESEDE_KEY_GEN", {"LABEL": "data"}),
        hsm.keys.generate(user, "AES_KEY_GEN", {}),
        hsm.keys.generate(user, "AES_KEY_GEN", {"LABEL": "data", "WRAP_WITH_TRUSTED": True}),
    ]
    for other in others:
        _refused(site, KeyNotWrappable, partial(hsm.keys.wrap, user, key.handle, _GCM, None, other.handle))
    hsm.keys.set_attributes(user, key.handle, {"WRAP_TEMPLATE": {}})
    for other in others[:2]:
        hsm.keys.wrap(user, key.handle, _GCM, None, other.handle)
    hsm.keys.destroy(user, key.handle)


def test_unwrap_templates(site: Site) -> None:
    hsm, user = site.hsm, site.user
    template = {"EXTRACTABLE": False, "LABEL": "unwrapped", "ID": b"\1", "TOKEN": False}
    key = hsm.keys.generate(user, "AES_KEY_GEN", {"UNWRAP_TEMPLATE": template}).handle
    target = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    wrapped, parameters = hsm.keys.wrap(user, key, _GCM, None, target)

    def unwrap(**wishes: object) -> KeyRecord:
        return hsm.keys.unwrap(user, key, _GCM, parameters, wrapped, _AES | wishes)

    union = unwrap(SIGN=False, EXTRACTABLE=False, ID="\1").attributes
    assert {name: union[name] for name in (*template, "SIGN")} == template | {"SIGN": False}
    for wrong in ({"EXTRACTABLE": True}, {"LABEL": "mine"}, {"TOKEN": True}):
        _refused(site, TemplateInconsistent, partial(unwrap, **wrong))
    hsm.keys.set_attributes(user, key, {"UNWRAP_TEMPLATE": {"KEY_TYPE": "GENERIC_SECRET"}})
    _refused(site, TemplateInconsistent, unwrap)
    hsm.keys.set_attributes(user, key, {"UNWRAP_TEMPLATE": {"TRUSTED": True}})
    _refused(site, AttributeInvalid, unwrap)
    hsm.keys.set_attributes(user, key, {"UNWRAP_TEMPLATE": {}})
    assert unwrap(LABEL="mine").attributes["EXTRACTABLE"]


@pytest.mark.parametrize("name", ["WRAP_TEMPLATE", "UNWRAP_TEMPLATE"])
def test_templates_are_checked_where_they_are_set(site: Site, name: str) -> None:
    hsm, user = site.hsm, site.user
    wrong_ones = (
        {"NOTHING": True},
        {"TOKEN": 1},
        {"SIZE": "128"},
        {"LABEL": "x" * 128},
        {name: {}},
        {name: {"TOKEN": True}},
    )
    key = hsm.keys.generate(user, "AES_KEY_GEN", {name: {"TOKEN": True, "ID": None}})
    assert key.attributes[name] == {"TOKEN": True}
    for wrong in wrong_ones:
        with pytest.raises(AttributeInvalid):
            hsm.keys.generate(user, "AES_KEY_GEN", {name: wrong})
        with pytest.raises(AttributeInvalid):
            hsm.keys.set_attributes(user, key.handle, {name: wrong})
    assert hsm.keys.get(user, key.handle) == key
    for mechanism in ("GENERIC_SECRET_KEY_GEN",):
        with pytest.raises(AttributeInvalid):
            hsm.keys.generate(user, mechanism, {name: {}})


def test_templates_survive_on_disk(tmp_path: Path) -> None:
    template = {"LABEL": "x", "ID": b"\0\1", "SIZE": 256, "TOKEN": True}
    with Hsm.initialize(tmp_path, admin_password=b"admin-pass-001", settings=Settings()) as hsm:
        hsm.users.create(hsm.users.login("admin", b"admin-pass-001", "admin"), "cu1", "crypto-user", PASSWORDS["cu1"])
        made = hsm.keys.generate(
            hsm.users.login("cu1", PASSWORDS["cu1"]),
            "AES_KEY_GEN",
            {"TOKEN": True, "WRAP_TEMPLATE": template, "UNWRAP_TEMPLATE": {}},
        )
    with Hsm.open(tmp_path) as hsm:
        assert hsm.keys.find(hsm.users.login("cu1", PASSWORDS["cu1"]), {"WRAP_TEMPLATE": template}) == [made]
