"""Signature names in any case, what the engine's methods refuse, parameters, and that nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from jpype import JObject

from tests import jca

_MESSAGE = b"hsmbridge"
_HASHES = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
_INVALID_KEY = "java.security.InvalidKeyException"
_INVALID_PARAMETER = "java.security.InvalidAlgorithmParameterException"
_SIGNATURE = "java.security.SignatureException"


def _engine(name: str) -> Any:
    return jca.java("java.security.Signature").getInstance(name, jca.PROVIDER)


@pytest.mark.parametrize(
    ("name", "judge"),
    [
        ("SHA512WithRSA", "SHA512withRSA"),
        ("sha256withrsa", "SHA256withRSA"),
        ("SHA256WITHRSAANDMGF1", "SHA256withRSA/PSS"),
        ("SHA384WithRSA/PSS", "SHA384withRSAandMGF1"),
        ("SHA256WITHECDSA", "SHA256withECDSA"),
        ("nonewithecdsa", "NONEwithECDSA"),
        ("NoneWithRSA", "NONEwithRSA"),
        ("sha224withecdsainp1363format", "SHA224withECDSAinP1363Format"),
    ],
)
def test_letter_case_does_not_matter(hsm: object, name: str, judge: str) -> None:
    pair = jca.key_pair(*(("EC", 256) if "ecdsa" in name.lower() else ("RSA", 2048)))
    assert jca.verify(judge, pair.getPublic(), _MESSAGE, jca.sign(name, pair.getPrivate(), _MESSAGE))


@pytest.mark.parametrize(
    "name",
    ["NONEwithRSASSA-PSS", "NONEwithRSA/PSS", "NONEwithRSAandMGF1", "MD5withRSA", "SHA3-256withRSA", "Ed448", "DSA"],
)
def test_names_that_are_not_there(hsm: object, name: str) -> None:
    with pytest.raises(jca.java("java.security.NoSuchAlgorithmException")):
        _engine(name)


@pytest.mark.parametrize("name", _HASHES)
def test_pss_that_the_jdk_made_is_verified_with_every_public_key(hsm: object, name: str) -> None:
    software = jca.key_pair("RSA", 2048, None)
    digest = name.replace("SHA", "SHA-")
    parameters = jca.pss(digest, {"SHA1": 20}.get(name) or int(name[3:]) // 8)
    signed = jca.sign("RSASSA-PSS", software.getPrivate(), _MESSAGE, "SunRsaSign", parameters)
    imported = jca.java("java.security.KeyFactory").getInstance("RSA", jca.PROVIDER).translateKey(software.getPublic())
    for key in (software.getPublic(), imported):
        assert jca.verify(f"{name}withRSA/PSS", key, _MESSAGE, signed)
        assert jca.verify("RSASSA-PSS", key, _MESSAGE, signed, parameters=parameters)
        assert not jca.verify("RSASSA-PSS", key, _MESSAGE, signed, parameters=jca.pss(digest, 0))


@pytest.mark.parametrize("name", [f"{name}withECDSA" for name in _HASHES])
def test_p1363_and_der_are_the_same_numbers(hsm: object, name: str) -> None:
    pair = jca.key_pair("EC", "secp521r1")
    raw = jca.sign(f"{name}inP1363Format", pair.getPrivate(), _MESSAGE)
    assert len(raw) == 132
    assert jca.verify(f"{name}inP1363Format", pair.getPublic(), _MESSAGE, raw)
    for wrong in (raw[:-1], raw + b"\0", b"", raw[::-1], bytes(132)):
        assert not _verifies(f"{name}inP1363Format", pair.getPublic(), wrong)
    assert not _verifies(name, pair.getPublic(), raw)


def _verifies(name: str, key: Any, signed: bytes) -> bool:
    try:
        return jca.verify(name, key, _MESSAGE, signed)
    except jca.java(_SIGNATURE):
        return False


@pytest.mark.parametrize(
    ("name", "kind"), [("SHA256withRSA", "RSA"), ("SHA256withECDSA", "EC"), ("Ed25519", "Ed25519")]
)
def test_one_object_signs_with_the_hsm_and_verifies_with_software_keys(hsm: object, name: str, kind: str) -> None:
    generator = jca.java("java.security.KeyPairGenerator").getInstance(kind, jca.PROVIDER)
    pair, engine = generator.generateKeyPair(), _engine(name)
    spec = jca.java("java.security.spec.X509EncodedKeySpec")(pair.getPublic().getEncoded())
    software = jca.java("java.security.KeyFactory").getInstance(kind).generatePublic(spec)
    for key in (pair.getPublic(), software):
        engine.initSign(pair.getPrivate())
        engine.update(_MESSAGE)
        signed = engine.sign()
        engine.update(_MESSAGE)
        again = engine.sign()
        engine.initVerify(key)
        for each in (signed, again):
            engine.update(_MESSAGE)
            assert engine.verify(each)
        engine.update(b"other")
        assert not engine.verify(signed)


def test_what_was_begun_does_not_leak_into_the_next(hsm: object) -> None:
    pair, engine = jca.key_pair("EC", 256), _engine("SHA256withECDSA")
    engine.initSign(pair.getPrivate())
    engine.update(b"never signed")
    engine.initSign(pair.getPrivate())
    engine.update(_MESSAGE)
    assert jca.verify("SHA256withECDSA", pair.getPublic(), _MESSAGE, bytes(engine.sign()))


def test_the_order_of_calls(hsm: object) -> None:
    pair, wrong = jca.key_pair("RSA", 2048), jca.java(_SIGNATURE)
    for name in ("SHA256withRSA", "NONEwithRSA", "SHA256withRSA/PSS", "SHA256withECDSA", "Ed25519"):
        for call in (lambda e: e.update(_MESSAGE), lambda e: e.sign(), lambda e: e.verify(b"")):
            with pytest.raises(wrong):
                call(_engine(name))
    engine = _engine("SHA256withRSA")
    engine.initSign(pair.getPrivate())
    with pytest.raises(wrong):
        engine.verify(bytes(256))
    engine.initVerify(pair.getPublic())
    with pytest.raises(wrong):
        engine.sign()


def test_rsassa_pss_needs_its_parameters(hsm: object) -> None:
    pair, engine = jca.key_pair("RSA", 2048), _engine("RSASSA-PSS")
    assert engine.getParameters() is None
    engine.initSign(pair.getPrivate())
    with pytest.raises(jca.java(_SIGNATURE)):
        engine.update(_MESSAGE)
    engine.setParameter(jca.pss("SHA-384", 48))
    engine.update(_MESSAGE)
    signed = bytes(engine.sign())
    assert jca.verify("SHA384withRSA/PSS", pair.getPublic(), _MESSAGE, signed, "CloudHSM")


def test_parameters_that_do_not_fit(hsm: object) -> None:
    spec = jca.java("java.security.spec.PSSParameterSpec")
    mgf = jca.java("java.security.spec.MGF1ParameterSpec")
    iv = jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16))
    refused = [
        ("RSASSA-PSS", iv),
        ("RSASSA-PSS", spec("SHA-256", "MGF1", mgf("SHA-1"), 32, 1)),
        ("RSASSA-PSS", spec("SHA-256", "MGF1", mgf("SHA-256"), 32, 2)),
        ("RSASSA-PSS", spec("MD2", "MGF1", mgf("MD5"), 16, 1)),
        ("SHA256withRSA/PSS", jca.pss("SHA-512", 64)),
        ("SHA256withRSA", jca.pss("SHA-256", 32)),
        ("SHA256withECDSA", iv),
        ("Ed25519", iv),
        ("ML-DSA", iv),
    ]
    for name, parameters in refused:
        with pytest.raises(jca.java(_INVALID_PARAMETER)):
            _engine(name).setParameter(parameters)
    pair = jca.key_pair("RSA", 2048)
    with pytest.raises(jca.java(_INVALID_PARAMETER)):
        jca.sign("RSASSA-PSS", pair.getPrivate(), _MESSAGE, parameters=jca.pss("SHA-512", 300))
    longer = jca.sign("SHA256withRSA/PSS", pair.getPrivate(), _MESSAGE, parameters=jca.pss("SHA-256", 8))
    assert jca.verify("RSASSA-PSS", pair.getPublic(), _MESSAGE, longer, "SunRsaSign", jca.pss("SHA-256", 8))


@pytest.mark.parametrize("name", ["NONEwithRSA", "NONEwithECDSA"])
def test_data_that_is_too_long_to_be_a_digest(hsm: object, name: str) -> None:
    pair = jca.key_pair(*(("RSA", 2048) if name.endswith("RSA") else ("EC", 256)))
    with pytest.raises(jca.java(_SIGNATURE)):
        jca.sign(name, pair.getPrivate(), bytes(246))
    longest = bytes(245 if name.endswith("RSA") else 64)
    assert jca.verify(name, pair.getPublic(), longest, jca.sign(name, pair.getPrivate(), longest))


@pytest.mark.parametrize(
    ("name", "kind"), [("SHA256withRSA", "RSA"), ("SHA256withRSA/PSS", "RSA"), ("SHA256withECDSA", "EC")]
)
def test_keys_that_do_not_fit(hsm: Any, name: str, kind: str) -> None:
    size, other = (2048, ("EC", 256)) if kind == "RSA" else (256, ("RSA", 2048))
    pair, wrong, software = jca.key_pair(kind, size), jca.key_pair(*other), jca.key_pair(kind, size, None)
    destroyed = jca.key_pair(kind, size)
    destroyed.getPrivate().destroy()
    destroyed.getPublic().destroy()
    before = hsm.hsm.status()["keys"]
    for key in (wrong.getPrivate(), software.getPrivate(), destroyed.getPrivate(), None):
        with pytest.raises(jca.java(_INVALID_KEY)):
            jca.sign(name, key, _MESSAGE)
    for key in (wrong.getPublic(), destroyed.getPublic()):
        with pytest.raises(jca.java(_INVALID_KEY)):
            jca.verify(name, key, _MESSAGE, b"")
    engine = _engine(name)
    engine.initSign(pair.getPrivate())
    with pytest.raises(jca.java(_INVALID_KEY)):
        engine.initSign(software.getPrivate())
    assert jca.verify(name, pair.getPublic(), _MESSAGE, jca.sign(name, pair.getPrivate(), _MESSAGE))
    assert hsm.hsm.status()["keys"] == before


def test_session_keys_end_with_their_session_and_the_next_session_has_its_own(hsm: Any) -> None:
    pair, secret = jca.key_pair("EC", 256), jca.secret_key()
    hsm.provider.logout()
    from bridge.carriers import jvm

    jvm.login(hsm.provider, hsm.user, hsm.password)
    with pytest.raises(jca.java(_SIGNATURE)):
        jca.sign("SHA256withECDSA", pair.getPrivate(), _MESSAGE)
    with pytest.raises(jca.java("java.security.ProviderException")):
        jca.mac("AESCMAC", secret, _MESSAGE)
    fresh = jca.key_pair("EC", 256)
    signature = jca.sign("SHA256withECDSA", fresh.getPrivate(), _MESSAGE)
    assert jca.verify("SHA256withECDSA", fresh.getPublic(), _MESSAGE, signature)


_EDDSA = "java.security.spec.EdDSAParameterSpec"


def _parameters(name: str) -> Any:
    return jca.java(_EDDSA)(False) if name == "Ed25519" else jca.pss("SHA-256", 32)


@pytest.mark.parametrize("name", ["RSASSA-PSS", "SHA256withRSA/PSS", "Ed25519"])
def test_parameters_in_mid_message_are_refused_and_lose_nothing(hsm: object, name: str) -> None:
    generator = jca.java("java.security.KeyPairGenerator").getInstance(
        "Ed25519" if name == "Ed25519" else "RSA", jca.PROVIDER
    )
    pair, engine, parameters = generator.generateKeyPair(), _engine(name), _parameters(name)
    engine.setParameter(parameters)
    engine.initSign(pair.getPrivate())
    engine.setParameter(parameters)
    engine.update(_MESSAGE)
    with pytest.raises(jca.java("java.security.ProviderException"), match="Parameters cannot change"):
        engine.setParameter(parameters)
    signed = engine.sign()
    engine.setParameter(parameters)
    engine.initVerify(pair.getPublic())
    for call in (
        lambda: engine.update(_MESSAGE),
        lambda: engine.update(jca.java("java.nio.ByteBuffer").wrap(_MESSAGE)),
    ):
        call()
        with pytest.raises(jca.java("java.security.ProviderException"), match="Parameters cannot change"):
            engine.setParameter(parameters)
        assert engine.verify(signed)
    engine.update(_MESSAGE)
    engine.initVerify(pair.getPublic())
    engine.setParameter(parameters)
    engine.update(_MESSAGE)
    assert engine.verify(signed)


def test_ed25519_takes_parameters_that_say_nothing(hsm: object) -> None:
    generator = jca.java("java.security.KeyPairGenerator").getInstance("Ed25519", jca.PROVIDER)
    pair, engine = generator.generateKeyPair(), _engine("Ed25519")
    spec = jca.java(_EDDSA)
    engine.initSign(pair.getPrivate())
    for parameters in (spec(False), JObject(None, "java.security.spec.AlgorithmParameterSpec")):
        engine.setParameter(parameters)
    engine.update(_MESSAGE)
    assert jca.verify("Ed25519", pair.getPublic(), _MESSAGE, bytes(engine.sign()), None)
    for wrong in (spec(True), spec(False, b""), spec(False, b"context"), jca.pss("SHA-256", 32)):
        with pytest.raises(jca.java(_INVALID_PARAMETER)):
            engine.setParameter(wrong)


@pytest.mark.parametrize("digest", ["MD5", "SHA3-256", "SHA-512/256", "RC4"])
def test_pss_refuses_hashes_that_the_hsm_has_not_when_they_are_set(hsm: object, digest: str) -> None:
    with pytest.raises(jca.java(_INVALID_PARAMETER), match=digest):
        _engine("RSASSA-PSS").setParameter(jca.pss(digest, 16))


def test_pss_refuses_a_salt_that_does_not_fit_the_key(hsm: object) -> None:
    private = jca.key_pair("RSA", 2048).getPrivate()
    longest, engine = 256 - 32 - 2, _engine("RSASSA-PSS")
    engine.setParameter(jca.pss("SHA-256", longest + 1))
    with pytest.raises(jca.java(_INVALID_KEY), match="too short for a salt"):
        engine.initSign(private)
    engine.setParameter(jca.pss("SHA-256", longest))
    engine.initSign(private)
    with pytest.raises(jca.java(_INVALID_PARAMETER), match="too short for a salt"):
        engine.setParameter(jca.pss("SHA-256", longest + 1))
    engine.update(_MESSAGE)
    assert len(engine.sign()) == 256


@pytest.mark.parametrize("change", [-300, -1, 1])
@pytest.mark.parametrize("name", ["SHA256withRSA", "SHA256withRSA/PSS", "SHA256withECDSA"])
def test_signatures_of_another_form_are_refused_as_the_jdk_does(hsm: object, name: str, change: int) -> None:
    pair = jca.key_pair(*(("EC", 256) if "ECDSA" in name else ("RSA", 2048)))
    signed = jca.sign(name, pair.getPrivate(), _MESSAGE)
    wrong = signed + bytes(change) if change > 0 else signed[: max(0, len(signed) + change)]
    with pytest.raises(jca.java(_SIGNATURE)):
        jca.verify(name, pair.getPublic(), _MESSAGE, wrong)


@pytest.mark.parametrize(
    ("encoded", "is_form"),
    [
        ("3006020101020101", True),
        ("30060201ff020100", True),
        ("3008020200800202 0080", True),
        ("30820006020101020101", False),
        ("308106020101020101", False),
        ("3080020101020101 0000", False),
        ("30050200020101", False),
        ("3009020101020101020101", False),
        ("3007020200010201 01", False),
        ("30070202ff800201 01", True),
        ("300602010102010100", False),
        ("3106020101020101", False),
        ("3006040101020101", False),
        ("30", False),
        ("3003020101", False),
        ("300402010102", False),
    ],
)
def test_der_of_ecdsa_is_read_as_the_jdk_reads_it(hsm: object, encoded: str, is_form: bool) -> None:
    public = jca.key_pair("EC", 256).getPublic()
    for provider in (jca.PROVIDER, "SunEC"):
        try:
            assert not jca.verify("SHA256withECDSA", public, _MESSAGE, bytes.fromhex(encoded), provider)
        except jca.java(_SIGNATURE):
            assert not is_form, provider
        else:
            assert is_form, provider
