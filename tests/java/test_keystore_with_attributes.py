"""The key store's searches by attribute and by reference, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests import jca

_PROVIDER = "com.amazonaws.cloudhsm.jce.provider"


def _store() -> Any:
    store = jca.java(f"{_PROVIDER}.KeyStoreWithAttributes").getInstance("cloudhsm")
    store.load(None, None)
    return store


def _constant(kind: str, name: str) -> Any:
    return jca.java(f"{_PROVIDER}.attributes.{kind}").valueOf(name)


def _reference(number: int) -> Any:
    return jca.java(f"{_PROVIDER}.attributes.KeyReferenceSpec").getInstance(jca.java("java.lang.Long")(number))


def test_one_key_is_found_by_its_attributes(hsm: object) -> None:
    pair = jca.key_pair("RSA", 2048)
    jca.generated("AES", LABEL="a", SIZE=256)
    jca.generated("AES", LABEL="b", SIZE=128)
    store = _store()
    assert store.getKey(jca.attribute_map(LABEL="a", KEY_TYPE=_constant("KeyType", "AES"))).getAlgorithm() == "AES"
    assert store.getKey(jca.attribute_map(LABEL="a", KEY_TYPE=_constant("KeyType", "RSA"))) is None
    found = store.getKey(
        jca.attribute_map(
            OBJECT_CLASS=_constant("ObjectClassType", "PRIVATE_KEY"), KEY_TYPE=_constant("KeyType", "RSA")
        )
    )
    assert found.getModulus() == pair.getPrivate().getModulus()
    assert store.getKey(jca.attribute_map(SIZE=128)).attribute("LABEL") == "b"


def test_several_keys_are_an_error_for_one_and_a_list_for_all(hsm: object) -> None:
    for _ in range(3):
        jca.generated("AES", LABEL="same", SIZE=256)
    store = _store()
    with pytest.raises(jca.java("java.security.UnrecoverableKeyException"), match="should return only one key"):
        store.getKey(jca.attribute_map(LABEL="same"))
    with pytest.raises(
        jca.java("java.security.UnrecoverableKeyException"),
        match="KeyStore should return only one key for the provided alias same",
    ):
        store.getKey("same", None)
    assert len(store.getKeys(jca.attribute_map(LABEL="same"))) == 3
    assert len(store.getKeys(jca.attribute_map(LABEL="other"))) == 0


def test_a_reference_finds_session_keys_too(hsm: object) -> None:
    key = jca.generated("AES", SIZE=256)
    store = _store()
    assert store.getKey(_reference(key.handle())).handle() == key.handle()
    assert len(store.getKeys(_reference(key.handle()))) == 1
    for number in (0, -1, key.handle() ^ 1):
        assert store.getKey(_reference(number)) is None
        assert len(store.getKeys(_reference(number))) == 0


def test_the_halves_of_an_ec_pair_are_found_by_curve_and_point(hsm: object) -> None:
    pairs = [jca.key_pair("EC", curve) for curve in ("secp256r1", "secp256r1", "secp384r1")]
    jca.key_pair("RSA", 2048)
    store = _store()
    for pair in pairs:
        point = pair.getPublic().getW()
        found = store.getKeys(jca.attribute_map(EC_POINT=point))
        assert {key.handle() for key in found} == {pair.getPublic().handle(), pair.getPrivate().handle()}
        with pytest.raises(jca.java("java.security.UnrecoverableKeyException")):
            store.getKey(jca.attribute_map(EC_POINT=point))
        private = jca.attribute_map(EC_POINT=point, OBJECT_CLASS=_constant("ObjectClassType", "PRIVATE_KEY"))
        assert store.getKey(private).handle() == pair.getPrivate().handle()
    curve = jca.java(f"{_PROVIDER}.attributes.EcParams").EC_CURVE_PRIME256
    assert len(store.getKeys(jca.attribute_map(EC_PARAMS=curve))) == 4
    other = jca.key_pair("EC", 256, None).getPublic().getW()
    assert store.getKey(jca.attribute_map(EC_POINT=other)) is None
    rsa = jca.attribute_map(EC_POINT=pairs[0].getPublic().getW(), KEY_TYPE=_constant("KeyType", "RSA"))
    assert store.getKey(rsa) is None


def test_what_is_no_filter_is_refused(hsm: object) -> None:
    store = _store()
    spec = jca.java("java.security.spec.InvalidKeySpecException")
    secret = bytes.fromhex("00112233445566778899aabbccddeeff")
    value = jca.attribute_map(VALUE=secret)
    for call in (store.getKey, store.getKeys):
        with pytest.raises(spec, match="VALUE") as refused:
            call(value)
        assert secret.hex() not in str(refused.value)
        with pytest.raises(spec, match="X509EncodedKeySpec"):
            call(jca.java("java.security.spec.X509EncodedKeySpec")(b"x"))


def test_it_must_be_loaded_first(hsm: object) -> None:
    store = jca.java(f"{_PROVIDER}.KeyStoreWithAttributes").getInstance("CloudHSM")
    with pytest.raises(jca.java("java.security.KeyStoreException")):
        store.getKey(jca.attribute_map(LABEL="a"))
    with pytest.raises(jca.java("java.lang.IllegalStateException")):
        store.getKeys(jca.attribute_map(LABEL="a"))


def test_it_is_got_by_provider_name_and_object(hsm: Any) -> None:
    factory = jca.java(f"{_PROVIDER}.KeyStoreWithAttributes")
    for provider in ("CloudHSM", hsm.provider):
        assert factory.getInstance("CLOUDHSM", provider).getProvider() == hsm.provider
    with pytest.raises(jca.java("java.security.NoSuchProviderException")):
        factory.getInstance("CloudHSM", "Nobody")
    for type_, provider in (("JKS", "CloudHSM"), ("PKCS12", "SUN")):
        with pytest.raises(jca.java("java.security.KeyStoreException")):
            factory.getInstance(type_, provider)
    with pytest.raises(jca.java("java.security.KeyStoreException")):
        factory.getInstance("JKS")
