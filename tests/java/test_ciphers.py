"""Ciphers and MACs of the HSM against the JDK's own, in one call and as streams of any size."""

from __future__ import annotations

import hmac
import os
from typing import Any

import pytest

from tests import jca

_SIZES = (0, 1, 15, 16, 17, 4096, 70_000)
_BLOCK_MODES = (
    "AES/CBC/PKCS5Padding",
    "AES/ECB/PKCS5Padding",
    "AES/CTR/NoPadding",
    "AES/CBC/NoPadding",
    "AES/ECB/NoPadding",
)
_DESEDE_MODES = ("DESede/CBC/PKCS5Padding", "DESede/ECB/PKCS5Padding", "DESede/CBC/NoPadding", "DESede/ECB/NoPadding")
_DESEDE_KEY = bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123")


def _software(material: bytes, algorithm: str) -> Any:
    return jca.java("javax.crypto.spec.SecretKeySpec")(material, algorithm)


def _iv(transformation: str) -> Any:
    length = 8 if transformation.startswith("DESede") else 16
    return None if "/ECB/" in transformation else jca.java("javax.crypto.spec.IvParameterSpec")(bytes(range(length)))


@pytest.mark.parametrize("transformation", _BLOCK_MODES + _DESEDE_MODES)
def test_block_modes_agree_with_the_jdk(hsm: object, transformation: str) -> None:
    algorithm = transformation.partition("/")[0]
    material = _DESEDE_KEY if algorithm == "DESede" else bytes(range(32))
    ours, theirs = jca.imported_secret(material, algorithm), _software(material, algorithm)
    for size in _SIZES:
        data = os.urandom(size - size % 16 if "NoPadding" in transformation and "CTR" not in transformation else size)
        iv = _iv(transformation)
        sealed = bytes(jca.cipher(transformation, "encrypt", ours, iv).doFinal(data))
        assert sealed == bytes(jca.cipher(transformation, "encrypt", theirs, iv, "SunJCE").doFinal(data))
        assert bytes(jca.cipher(transformation, "decrypt", ours, iv).doFinal(sealed)) == data


@pytest.mark.parametrize("transformation", _BLOCK_MODES)
def test_streams_of_any_size(hsm: object, transformation: str) -> None:
    material = bytes(range(32))
    ours, theirs = jca.imported_secret(material), _software(material, "AES")
    data = os.urandom(3_000_000 - 3_000_000 % 16)
    iv = _iv(transformation)
    sealed = _through_streams(jca.cipher(transformation, "encrypt", ours, iv), data)
    assert sealed == bytes(jca.cipher(transformation, "encrypt", theirs, iv, "SunJCE").doFinal(data))
    assert _through_streams(jca.cipher(transformation, "decrypt", ours, iv), sealed) == data


def test_updates_of_odd_lengths(hsm: object) -> None:
    material = bytes(range(32))
    ours, theirs = jca.imported_secret(material), _software(material, "AES")
    iv = _iv("AES/CBC/PKCS5Padding")
    for lengths in ((1, 2, 3), (15, 1, 16), (0, 17, 31), (16, 16), (5000, 1, 7)):
        parts = [os.urandom(length) for length in lengths]
        results = []
        for key, provider in ((ours, jca.PROVIDER), (theirs, "SunJCE")):
            cipher = jca.cipher("AES/CBC/PKCS5Padding", "encrypt", key, iv, provider)
            pieces = [bytes(cipher.update(part) or b"") for part in parts]
            results.append(b"".join(pieces) + bytes(cipher.doFinal()))
        assert results[0] == results[1]


