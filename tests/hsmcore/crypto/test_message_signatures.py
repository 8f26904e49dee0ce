"""Ed25519 and ML-DSA: keys made and imported, signatures against openssl and the message representative of FIPS 204."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from hsmcore.errors import AttributeInvalid, DataLengthInvalid, KeyMaterialInvalid, KeySizeInvalid, KeyTypeInconsistent
from hsmcore.keys.records import KeyRecord
from hsmcore.tables.mechanisms import ED25519, ML_DSA_SETS
from tests.hsmcore.conftest import Site
from tests.hsmcore.judge import KeyFiles

_MESSAGES = (b"", b"message", bytes(100_000))
_PUBLIC_BYTES = {"ML-DSA-44": 1312, "ML-DSA-65": 1952, "ML-DSA-87": 2592}
"""FIPS 204 table 2."""


def _pair(site: Site, parameter_set: str | None) -> tuple[KeyRecord, KeyRecord]:
    if parameter_set is None:
        return site.hsm.keys.generate_pair(site.user, "EC_EDWARDS_KEY_PAIR_GEN", {}, {})
    wanted = {"PARAMETER_SET": parameter_set}
    return site.hsm.keys.generate_pair(site.user, "ML_DSA_KEY_PAIR_GEN", wanted, {})


@pytest.mark.parametrize("parameter_set", [None, *ML_DSA_SETS])
def test_what_such_keys_sign_holds_for_them_alone(site: Site, parameter_set: str | None) -> None:
    hsm, user, row = site.hsm, site.user, "ML_DSA" if parameter_set else "EDDSA"
    (public, private), (stranger, _) = _pair(site, parameter_set), _pair(site, parameter_set)
    info = public.public_key_info
    assert info is not None
    for message in _MESSAGES:
        signature = hsm.crypto.sign(user, private.handle, row, None, message)
        for key in (public.handle, info):
            assert hsm.crypto.verify(user, key, row, None, message, signature)
            assert not hsm.crypto.verify(user, key, row, None, message + b"!", signature)
            for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature))):
                assert not hsm.crypto.verify(user, key, row, None, message, wrong)
        assert not hsm.crypto.verify(user, stranger.handle, row, None, message, signature)


@pytest.mark.parametrize("parameter_set", [None, *ML_DSA_SETS])
def test_what_such_keys_say_about_themselves(site: Site, parameter_set: str | None) -> None:
    fact, kind = ({"EC_PARAMS": ED25519}, "EC_EDWARDS") if parameter_set is None else (
        {"PARAMETER_SET": parameter_set}, "ML_DSA"
    )  # fmt: skip
    for record in _pair(site, parameter_set):
        attributes = record.attributes
        assert fact.items() <= attributes.items()
        assert attributes["KEY_TYPE"] == kind
        assert attributes["SIZE"] == 8 * _PUBLIC_BYTES.get(str(parameter_set), 32)
        assert record.handle in {found.handle for found in site.hsm.keys.find(site.user, fact)}
        for usage in ("ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "DERIVE"):
            assert attributes[usage] is False
    assert _pair(site, None)[0].public_key_info != _pair(site, None)[0].public_key_info


def test_ed25519_agrees_with_openssl(site: Site, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    files, material = KeyFiles(tmp_path, key), key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    wanted = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC_EDWARDS"}
    handle = site.hsm.keys.import_(site.user, wanted, material).handle
    data = tmp_path / "data"
    for message in _MESSAGES[1:]:
        data.write_bytes(message)
        ours = site.hsm.crypto.sign(site.user, handle, "EDDSA", None, message)
        assert ours == files.sign(b"", "-rawin", "-in", str(data))
        assert files.verifies(b"", ours, "-rawin", "-in", str(data))


@pytest.mark.parametrize("parameter_set", ML_DSA_SETS)
def test_the_message_representative(site: Site, parameter_set: str) -> None:
    hsm, user = site.hsm, site.user
    public, private = _pair(site, parameter_set)
    assert public.public_key_info is not None
    raw = load_der_public_key(public.public_key_info).public_bytes(Encoding.Raw, PublicFormat.Raw)
    mu = hashlib.shake_256(hashlib.shake_256(raw).digest(64) + b"\0\0" + b"message").digest(64)
    signature = hsm.crypto.sign(user, private.handle, "ML_DSA_MU", None, mu)
    assert hsm.crypto.verify(user, public.handle, "ML_DSA", None, b"message", signature)
    whole = hsm.crypto.sign(user, private.handle, "ML_DSA", None, b"message")
    assert hsm.crypto.verify(user, public.handle, "ML_DSA_MU", None, mu, whole)
    for wrong in (b"", mu[:-1], mu + b"\0"):
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.sign(user, private.handle, "ML_DSA_MU", None, wrong)
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.verify(user, public.handle, "ML_DSA_MU", None, wrong, signature)


def test_misuse_is_refused(site: Site) -> None:
    hsm, user = site.hsm, site.user
    (ed_public, ed_private), (ml_public, ml_private) = _pair(site, None), _pair(site, "ML-DSA-44")
    for key, row in ((ed_private, "ML_DSA"), (ml_private, "EDDSA"), (ed_private, "ECDSA_SHA256"), (ed_public, "EDDSA")):
        with pytest.raises(KeyTypeInconsistent):
            hsm.crypto.sign(user, key.handle, row, None, bytes(32))
    with pytest.raises(KeyTypeInconsistent):
        hsm.crypto.verify(user, ml_public.public_key_info or b"", "EDDSA", None, b"", b"")
    for wanted, kind in (
        ({"PARAMETER_SET": "ML-DSA-2"}, KeySizeInvalid),
        ({"PARAMETER_SET": 44}, AttributeInvalid),
        ({"ENCRYPT": True}, AttributeInvalid),
        ({"EC_PARAMS": ED25519}, AttributeInvalid),
    ):
        with pytest.raises(kind):
            hsm.keys.generate_pair(user, "ML_DSA_KEY_PAIR_GEN", wanted, {})
    with pytest.raises(AttributeInvalid):
        hsm.keys.generate_pair(user, "EC_EDWARDS_KEY_PAIR_GEN", {"EC_PARAMS": b"\x06\x01\x01"}, {})
    seed = mldsa.MLDSA44PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for kind, material in (("EC_EDWARDS", seed), ("ML_DSA", b"none"), ("ML_DSA", seed[:-1]), ("EC", seed)):
        with pytest.raises(KeyMaterialInvalid):
            hsm.keys.import_(user, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": kind}, material)
    assert hsm.keys.import_(user, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "ML_DSA"}, seed)
