"""Signatures made in the HSM, judged by the JDK's own providers, and the other way round."""

from __future__ import annotations

from typing import Any

import pytest

from tests import jca

MESSAGE = b"hsmbridge" * 1000
_HASHES = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
_RSA_NAMES = [f"{name}withRSA" for name in _HASHES]
_ECDSA_NAMES = [f"{name}withECDSA" for name in _HASHES]
_JDK_CURVES = ("secp256r1", "secp384r1", "secp521r1")


@pytest.mark.parametrize("algorithm", _RSA_NAMES)
def test_rsa_pkcs1_agrees_with_the_jdk(hsm: object, algorithm: str) -> None:
    pair = jca.key_pair("RSA", 2048)
    signed = jca.sign(algorithm, pair.getPrivate(), MESSAGE)
    assert jca.verify(algorithm, pair.getPublic(), MESSAGE, signed, "SunRsaSign")
    assert jca.verify(algorithm, pair.getPublic(), MESSAGE, signed)
    assert not jca.verify(algorithm, pair.getPublic(), MESSAGE + b"!", signed)


@pytest.mark.parametrize("name", _HASHES)
@pytest.mark.parametrize("form", ["{}withRSA/PSS", "{}withRSAandMGF1"])
def test_pss_defaults_to_a_salt_as_long_as_the_digest(hsm: object, name: str, form: str) -> None:
    pair = jca.key_pair("RSA", 2048)
    signed = jca.sign(form.format(name), pair.getPrivate(), MESSAGE)
    digest = name.replace("SHA", "SHA-")
    length = {"SHA1": 20}.get(name) or int(name[3:]) // 8
    parameters = jca.pss(digest, length)
    assert jca.verify("RSASSA-PSS", pair.getPublic(), MESSAGE, signed, "SunRsaSign", parameters)
    assert jca.verify(form.format(name), pair.getPublic(), MESSAGE, signed)


@pytest.mark.parametrize("salt", [0, 20, 32])
def test_rsassa_pss_takes_parameters_before_and_after_init(hsm: object, salt: int) -> None:
    pair = jca.key_pair("RSA", 2048)
    parameters = jca.pss("SHA-256", salt)
    after = jca.sign("RSASSA-PSS", pair.getPrivate(), MESSAGE, parameters=parameters)
    assert jca.verify("RSASSA-PSS", pair.getPublic(), MESSAGE, after, "SunRsaSign", parameters)
    signature = jca.java("java.security.Signature").getInstance("RSASSA-PSS", jca.PROVIDER)
    signature.setParameter(parameters)
    assert signature.getParameters().getAlgorithm() == "RSASSA-PSS"
    signature.initSign(pair.getPrivate())
    signature.update(MESSAGE)
    assert jca.verify("RSASSA-PSS", pair.getPublic(), MESSAGE, bytes(signature.sign()), "SunRsaSign", parameters)


@pytest.mark.parametrize("curve", _JDK_CURVES)
@pytest.mark.parametrize("algorithm", _ECDSA_NAMES)
def test_ecdsa_agrees_with_the_jdk(hsm: object, curve: str, algorithm: str) -> None:
    pair = jca.key_pair("EC", curve)
    signed = jca.sign(algorithm, pair.getPrivate(), MESSAGE)
    assert jca.verify(algorithm, pair.getPublic(), MESSAGE, signed, "SunEC")
    raw = jca.sign(f"{algorithm}inP1363Format", pair.getPrivate(), MESSAGE)
    assert jca.verify(f"{algorithm}inP1363Format", pair.getPublic(), MESSAGE, raw, "SunEC")


@pytest.mark.parametrize("curve", ["secp224r1", "secp256k1"])
def test_curves_that_the_jdk_dropped(hsm: object, curve: str) -> None:
    pair = jca.key_pair("EC", curve)
    signed = jca.sign("SHA256withECDSA", pair.getPrivate(), MESSAGE)
    assert jca.verify("SHA256withECDSA", pair.getPublic(), MESSAGE, signed)
    assert not jca.verify("SHA256withECDSA", pair.getPublic(), MESSAGE[1:], signed)


def test_software_public_keys_verify_too(hsm: object) -> None:
    for algorithm, kind, size in (("SHA256withRSA", "RSA", 2048), ("SHA256withECDSA", "EC", 256)):
        pair = jca.key_pair(kind, size, None)
        signed = jca.sign(algorithm, pair.getPrivate(), MESSAGE, None)
        assert jca.verify(algorithm, pair.getPublic(), MESSAGE, signed)


def test_none_with_takes_the_digest(hsm: object) -> None:
    digest = bytes(jca.java("java.security.MessageDigest").getInstance("SHA-256").digest(MESSAGE))
    pair = jca.key_pair("EC", 256)
    signed = jca.sign("NONEwithECDSA", pair.getPrivate(), digest)
    assert jca.verify("SHA256withECDSA", pair.getPublic(), MESSAGE, signed, "SunEC")
    rsa = jca.key_pair("RSA", 2048)
    raw = jca.sign("NONEwithRSA", rsa.getPrivate(), b"as given")
    cipher = jca.cipher("RSA/ECB/PKCS1Padding", "decrypt", rsa.getPublic(), provider="SunJCE")
    assert bytes(cipher.doFinal(raw)) == b"as given"


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA", "SHA256withRSA"), ("EC", "SHA256withECDSA")])
def test_found_without_naming_the_provider(hsm: object, kind: str, algorithm: str) -> None:
    pair = jca.key_pair(kind, 2048 if kind == "RSA" else 256)
    signed = jca.sign(algorithm, pair.getPrivate(), MESSAGE, None)
    assert jca.verify(algorithm, pair.getPublic(), MESSAGE, signed, None)


def test_one_object_signs_and_verifies_again_and_again(hsm: object) -> None:
    pair = jca.key_pair("EC", 256)
    signature = jca.java("java.security.Signature").getInstance("SHA256withECDSA", jca.PROVIDER)
    for count in range(3):
        signature.initSign(pair.getPrivate())
        for part in range(count + 1):
            signature.update(bytes([part]) * 5000)
        signed = signature.sign()
        signature.initVerify(pair.getPublic())
        for part in range(count + 1):
            signature.update(bytes([part]) * 5000)
        assert signature.verify(signed)


def test_keys_of_others_and_of_the_wrong_kind_are_invalid_keys(hsm: object) -> None:
    invalid = jca.java("java.security.InvalidKeyException")
    with pytest.raises(invalid):
        jca.sign("SHA256withRSA", jca.key_pair("RSA", 2048, None).getPrivate(), MESSAGE)
    with pytest.raises(invalid):
        jca.sign("SHA256withRSA", jca.key_pair("EC", 256).getPrivate(), MESSAGE)
    with pytest.raises(invalid):
        jca.sign("SHA256withECDSA", jca.key_pair("RSA", 2048).getPrivate(), MESSAGE)


def test_garbage_is_a_wrong_signature(hsm: object) -> None:
    pair = jca.key_pair("RSA", 2048)
    assert not _verifies_safely("SHA256withRSA", pair, bytes(256))
    assert not _verifies_safely("SHA256withRSA", pair, b"short")
    ec = jca.key_pair("EC", 256)
    assert not _verifies_safely("SHA256withECDSA", ec, b"no DER at all")


def _verifies_safely(algorithm: str, pair: Any, signed: bytes) -> bool:
    try:
        return jca.verify(algorithm, pair.getPublic(), MESSAGE, signed)
    except jca.java("java.security.SignatureException"):
        return False
