"""Programs test the prefix of a key's class name: every key object of the provider is of the public package."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.pytest_plugin import HsmUnderTest
from tests import jca
from tests.jca import java

_PREFIX = "com.amazonaws.cloudhsm.jce.provider."


def _expect_prefix(key: Any) -> None:
    kind = key.getClass()
    assert str(kind.getName()).startswith(_PREFIX), kind.getName()
    assert java("java.lang.reflect.Modifier").isPublic(kind.getModifiers())


def _algorithms(hsm: HsmUnderTest, engine: str) -> list[str]:
    services = [service for service in hsm.provider.getServices() if service.getType() == engine]
    return [str(service.getAlgorithm()) for service in services]


def test_generated_keys(hsm: HsmUnderTest) -> None:
    names = _algorithms(hsm, "KeyGenerator")
    assert len(names) >= 8
    for name in names:
        _expect_prefix(java("javax.crypto.KeyGenerator").getInstance(name, jca.PROVIDER).generateKey())


def test_generated_pairs_and_the_same_keys_found_and_imported(hsm: HsmUnderTest) -> None:
    names = _algorithms(hsm, "KeyPairGenerator")
    assert len(names) >= 6
    for name in names:
        pair = java("java.security.KeyPairGenerator").getInstance(name, jca.PROVIDER).generateKeyPair()
        for key in (pair.getPrivate(), pair.getPublic()):
            _expect_prefix(key)
            _expect_prefix(_by_reference(key))


def _by_reference(key: Any) -> Any:
    store = java(f"{_PREFIX}KeyStoreWithAttributes").getInstance("CloudHSM")
    store.load(None, None)
    spec = java(f"{jca.ATTRIBUTES}.KeyReferenceSpec").getInstance(key.handle())
    (listed,) = store.getKeys(spec)
    _expect_prefix(listed)
    return store.getKey(spec)


@pytest.mark.parametrize(("kind", "size"), [("RSA", 2048), ("EC", 256), ("Ed25519", 255)])
def test_imported_pairs(hsm: HsmUnderTest, kind: str, size: int) -> None:
    pair = jca.key_pair(kind, size, None)
    factory = java("java.security.KeyFactory").getInstance(kind, jca.PROVIDER)
    private = java("java.security.spec.PKCS8EncodedKeySpec")(pair.getPrivate().getEncoded())
    public = java("java.security.spec.X509EncodedKeySpec")(pair.getPublic().getEncoded())
    keys = [
        factory.generatePrivate(private), factory.generatePublic(public),
        factory.translateKey(pair.getPrivate()), factory.translateKey(pair.getPublic()),
    ]  # fmt: skip
    for key in keys:
        _expect_prefix(key)


def test_imported_secrets(hsm: HsmUnderTest) -> None:
    names = _algorithms(hsm, "SecretKeyFactory")
    assert len(names) >= 8
    for name in names:
        software = java("javax.crypto.spec.SecretKeySpec")(bytes(range(1, 25)), name)
        for key in (jca.factory(name).generateSecret(software), jca.factory(name).translateKey(software)):
            _expect_prefix(key)


def test_derived_and_agreed_keys(hsm: HsmUnderTest) -> None:
    base = jca.generated(SIZE=256, DERIVE=True)
    data = java(f"{_PREFIX}AesCmacKdfFixedInputData")(16, bytes(8), bytes(8))
    spec = java(f"{_PREFIX}AesCmacKdfParameterSpec")(jca.attribute_map(SIZE=128, LABEL="derived"), data, base)
    _expect_prefix(jca.factory("AES").generateSecret(spec))
    names = _algorithms(hsm, "KeyAgreement")
    assert names
    for name in names:
        curve = java(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256
        generator = java("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
        generator.initialize(jca.pair_map(jca.attribute_map(EC_PARAMS=curve), jca.attribute_map(DERIVE=True)))
        pair = generator.generateKeyPair()
        agreement = java("javax.crypto.KeyAgreement").getInstance(name, jca.PROVIDER)
        agreement.init(pair.getPrivate(), jca.attribute_map(SIZE=256))
        agreement.doPhase(pair.getPublic(), True)
        _expect_prefix(agreement.generateSecret("AES"))


def test_unwrapped_keys(hsm: HsmUnderTest) -> None:
    wrapping = jca.generated(SIZE=256)
    modes = java("javax.crypto.Cipher")
    targets = [
        (jca.generated(SIZE=256), "AES", modes.SECRET_KEY),
        (jca.generated("GenericSecret", SIZE=256), "HmacSHA256", modes.SECRET_KEY),
        (jca.key_pair("RSA", 2048).getPrivate(), "RSA", modes.PRIVATE_KEY),
        (jca.key_pair("EC", 256).getPrivate(), "EC", modes.PRIVATE_KEY),
    ]
    for target, algorithm, kind in targets:
        wrapped = jca.cipher("AESWrap/ECB/PKCS5Padding", "wrap", wrapping).wrap(target)
        _expect_prefix(jca.cipher("AESWrap/ECB/PKCS5Padding", "unwrap", wrapping).unwrap(wrapped, algorithm, kind))


def test_keys_of_the_key_store(hsm: HsmUnderTest) -> None:
    _expect_prefix(jca.imported_secret(bytes(16)))
    pair = jca.key_pair("EC", 256)
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    generator = java("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
    curve = java(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256
    generator.initialize(jca.pair_map(jca.attribute_map(EC_PARAMS=curve, LABEL="p"), jca.attribute_map(LABEL="s")))
    pair = generator.generateKeyPair()
    for alias in ("p", "s"):
        _expect_prefix(store.getKey(alias, None))
    assert store.getKey("s", None).handle() == pair.getPrivate().handle()
