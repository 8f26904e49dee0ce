"""Derived and agreed keys, MACs with AES keys and random bytes through the JCA."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from tests import jca

_API = "com.amazonaws.cloudhsm.jce.provider"
_BASE = bytes(range(32))
_HASHES = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
_CURVES = ("secp224r1", "secp256r1", "secp256k1", "secp384r1", "secp521r1")
_INVALID_SPEC = "java.security.spec.InvalidKeySpecException"
_INVALID_KEY = "java.security.InvalidKeyException"


def _base(**attributes: object) -> Any:
    return jca.factory("AES").generateSecret(jca.attribute_map(VALUE=_BASE, **{"DERIVE": True, **attributes}))


def _kdf_spec(base: Any, wanted: Any, counter_bits: int, prefix: bytes | None, suffix: bytes | None) -> Any:
    fixed = jca.java(f"{_API}.AesCmacKdfFixedInputData")(counter_bits, prefix, suffix)
    return jca.java(f"{_API}.AesCmacKdfParameterSpec")(wanted, fixed, base)


def _counter_mode(counter_bits: int, prefix: bytes, suffix: bytes, length: int) -> bytes:
    out = b""
    for counter in range(1, length // 16 + 2):
        mac = CMAC(AES(_BASE))
        mac.update(prefix + counter.to_bytes(counter_bits // 8, "big") + suffix)
        out += mac.finalize()
    return out[:length]


@pytest.mark.parametrize("counter_bits", [8, 16, 24, 32])
@pytest.mark.parametrize(("prefix", "suffix"), [(b"before", b"label\0context\0\0\1\0"), (None, b"after"), (b"", None)])
@pytest.mark.parametrize(("algorithm", "bits"), [("AES", 256), ("DESede", 192), ("GenericSecret", 400)])
def test_a_key_derives_keys(
    hsm: object, algorithm: str, bits: int, counter_bits: int, prefix: bytes | None, suffix: bytes | None
) -> None:
    spec = _kdf_spec(_base(), jca.attribute_map(SIZE=bits), counter_bits, prefix, suffix)
    key = jca.factory(algorithm).generateSecret(spec)
    assert key.getAlgorithm() == algorithm
    assert key.getEncoded() is None
    assert jca.is_secret(key, _counter_mode(counter_bits, prefix or b"", suffix or b"", bits // 8))


def test_a_base_key_made_in_the_hsm(hsm: Any) -> None:
    generator = jca.java("javax.crypto.KeyGenerator").getInstance("AES", jca.PROVIDER)
    generator.init(jca.attribute_map(SIZE=256, DERIVE=True), None)
    base = generator.generateKey()
    wanted = jca.attribute_map(SIZE=128, LABEL="derived", TOKEN=True, ENCRYPT=False, KEY_TYPE="AES")
    jca.factory("AES").generateSecret(_kdf_spec(base, wanted, 8, None, b"suffix"))
    (record,) = hsm.hsm.keys.find(hsm.session, {"LABEL": "derived"})
    assert record.attributes["ENCRYPT"] is False
    assert record.attributes["LOCAL"] is True
    des = jca.factory("DESede").generateSecret(_kdf_spec(base, jca.attribute_map(LABEL="no size"), 32, None, b"suffix"))
    assert des.getAlgorithm() == "DESede"


def _refused_derivations() -> Iterator[tuple[str, Any]]:
    aes = jca.attribute_map(SIZE=256)
    destroyed = _base()
    destroyed.destroy()
    software = jca.java("javax.crypto.spec.SecretKeySpec")(_BASE, "AES")
    generic = jca.secret_key("GenericSecret", 256)
    for base in (_base(DERIVE=False), jca.secret_key(), destroyed, software, generic):
        yield "AES", _kdf_spec(base, aes, 8, None, b"x")
    for algorithm, wanted in (
        ("AES", {}),
        ("AES", {"SIZE": 100}),
        ("AES", {"SIZE": 256, "KEY_TYPE": "DESEDE"}),
        ("AES", {"SIZE": 256, "VALUE": bytes(32)}),
        ("AES", {"SIZE": 256, "LABEL": "x" * 128}),
        ("DESede", {"SIZE": 128}),
        ("GenericSecret", {"SIZE": 6408}),
        ("GenericSecret", {"SIZE": 64, "ENCRYPT": True}),
    ):
        yield algorithm, _kdf_spec(_base(), jca.attribute_map(**wanted), 8, None, b"x")


def test_derivations_that_are_refused(hsm: Any) -> None:
    cases = list(_refused_derivations())
    before = hsm.hsm.status()["keys"]
    for algorithm, spec in cases:
        with pytest.raises(jca.java(_INVALID_SPEC)):
            jca.factory(algorithm).generateSecret(spec)
    assert hsm.hsm.status()["keys"] == before


def _pair(curve: str, **attributes: object) -> Any:
    oid = jca.key_pair("EC", curve).getPublic().getParams()
    generator = jca.java("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
    private = jca.attribute_map(**{"DERIVE": True, **attributes})
    generator.initialize(jca.pair_map(jca.attribute_map(EC_PARAMS=oid), private))
    return generator.generateKeyPair()


def _agreement(name: str) -> Any:
    return jca.java("javax.crypto.KeyAgreement").getInstance(name, jca.PROVIDER)


def _agreed(name: str, private: Any, spec: Any, peer: Any, algorithm: str = "AES") -> Any:
    agreement = _agreement(name)
    agreement.init(private, *([] if spec is None else [spec]))
    assert agreement.doPhase(peer, True) is None
    return agreement.generateSecret(algorithm)


@pytest.mark.parametrize("curve", _CURVES)
@pytest.mark.parametrize("name", _HASHES)
def test_two_keys_of_the_hsm_agree(hsm: object, curve: str, name: str) -> None:
    ours, theirs = _pair(curve), _pair(curve)
    spec = jca.java(f"{_API}.spec.EcdhWithX963KdfParamSpec")(b"shared", jca.attribute_map(SIZE=256))
    algorithm = f"ECDHwithX963{name}KDF"
    keys = [
        _agreed(algorithm, mine.getPrivate(), spec, other.getPublic())
        for mine, other in ((ours, theirs), (theirs, ours))
    ]
    sealed = [bytes(jca.cipher("AES/ECB/NoPadding", "encrypt", key).doFinal(bytes(16))) for key in keys]
    assert sealed[0] == sealed[1]


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
@pytest.mark.parametrize("name", _HASHES)
def test_the_hsm_agrees_with_the_jdk(hsm: object, curve: str, name: str) -> None:
    ours, theirs = _pair(curve), jca.key_pair("EC", curve, "SunEC")
    software = jca.java("javax.crypto.KeyAgreement").getInstance("ECDH", "SunEC")
    software.init(theirs.getPrivate())
    software.doPhase(ours.getPublic(), True)
    secret = bytes(software.generateSecret())
    for info in (None, b"shared info"):
        blocks = [
            hashlib.new(name.lower(), secret + counter.to_bytes(4, "big") + (info or b"")).digest()
            for counter in (1, 2)
        ]
        expected = b"".join(blocks)
        for algorithm, bits in (("AES", 128), ("AES", 256), ("GenericSecret", 160), ("HmacSHA256", 256)):
            wanted = jca.attribute_map(SIZE=bits)
            spec = jca.java(f"{_API}.spec.EcdhWithX963KdfParamSpec")(info, wanted) if info else wanted
            key = _agreed(f"ECDHwithX963{name}KDF", ours.getPrivate(), spec, theirs.getPublic(), algorithm)
            assert key.getAlgorithm() == algorithm
            assert key.getEncoded() is None
            assert jca.is_secret(key, expected[: bits // 8])


def test_an_agreement_is_found_by_its_key_and_used_again(hsm: Any) -> None:
    ours, theirs = _pair("secp256r1", TOKEN=True), jca.key_pair("EC", 256, None)
    agreement = jca.java("javax.crypto.KeyAgreement").getInstance("ECDHWITHX963SHA256KDF")
    agreement.init(ours.getPrivate(), jca.attribute_map(SIZE=256, LABEL="agreed", TOKEN=True))
    for _ in range(2):
        agreement.doPhase(theirs.getPublic(), True)
        assert agreement.generateSecret("AES").getAlgorithm() == "AES"
        with pytest.raises(jca.java("java.lang.IllegalStateException")):
            agreement.generateSecret("AES")
    assert len(hsm.hsm.keys.find(hsm.session, {"LABEL": "agreed"})) == 2


def test_the_secret_itself_stays(hsm: Any) -> None:
    ours = _pair("secp256r1")
    agreement = _agreement("ECDHwithX963SHA256KDF")
    agreement.init(ours.getPrivate(), jca.attribute_map(SIZE=256))
    agreement.doPhase(ours.getPublic(), True)
    before = hsm.hsm.status()["keys"]
    for arguments in ((), (jca.java("java.nio.ByteBuffer").allocate(64).array(), 0)):
        with pytest.raises(jca.java("java.security.ProviderException")):
            agreement.generateSecret(*arguments)
    assert hsm.hsm.status()["keys"] == before
    assert agreement.generateSecret("AES") is not None


def test_agreements_that_are_refused(hsm: Any) -> None:
    invalid_key, name = jca.java(_INVALID_KEY), "ECDHwithX963SHA256KDF"
    wanted, pair, software = jca.attribute_map(SIZE=256), _pair("secp256r1"), jca.key_pair("EC", 256, None)
    rsa, destroyed, other_curve = jca.key_pair("RSA", 2048), _pair("secp256r1"), _pair("secp384r1")
    destroyed.getPrivate().destroy()
    destroyed.getPublic().destroy()
    not_deriving, secret = jca.key_pair("EC", 256).getPrivate(), jca.secret_key()
    before = hsm.hsm.status()["keys"]
    agreement = _agreement(name)
    for key in (
        not_deriving, software.getPrivate(), rsa.getPrivate(), pair.getPublic(),
        destroyed.getPrivate(), secret, None,
    ):  # fmt: skip
        with pytest.raises(invalid_key):
            agreement.init(key, wanted)
    for spec in (jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16)), jca.pair_map(wanted, wanted)):
        with pytest.raises(jca.java("java.security.InvalidAlgorithmParameterException")):
            agreement.init(pair.getPrivate(), spec)
    with pytest.raises(jca.java("java.lang.IllegalStateException")):
        _agreement(name).doPhase(pair.getPublic(), True)
    agreement.init(pair.getPrivate(), wanted)
    with pytest.raises(jca.java("java.lang.IllegalStateException")):
        agreement.doPhase(pair.getPublic(), False)
    for peer in (rsa.getPublic(), pair.getPrivate(), destroyed.getPublic(), secret, None):
        with pytest.raises(invalid_key):
            agreement.doPhase(peer, True)
    agreement.doPhase(other_curve.getPublic(), True)
    with pytest.raises(invalid_key):
        agreement.generateSecret("AES")
    agreement.doPhase(software.getPublic(), True)
    with pytest.raises(jca.java("java.security.NoSuchAlgorithmException")):
        agreement.generateSecret("TlsPremasterSecret")
    for missing in (None, jca.attribute_map(LABEL="no size"), jca.attribute_map(SIZE=100)):
        with pytest.raises(invalid_key):
            _agreed(name, pair.getPrivate(), missing, software.getPublic())
    assert agreement.generateSecret("AES") is not None
    assert hsm.hsm.status()["keys"] == before + 1


def test_plain_ecdh_is_not_there(hsm: object) -> None:
    with pytest.raises(jca.java("java.security.NoSuchAlgorithmException")):
        _agreement("ECDH")


@pytest.mark.parametrize("size", [16, 24, 32])
def test_aes_cmac_in_one_piece_and_in_many(hsm: object, size: int) -> None:
    key = jca.factory("AES").generateSecret(jca.attribute_map(VALUE=_BASE[:size]))
    for length in (0, 1, 16, 17, 1000, 200_000):
        data = bytes(index % 251 for index in range(length))
        expected = CMAC(AES(_BASE[:size]))
        expected.update(data)
        made = jca.java("javax.crypto.Mac").getInstance("AESCMAC", jca.PROVIDER)
        made.init(key)
        assert made.getMacLength() == 16
        made.update(data[: length // 3])
        result = bytes(made.doFinal(data[length // 3 :]))
        assert result == expected.finalize() == jca.mac("aescmac", key, data)


def test_an_aes_key_makes_hmacs(hsm: object) -> None:
    key = jca.factory("AES").generateSecret(jca.attribute_map(VALUE=_BASE))
    software = jca.java("javax.crypto.spec.SecretKeySpec")(_BASE, "HmacSHA256")
    assert jca.mac("HmacSHA256", key, b"data") == jca.mac("HmacSHA256", software, b"data", "SunJCE")


def test_keys_that_make_no_macs(hsm: object) -> None:
    destroyed = jca.secret_key()
    destroyed.destroy()
    unsigned = jca.factory("AES").generateSecret(jca.attribute_map(VALUE=_BASE, SIGN=False))
    software = jca.java("javax.crypto.spec.SecretKeySpec")(_BASE, "AES")
    generic, rsa = jca.secret_key("GenericSecret", 256), jca.key_pair("RSA", 2048).getPrivate()
    for name, key in (
        ("AESCMAC", generic), ("AESCMAC", jca.secret_key("DESede", 192)), ("HmacSHA256", jca.secret_key("DESede", 192)),
        *((name, key) for name in ("AESCMAC", "HmacSHA256") for key in (destroyed, unsigned, software, rsa, None)),
    ):  # fmt: skip
        with pytest.raises(jca.java(_INVALID_KEY)):
            jca.mac(name, key, b"data")
    for name in ("AESCMAC", "HmacSHA1"):
        made = jca.java("javax.crypto.Mac").getInstance(name, jca.PROVIDER)
        with pytest.raises(jca.java("java.lang.IllegalStateException")):
            made.doFinal(b"data")
        with pytest.raises(jca.java("java.security.InvalidAlgorithmParameterException")):
            made.init(jca.secret_key(), jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16)))


def test_the_hsms_random_bytes_are_for_those_who_ask_for_them(hsm: Any) -> None:
    """First in the list and logged out, the provider leaves the JVM's own random numbers alone."""
    security, random = jca.java("java.security.Security"), jca.java("java.security.SecureRandom")
    security.removeProvider(jca.PROVIDER)
    security.insertProviderAt(hsm.provider, 1)
    hsm.provider.logout()
    assert random().getProvider().getName() != jca.PROVIDER
    assert len(random().generateSeed(8)) == 8
    named = random.getInstance("AES-CTR-DRBG")
    assert named.getProvider().getName() == jca.PROVIDER
    with pytest.raises(jca.java("com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException")):
        named.nextLong()
    assert "AES-CTR-DRBG" in {str(service.getAlgorithm()) for service in hsm.provider.getServices()}
    security.removeProvider(jca.PROVIDER)
    security.addProvider(hsm.provider)


def test_random_bytes_come_from_the_hsm(hsm: object) -> None:
    random = jca.java("java.security.SecureRandom").getInstance("AES-CTR-DRBG", jca.PROVIDER)
    random.setSeed(b"the same seed")
    drawn = jca.java("java.nio.ByteBuffer").allocate(200_000).array()
    random.nextBytes(drawn)
    assert len(set(bytes(drawn))) == 256
    assert bytes(drawn[:65536]) != bytes(drawn[65536:131072])
    assert len(random.generateSeed(20)) == 20
    again = jca.java("java.security.SecureRandom").getInstance("aes-ctr-drbg", jca.PROVIDER)
    again.setSeed(b"the same seed")
    assert again.nextLong() != random.nextLong()
    empty = jca.java("java.nio.ByteBuffer").allocate(0).array()
    random.nextBytes(empty)