@pytest.mark.parametrize("size", [0, 16, 1024, 16_000, 16_384, 1_000_000])
def test_gcm_is_read_by_the_jdk(hsm: object, size: int) -> None:
    material = bytes(range(32))
    ours, theirs = jca.imported_secret(material), _software(material, "AES")
    data, aad = os.urandom(size), b"associated"
    cipher = jca.cipher("AES/GCM/NoPadding", "encrypt", ours)
    cipher.updateAAD(aad)
    cipher.update(data[: size // 2])
    assert bytes(cipher.getIV()) == bytes(12)
    sealed = bytes(cipher.doFinal(data[size // 2 :]))
    parameters = jca.gcm_parameters(bytes(cipher.getIV()))
    reader = jca.cipher("AES/GCM/NoPadding", "decrypt", theirs, parameters, "SunJCE")
    reader.updateAAD(aad)
    assert bytes(reader.doFinal(sealed)) == data
    again = jca.cipher("AES/GCM/NoPadding", "decrypt", ours, parameters)
    again.updateAAD(aad)
    assert bytes(again.doFinal(sealed)) == data


def test_gcm_ignores_the_callers_iv(hsm: object) -> None:
    key = jca.secret_key()
    chosen = bytes(12)
    made = set()
    for _ in range(50):
        cipher = jca.cipher("AES/GCM/NoPadding", "encrypt", key, jca.gcm_parameters(chosen))
        cipher.doFinal(b"text")
        made.add(bytes(cipher.getIV()))
    assert chosen not in made
    assert len(made) == 50
    assert all(len(iv) == 12 for iv in made)


def test_gcm_refuses_a_changed_ciphertext(hsm: object) -> None:
    key = jca.secret_key()
    cipher = jca.cipher("AES/GCM/NoPadding", "encrypt", key)
    sealed = bytearray(cipher.doFinal(b"some plaintext"))
    parameters = jca.gcm_parameters(bytes(cipher.getIV()))
    for place in (0, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(jca.java("javax.crypto.AEADBadTagException")):
            jca.cipher("AES/GCM/NoPadding", "decrypt", key, parameters).doFinal(bytes(changed))
    with pytest.raises(jca.java("java.security.InvalidAlgorithmParameterException")):
        jca.cipher("AES/GCM/NoPadding", "decrypt", key, jca.gcm_parameters(bytes(12), 96))


@pytest.mark.parametrize("padding", ["PKCS1Padding", "OAEPPadding", "OAEPWithSHA-1AndMGF1Padding"])
def test_rsa_encryption_both_ways(hsm: object, padding: str) -> None:
    pair = jca.key_pair("RSA", 2048)
    name = f"RSA/ECB/{padding}"
    theirs = bytes(jca.cipher(name, "encrypt", pair.getPublic(), provider="SunJCE").doFinal(b"to the HSM"))
    assert bytes(jca.cipher(name, "decrypt", pair.getPrivate()).doFinal(theirs)) == b"to the HSM"
    ours = bytes(jca.cipher(name, "encrypt", pair.getPublic()).doFinal(b"round trip"))
    assert bytes(jca.cipher(name, "decrypt", pair.getPrivate()).doFinal(ours)) == b"round trip"


def test_rsa_without_padding_is_read_by_the_jdk(hsm: object) -> None:
    pair, name = jca.key_pair("RSA", 2048, "SunRsaSign"), "RSA/ECB/NoPadding"
    factory = jca.java("java.security.KeyFactory").getInstance("RSA", jca.PROVIDER)
    ours = factory.translateKey(pair.getPublic())
    for key in (ours, pair.getPublic()):
        for data in (b"short", bytes(256), b"\0" + os.urandom(255)):
            sealed = bytes(jca.cipher(name, "encrypt", key).doFinal(data))
            assert len(sealed) == 256
            assert sealed == bytes(jca.cipher(name, "encrypt", pair.getPublic(), provider="SunJCE").doFinal(data))
            opened = jca.cipher(name, "decrypt", pair.getPrivate(), provider="SunJCE").doFinal(sealed)
            assert bytes(opened) == data.rjust(256, b"\0")
    for data, refused in ((bytes(257), "IllegalBlockSizeException"), (b"\xff" * 256, "BadPaddingException")):
        with pytest.raises(jca.java(f"javax.crypto.{refused}")):
            jca.cipher(name, "encrypt", ours).doFinal(data)
    private = factory.translateKey(pair.getPrivate())
    for data in (sealed, b"\0" + os.urandom(255), b"short"):
        expected = jca.cipher(name, "decrypt", pair.getPrivate(), provider="SunJCE").doFinal(data)
        assert bytes(jca.cipher(name, "decrypt", private).doFinal(data)) == bytes(expected)
    for data, refused in ((bytes(257), "IllegalBlockSizeException"), (b"\xff" * 256, "BadPaddingException")):
        with pytest.raises(jca.java(f"javax.crypto.{refused}")):
            jca.cipher(name, "decrypt", private).doFinal(data)


def test_oaep_mgf_hash_follows_the_digest(hsm: object) -> None:
    pair = jca.key_pair("RSA", 2048)
    mgf = jca.java("java.security.spec.MGF1ParameterSpec").SHA256
    default = jca.java("javax.crypto.spec.PSource$PSpecified").DEFAULT
    spec = jca.java("javax.crypto.spec.OAEPParameterSpec")("SHA-256", "MGF1", mgf, default)
    name = "RSA/ECB/OAEPWithSHA-256AndMGF1Padding"
    theirs = bytes(jca.cipher(name, "encrypt", pair.getPublic(), spec, "SunJCE").doFinal(b"secret"))
    assert bytes(jca.cipher(name, "decrypt", pair.getPrivate()).doFinal(theirs)) == b"secret"
    assert bytes(jca.cipher(name, "decrypt", pair.getPrivate(), spec).doFinal(theirs)) == b"secret"


def test_wrong_lengths_and_padding(hsm: object) -> None:
    key = jca.secret_key()
    with pytest.raises(jca.java("javax.crypto.IllegalBlockSizeException")):
        jca.cipher("AES/CBC/NoPadding", "encrypt", key, _iv("AES/CBC/NoPadding")).doFinal(b"not a block")
    with pytest.raises(jca.java("javax.crypto.BadPaddingException")):
        jca.cipher("AES/CBC/PKCS5Padding", "decrypt", key, _iv("AES/CBC/PKCS5Padding")).doFinal(bytes(32))
    rsa = jca.key_pair("RSA", 2048)
    with pytest.raises(jca.java("javax.crypto.BadPaddingException")):
        jca.cipher("RSA/ECB/OAEPPadding", "decrypt", rsa.getPrivate()).doFinal(bytes(256))
    with pytest.raises(jca.java("javax.crypto.IllegalBlockSizeException")):
        jca.cipher("RSA/ECB/PKCS1Padding", "encrypt", rsa.getPublic()).doFinal(bytes(300))


@pytest.mark.parametrize("name", ["HmacSHA1", "HmacSHA224", "HmacSHA256", "HmacSHA384", "HmacSHA512"])
def test_hmac_agrees_with_the_jdk(hsm: object, name: str) -> None:
    material = bytes(range(40))
    ours, theirs = jca.imported_secret(material, name), _software(material, name)
    for size in (0, 1, 1000, 200_000):
        data = os.urandom(size)
        results = []
        for key, provider in ((ours, jca.PROVIDER), (theirs, "SunJCE")):
            mac = jca.java("javax.crypto.Mac").getInstance(name, provider)
            mac.init(key)
            mac.update(data[: size // 3])
            results.append(bytes(mac.doFinal(data[size // 3 :])))
        assert results[0] == results[1]


def test_a_mac_taken_before_its_key_is_known_serves_keys_of_others(hsm: object) -> None:
    material = bytes(range(32))
    own, foreign = jca.imported_secret(material, "HmacSHA256"), _software(material, "HmacSHA256")
    factory, invalid = jca.java("javax.crypto.Mac"), jca.java("java.security.InvalidKeyException")
    with pytest.raises(invalid):
        factory.getInstance("HmacSHA256", jca.PROVIDER).init(foreign)
    # As JSSE does for the keys of a TLS 1.3 connection; where ours is the first provider, ours is taken here.
    mac = factory.getInstance("HmacSHA256", jca.PROVIDER)
    assert mac.getMacLength() == 32
    for key in (foreign, own, foreign):
        mac.init(key)
        mac.update(ord("a"))
        mac.reset()
        mac.update(ord("a"))
        assert bytes(mac.doFinal(b"bc")) == hmac.digest(material, b"abc", "sha256")


@pytest.mark.parametrize("name", ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"])
def test_digests_agree_with_the_jdk(hsm: object, name: str) -> None:
    digest = jca.java("java.security.MessageDigest")
    assert bytes(digest.getInstance(name, jca.PROVIDER).digest(b"abc")) == bytes(
        digest.getInstance(name, "SUN").digest(b"abc")
    )


def _through_streams(cipher: Any, data: bytes) -> bytes:
    source = jca.java("javax.crypto.CipherInputStream")(jca.java("java.io.ByteArrayInputStream")(data), cipher)
    return bytes(source.readAllBytes())
