"""Ed25519 and ML-DSA through the JCA: Ed25519 judged by SunEC, ML-DSA, which JDK 17 lacks, by its own public keys."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from tests import jca

_SETS = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
_MESSAGE = b"hsmbridge" * 1000
_INVALID_KEY = "java.security.InvalidKeyException"
_INVALID_SPEC = "java.security.spec.InvalidKeySpecException"


def _pairs(algorithm: str) -> Any:
    return jca.java("java.security.KeyPairGenerator").getInstance(algorithm, jca.PROVIDER)


def _factory(algorithm: str, provider: str = jca.PROVIDER) -> Any:
    return jca.java("java.security.KeyFactory").getInstance(algorithm, provider)


def _named(name: str) -> Any:
    return jca.java("java.security.spec.NamedParameterSpec")(name)


def _spec(name: str, encoded: Any) -> Any:
    return jca.java(f"java.security.spec.{name}")(encoded)


@pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA"])
def test_ed25519_agrees_with_the_jdk(hsm: object, algorithm: str) -> None:
    pair = _pairs(algorithm).generateKeyPair()
    signed = jca.sign(algorithm, pair.getPrivate(), _MESSAGE)
    assert len(signed) == 64
    for provider in ("SunEC", jca.PROVIDER):
        assert jca.verify(algorithm, pair.getPublic(), _MESSAGE, signed, provider)
        assert not jca.verify(algorithm, pair.getPublic(), _MESSAGE[1:], signed, provider)
    theirs = jca.java("java.security.KeyPairGenerator").getInstance("Ed25519", "SunEC").generateKeyPair()
    assert jca.verify(
        algorithm, theirs.getPublic(), b"text", jca.sign(algorithm, theirs.getPrivate(), b"text", "SunEC")
    )


def test_ed25519_without_naming_the_provider(hsm: object) -> None:
    pair = _pairs("Ed25519").generateKeyPair()
    signed = jca.sign("Ed25519", pair.getPrivate(), _MESSAGE, None)
    assert jca.verify("Ed25519", pair.getPublic(), _MESSAGE, signed, None)


def test_ed25519_keys_as_java_sees_them(hsm: object) -> None:
    pair = _pairs("Ed25519").generateKeyPair()
    private, public = pair.getPrivate(), pair.getPublic()
    assert isinstance(private, jca.java("java.security.interfaces.EdECPrivateKey"))
    assert isinstance(public, jca.java("java.security.interfaces.EdECPublicKey"))
    assert private.getAlgorithm() == public.getAlgorithm() == "EdDSA"
    assert private.getParams().getName() == public.getParams().getName() == "Ed25519"
    assert not private.getBytes().isPresent()
    assert private.getEncoded() is private.getFormat() is None
    parsed = _factory("EdDSA", "SunEC").generatePublic(_spec("X509EncodedKeySpec", public.getEncoded()))
    assert parsed.equals(public)
    assert public.equals(parsed)
    assert public.hashCode() == parsed.hashCode()
    assert public.getPoint().getY().equals(parsed.getPoint().getY())


def test_ed25519_keys_are_imported(hsm: object) -> None:
    pair = jca.java("java.security.KeyPairGenerator").getInstance("Ed25519", "SunEC").generateKeyPair()
    factory = _factory("Ed25519")
    privates = (
        factory.generatePrivate(_spec("PKCS8EncodedKeySpec", pair.getPrivate().getEncoded())),
        _factory("EdDSA").translateKey(pair.getPrivate()),
    )
    publics = (
        factory.generatePublic(_spec("X509EncodedKeySpec", pair.getPublic().getEncoded())),
        factory.translateKey(pair.getPublic()),
    )
    for private, public in zip(privates, publics, strict=True):
        signed = jca.sign("Ed25519", private, b"text")
        assert signed == jca.sign("Ed25519", pair.getPrivate(), b"text", "SunEC")
        assert jca.verify("Ed25519", public, b"text", signed)
        assert public.equals(pair.getPublic())
    with pytest.raises(jca.java(_INVALID_SPEC)):
        factory.generatePrivate(_spec("PKCS8EncodedKeySpec", jca.key_pair("EC", 256, None).getPrivate().getEncoded()))
    with pytest.raises(jca.java(_INVALID_SPEC)):
        factory.generatePublic(jca.attribute_map(LABEL="no key"))
    with pytest.raises(jca.java(_INVALID_KEY)):
        factory.translateKey(jca.key_pair("EC", 256, None).getPublic())


@pytest.mark.parametrize("name", _SETS)
def test_ml_dsa_by_the_name_of_its_set(hsm: Any, name: str) -> None:
    pair = _pairs(name).generateKeyPair()
    for algorithm in ("ML-DSA", name):
        signed = jca.sign(algorithm, pair.getPrivate(), _MESSAGE)
        assert jca.verify(algorithm, pair.getPublic(), _MESSAGE, signed)
        assert not jca.verify(algorithm, pair.getPublic(), _MESSAGE[1:], signed)
        assert not jca.verify(algorithm, pair.getPublic(), _MESSAGE, signed[:-1])
        load_der_public_key(bytes(pair.getPublic().getEncoded())).verify(signed, _MESSAGE)
    assert pair.getPrivate().getAlgorithm() == pair.getPublic().getAlgorithm() == "ML-DSA"
    assert pair.getPrivate().getEncoded() is pair.getPrivate().getFormat() is None
    assert pair.getPublic().getFormat() == "X.509"
    other = _pairs("ML-DSA-65" if name != "ML-DSA-65" else "ML-DSA-87").generateKeyPair()
    with pytest.raises(jca.java(_INVALID_KEY)):
        jca.sign(name, other.getPrivate(), b"text")
    with pytest.raises(jca.java(_INVALID_KEY)):
        jca.verify(name, other.getPublic(), b"text", b"")


def test_ml_dsa_sets_that_are_asked_for(hsm: Any) -> None:
    for spec, size in (
        (None, 1952),
        *((_named(name), size) for name, size in zip(_SETS, (1312, 1952, 2592), strict=True)),
    ):
        generator = _pairs("ML-DSA")
        if spec is not None:
            generator.initialize(spec)
        public = load_der_public_key(bytes(generator.generateKeyPair().getPublic().getEncoded()))
        assert len(public.public_bytes(Encoding.Raw, PublicFormat.Raw)) == size
    generator = _pairs("ML-DSA-44")
    generator.initialize(jca.pair_map(jca.attribute_map(LABEL="public"), jca.attribute_map(LABEL="kept", TOKEN=True)))
    generator.generateKeyPair()
    (record,) = hsm.hsm.keys.find(hsm.session, {"LABEL": "kept"})
    assert record.attributes["PARAMETER_SET"] == "ML-DSA-44"


def test_generators_refuse_what_they_cannot_make(hsm: Any) -> None:
    refused = jca.java("java.security.InvalidAlgorithmParameterException")
    for algorithm, name in (
        ("Ed25519", "Ed448"),
        ("ML-DSA", "ML-DSA-2"),
        ("ML-DSA-44", "ML-DSA-65"),
        ("EC", "Ed25519"),
    ):
        with pytest.raises(refused):
            _pairs(algorithm).initialize(_named(name))
    generator = _pairs("Ed25519")
    generator.initialize(255)
    generator.initialize(_named("Ed25519"))
    for algorithm, bits in (("Ed25519", 448), ("ML-DSA", 44), ("ML-DSA-44", 256)):
        with pytest.raises(jca.java("java.security.InvalidParameterException")):
            _pairs(algorithm).initialize(bits)
    assert hsm.hsm.status()["keys"] == 0
    assert generator.generateKeyPair() is not None


@pytest.mark.parametrize("name", _SETS)
def test_ml_dsa_keys_are_imported_from_their_seed(hsm: object, name: str) -> None:
    key = getattr(mldsa, f"{name.replace('-', '')}PrivateKey").generate()
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for factory in (_factory("ML-DSA"), _factory(name)):
        private = factory.generatePrivate(_spec("PKCS8EncodedKeySpec", material))
        public = factory.generatePublic(_spec("X509EncodedKeySpec", info))
        signed = jca.sign("ML-DSA", private, _MESSAGE)
        key.public_key().verify(signed, _MESSAGE)
        assert jca.verify(name, public, _MESSAGE, key.sign(_MESSAGE))
        assert (
            bytes(factory.getKeySpec(public, jca.class_of("java.security.spec.X509EncodedKeySpec")).getEncoded())
            == info
        )
        assert factory.translateKey(public).equals(public)
        for garbage in (b"", material[:-1], info):
            with pytest.raises(jca.java(_INVALID_SPEC)):
                factory.generatePrivate(_spec("PKCS8EncodedKeySpec", garbage))


def test_ml_dsa_keys_are_entries_of_the_key_store(hsm: object) -> None:
    key = mldsa.MLDSA44PrivateKey.generate()
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    private = _factory("ML-DSA").generatePrivate(_spec("PKCS8EncodedKeySpec", material))
    certificate = _certificate(key)
    store = jca.java("java.security.KeyStore").getInstance(jca.PROVIDER)
    store.load(None, None)
    store.setKeyEntry("quantum", private, None, [certificate])
    found = store.getKey("quantum", None)
    key.public_key().verify(jca.sign("ML-DSA", found, b"text"), b"text")
    assert store.getCertificate("quantum").equals(certificate)
    assert store.isKeyEntry("quantum")


def test_a_software_ed25519_key_is_entered_into_the_key_store(hsm: object) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    material = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    software = _factory("Ed25519", "SunEC").generatePrivate(_spec("PKCS8EncodedKeySpec", material))
    store = jca.java("java.security.KeyStore").getInstance(jca.PROVIDER)
    store.load(None, None)
    store.setKeyEntry("edwards", software, None, [_certificate(key)])
    key.public_key().verify(jca.sign("Ed25519", store.getKey("edwards", None), b"text"), b"text")


def _certificate(key: mldsa.MLDSA44PrivateKey | ed25519.Ed25519PrivateKey) -> Any:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "of a message signature")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    encoded = builder.sign(key, None).public_bytes(Encoding.DER)
    stream = jca.java("java.io.ByteArrayInputStream")(encoded)
    return jca.java("java.security.cert.CertificateFactory").getInstance("X.509").generateCertificate(stream)


@pytest.mark.parametrize("algorithm", ["Ed25519", "ML-DSA"])
def test_keys_that_do_not_fit(hsm: object, algorithm: str) -> None:
    pair, ec = _pairs(algorithm).generateKeyPair(), jca.key_pair("EC", 256)
    software = jca.java("java.security.KeyPairGenerator").getInstance("Ed25519", "SunEC").generateKeyPair()
    destroyed = _pairs(algorithm).generateKeyPair()
    destroyed.getPrivate().destroy()
    destroyed.getPublic().destroy()
    for key in (ec.getPrivate(), software.getPrivate(), destroyed.getPrivate(), None):
        with pytest.raises(jca.java(_INVALID_KEY)):
            jca.sign(algorithm, key, b"text")
    for key in (ec.getPublic(), destroyed.getPublic()):
        with pytest.raises(jca.java(_INVALID_KEY)):
            jca.verify(algorithm, key, b"text", b"")
    assert not jca.verify(algorithm, pair.getPublic(), b"text", b"")
    assert jca.verify(algorithm, pair.getPublic(), b"text", jca.sign(algorithm, pair.getPrivate(), b"text"))


@pytest.mark.parametrize("name", _SETS)
def test_ml_dsa_agrees_with_the_jdk(hsm: object, name: str) -> None:
    if int(jca.java("java.lang.Runtime").version().feature()) < 24:
        pytest.skip("the JDK has ML-DSA from release 24 on (JEP 497)")
    ours, theirs = (
        jca.java("java.security.KeyPairGenerator").getInstance(name, provider).generateKeyPair()
        for provider in (jca.PROVIDER, "SUN")
    )
    spec = _spec("X509EncodedKeySpec", ours.getPublic().getEncoded())
    parsed = _factory("ML-DSA", "SUN").generatePublic(spec)
    assert parsed.equals(ours.getPublic())
    assert jca.verify("ML-DSA", parsed, _MESSAGE, jca.sign(name, ours.getPrivate(), _MESSAGE), "SUN")
    assert jca.verify(name, theirs.getPublic(), _MESSAGE, jca.sign("ML-DSA", theirs.getPrivate(), _MESSAGE, "SUN"))
    assert jca.sign("ML-DSA", ours.getPrivate(), _MESSAGE, None)


def test_ed25519ph_is_not_there(hsm: object) -> None:
    with pytest.raises(jca.java("java.security.NoSuchAlgorithmException")):
        jca.java("java.security.Signature").getInstance("Ed25519ph", jca.PROVIDER)
