"""Keys as Java sees them: opaque, with their attributes, and obeying them."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.pytest_plugin import HsmUnderTest
from tests import jca

from .test_provider import by_password, configured


@pytest.mark.parametrize(("kind", "size"), [("RSA", 2048), ("EC", 256)])
def test_private_keys_are_opaque(hsm: object, kind: str, size: int) -> None:
    pair = jca.key_pair(kind, size)
    private, public = pair.getPrivate(), pair.getPublic()
    assert private.getEncoded() is None
    assert private.getFormat() is None
    assert private.getAlgorithm() == kind
    assert public.getFormat() == "X.509"
    assert public.getEncoded() is not None
    assert not isinstance(private, jca.java("java.security.interfaces.ECPrivateKey"))
    if kind == "RSA":
        assert isinstance(private, jca.java("java.security.interfaces.RSAPrivateCrtKey"))
        assert private.getModulus() == public.getModulus()
        assert private.getPublicExponent() == public.getPublicExponent()
        assert private.getParams() is None
        assert [getattr(private, getter)() for getter in jca.RSA_SECRETS] == [None] * len(jca.RSA_SECRETS)
    else:
        assert isinstance(private, jca.java("java.security.interfaces.ECKey"))


def test_keys_do_not_serialise(hsm: object) -> None:
    for key in (jca.key_pair("EC", 256).getPrivate(), jca.secret_key()):
        out = jca.java("java.io.ObjectOutputStream")(jca.java("java.io.ByteArrayOutputStream")())
        with pytest.raises(jca.java("java.io.NotSerializableException")):
            out.writeObject(key)


def test_to_string_shows_no_material(hsm: object) -> None:
    material = bytes.fromhex("00112233445566778899aabbccddeeff")
    key = jca.imported_secret(material)
    assert key.getEncoded() is None
    assert material.hex() not in str(key.toString()).lower()


def test_public_keys_are_the_jdks_equals(hsm: object) -> None:
    for kind, size in (("RSA", 2048), ("EC", 256)):
        public = jca.key_pair(kind, size).getPublic()
        spec = jca.java("java.security.spec.X509EncodedKeySpec")(public.getEncoded())
        parsed = jca.java("java.security.KeyFactory").getInstance(kind).generatePublic(spec)
        assert parsed.equals(public)


@pytest.mark.parametrize("attribute", ["ENCRYPT", "DECRYPT"])
def test_usage_attributes_are_obeyed(hsm: object, attribute: str) -> None:
    key = jca.generated(SIZE=256, **{attribute: False})
    mode = "encrypt" if attribute == "ENCRYPT" else "decrypt"
    iv = jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16))
    with pytest.raises(jca.java("java.security.InvalidKeyException")):
        jca.cipher("AES/CBC/NoPadding", mode, key, iv).doFinal(bytes(16))


def test_a_key_that_may_not_sign_does_not(hsm: object) -> None:
    public = jca.attribute_map(LABEL="p", MODULUS_BITS=2048, PUBLIC_EXPONENT=b"\x01\x00\x01")
    generator = jca.java("java.security.KeyPairGenerator").getInstance("RSA", jca.PROVIDER)
    generator.initialize(jca.pair_map(public, jca.attribute_map(LABEL="s", SIGN=False)))
    pair = generator.generateKeyPair()
    with pytest.raises(jca.java("java.security.InvalidKeyException"), match="SIGN"):
        jca.sign("SHA256withRSA", pair.getPrivate(), b"text")


def test_destroyed_keys_are_gone(hsm: object) -> None:
    key = jca.imported_secret(bytes(32), alias="to be destroyed")
    store = jca.java("java.security.KeyStore").getInstance(jca.PROVIDER)
    store.load(None, None)
    assert store.containsAlias("to be destroyed")
    key.destroy()
    key.destroy()
    assert key.isDestroyed()
    assert not store.containsAlias("to be destroyed")
    with pytest.raises(jca.java("java.security.InvalidKeyException")):
        jca.cipher("AES/GCM/NoPadding", "encrypt", key).doFinal(b"text")


@pytest.mark.parametrize("bits", [1024, 2049, 4352])
def test_rsa_sizes_outside_the_table_are_refused(hsm: object, bits: int) -> None:
    refused = (jca.java("java.security.InvalidParameterException"), jca.java("java.security.ProviderException"))
    with pytest.raises(refused):
        jca.key_pair("RSA", bits)


def test_forbidden_and_unfit_attributes_are_refused(hsm: Any) -> None:
    at_init = jca.java("java.security.InvalidAlgorithmParameterException")
    at_generation = jca.java("java.security.InvalidParameterException")
    before = len(hsm.hsm.keys.find(hsm.session, {}))
    for invalid, attributes in ((at_init, {"SIZE": 129}), (at_generation, {"SIZE": 256, "LABEL": "x" * 128})):
        with pytest.raises(invalid):
            jca.generated(**attributes)
    assert len(hsm.hsm.keys.find(hsm.session, {})) == before


def test_key_factory_imports_what_the_jdk_made(hsm: object) -> None:
    for kind, size, algorithm in (("RSA", 2048, "SHA256withRSA"), ("EC", 256, "SHA256withECDSA")):
        pair = jca.key_pair(kind, size, None)
        factory = jca.java("java.security.KeyFactory").getInstance(kind, jca.PROVIDER)
        private = factory.generatePrivate(
            jca.java("java.security.spec.PKCS8EncodedKeySpec")(pair.getPrivate().getEncoded())
        )
        public = factory.generatePublic(
            jca.java("java.security.spec.X509EncodedKeySpec")(pair.getPublic().getEncoded())
        )
        signed = jca.sign(algorithm, private, b"text")
        assert jca.verify(algorithm, pair.getPublic(), b"text", signed, None)
        assert jca.verify(algorithm, public, b"text", signed)


def test_key_factory_refuses_garbage(hsm: object) -> None:
    factory = jca.java("java.security.KeyFactory").getInstance("RSA", jca.PROVIDER)
    with pytest.raises(jca.java("java.security.spec.InvalidKeySpecException")):
        factory.generatePrivate(jca.java("java.security.spec.PKCS8EncodedKeySpec")(b"no key"))


def test_the_jdk_passes_an_rsa_key_on_to_the_hsm(hsm: object) -> None:
    """No provider is named: the built-in ones decline a key whose private parts are null."""
    pair = jca.key_pair("RSA", 2048)
    encrypted = jca.cipher("RSA/ECB/PKCS1Padding", "encrypt", pair.getPublic(), provider="SunJCE").doFinal(b"text")
    decrypting = jca.java("javax.crypto.Cipher").getInstance("RSA/ECB/PKCS1Padding")
    decrypting.init(2, pair.getPrivate())
    assert decrypting.getProvider().getName() == jca.PROVIDER
    assert bytes(decrypting.doFinal(encrypted)) == b"text"
    signed = jca.sign("SHA256withRSA", pair.getPrivate(), b"text", None)
    assert jca.verify("SHA256withRSA", pair.getPublic(), b"text", signed, "SunRsaSign")


def _found(store_of: Any, alias: str) -> Any:
    store = jca.java("java.security.KeyStore").getInstance("CloudHSM", store_of)
    store.load(None, None)
    return store.getKey(alias, None)


def test_two_objects_of_one_key_are_equal_across_instances_of_one_login(hsm: HsmUnderTest) -> None:
    other = configured("other")
    other.login(None, by_password(hsm.user, hsm.password))
    generator = jca.java("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
    public = {"TOKEN": True, "EC_PARAMS": bytes(jca.java(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256)}
    generator.initialize(jca.pair_map(jca.attribute_map(**public), jca.attribute_map(TOKEN=True, LABEL="pair")))
    keys = {
        "secret": jca.generated(TOKEN=True, LABEL="secret", SIZE=256),
        "mac": jca.generated("HmacSHA256", TOKEN=True, LABEL="mac", SIZE=256),
        "pair": generator.generateKeyPair().getPrivate(),
    }
    for alias, key in keys.items():
        for found in (_found(hsm.provider, alias), _found(other, alias)):
            assert found is not key
            assert key.equals(found)
            assert found.equals(key)
            assert found.hashCode() == key.hashCode()
        assert not any(key.equals(another) for name, another in keys.items() if name != alias)
        assert not key.equals(None)
        assert not key.equals(alias)
    other.logout()


def test_an_rsa_key_without_crt_is_refused(hsm: object) -> None:
    private = jca.key_pair("RSA", 2048, "SunRsaSign").getPrivate()
    spec = jca.java("java.security.spec.RSAPrivateKeySpec")(private.getModulus(), private.getPrivateExponent())
    with pytest.raises(jca.java("java.security.spec.InvalidKeySpecException")):
        jca.java("java.security.KeyFactory").getInstance("RSA", jca.PROVIDER).generatePrivate(spec)
