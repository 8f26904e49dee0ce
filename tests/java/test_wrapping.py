"""Wrapping through Cipher: every transformation, the JDK's own ciphers and openssl as the other side, and misuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import keywrap
from jpype import JObject

from bridge.pytest_plugin import HsmUnderTest
from tests import jca
from tests.hsmcore.judge import KeyFiles
from tests.hsmcore.making import ec_key, pkcs8, rsa_key

_OAEP = ("OAEPPadding", *(f"OAEPWithSHA-{name}ANDMGF1Padding" for name in (1, 224, 256, 384, 512)))
_MODES = {
    "AES/CBC/NoPadding": "EDU",
    "AES/CBC/PKCS5Padding": "ED",
    "AES/ECB/NoPadding": "ED",
    "AES/ECB/PKCS5Padding": "ED",
    "AES/CTR/NoPadding": "ED",
    "AES/GCM/NoPadding": "EDWU",
    "AESWrap/ECB/NoPadding": "WU",
    "AESWrap/ECB/PKCS5Padding": "WU",
    "AESWrap/ECB/ZeroPadding": "WU",
    "DESede/CBC/NoPadding": "ED",
    "DESede/CBC/PKCS5Padding": "ED",
    "DESede/ECB/NoPadding": "ED",
    "DESede/ECB/PKCS5Padding": "ED",
    "RSA/ECB/PKCS1Padding": "EDWU",
    "RSA/ECB/NoPadding": "ED",
    **{f"RSA/ECB/{padding}": "EDWU" for padding in _OAEP},
    **{f"RSAAESWrap/ECB/{padding}": "WU" for padding in _OAEP},
}
"""The reference's table: encrypt, decrypt, wrap, unwrap."""
_WRAPS = [name for name, modes in _MODES.items() if "W" in modes]
_NUMBERS = {"E": 1, "D": 2, "W": 3, "U": 4}
_PUBLIC, _PRIVATE, _SECRET = 1, 2, 3
_MATERIAL = bytes(range(24))

INVALID_KEY = "java.security.InvalidKeyException"
INVALID_PARAMETER = "java.security.InvalidAlgorithmParameterException"
UNSUPPORTED = "java.lang.UnsupportedOperationException"


def _raises(name: str, match: str | None = None) -> Any:
    return pytest.raises(jca.java(name), match=match)


def _keys(transformation: str) -> tuple[Any, Any]:
    """Return a key to wrap or encrypt with, and the one to undo it with."""
    if transformation.startswith("RSA"):
        pair = jca.key_pair("RSA", 2048)
        return pair.getPublic(), pair.getPrivate()
    key = jca.secret_key("DESede", 192) if transformation.startswith("DESede") else jca.secret_key()
    return key, key


def _wrap(transformation: str, key: Any, target: Any) -> tuple[bytes, Any]:
    """Wrap; return the bytes and the parameters to unwrap with."""
    cipher = jca.cipher(transformation, "wrap", key)
    wrapped = bytes(cipher.wrap(target))
    return wrapped, jca.gcm_parameters(bytes(cipher.getIV())) if "GCM" in transformation else None


def _unwrap(
    transformation: str, key: Any, wrapped: bytes, algorithm: str, kind: int = _SECRET, parameters: Any = None
) -> Any:
    return jca.cipher(transformation, "unwrap", key, parameters).unwrap(wrapped, algorithm, kind)


def _mac(key: Any) -> bytes:
    """Return what only this key makes."""
    if str(key.getAlgorithm()) == "DESede":
        return bytes(jca.cipher("DESede/ECB/NoPadding", "encrypt", key).doFinal(bytes(8)))
    mac = jca.java("javax.crypto.Mac").getInstance("HmacSHA256", jca.PROVIDER)
    mac.init(key)
    return bytes(mac.doFinal(b"data"))


def _software(material: bytes, algorithm: str) -> Any:
    return jca.java("javax.crypto.spec.SecretKeySpec")(material, algorithm)


def _attributes(**values: object) -> Any:
    integer = jca.java("java.lang.Integer")
    attribute = jca.java("com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute")
    made = jca.java("com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap")()
    for name, value in values.items():
        made.put(attribute.valueOf(name), integer(value) if name == "SIZE" else value)
    return made


def test_every_transformation_has_exactly_its_modes(hsm: object) -> None:
    services = jca.java("java.security.Security").getProvider(jca.PROVIDER).getServices()
    names = {str(service.getAlgorithm()) for service in services if service.getType() == "Cipher"}
    assert names == _MODES.keys()
    rsa, aes, des = _keys("RSA"), _keys("AES"), _keys("DESede")
    iv = {"DESede": bytes(8), "AES": bytes(16)}
    for name, modes in _MODES.items():
        keys = rsa if name.startswith("RSA") else des if name.startswith("DESede") else aes
        parameters = None
        if "CBC" in name or "CTR" in name:
            parameters = jca.java("javax.crypto.spec.IvParameterSpec")(iv[name.partition("/")[0]])
        for mode in ("encrypt", "decrypt", "wrap", "unwrap"):
            given = jca.gcm_parameters(bytes(12)) if "GCM" in name else parameters
            key = keys[mode in {"decrypt", "unwrap"}]
            if mode[0].upper() in modes:
                jca.cipher(name, mode, key, given)
                continue
            with _raises(UNSUPPORTED):
                jca.cipher(name, mode, key, given)


@pytest.mark.parametrize("name", _WRAPS)
def test_secret_keys_of_every_kind_come_back(hsm: object, name: str) -> None:
    wrapping, unwrapping = _keys(name)
    for algorithm in ("AES", "DESede", "HmacSHA1", "HmacSHA512", "GenericSecret"):
        target = jca.imported_secret(_MATERIAL, algorithm, algorithm)
        wrapped, parameters = _wrap(name, wrapping, target)
        back = _unwrap(name, unwrapping, wrapped, algorithm, _SECRET, parameters)
        assert str(back.getAlgorithm()) == algorithm
        assert not back.isDestroyed()
        assert _mac(back) == _mac(target)
        assert str(back).split("handle")[1] != str(target).split("handle")[1]
        back.destroy()
        assert _mac(target)
        with _raises(INVALID_KEY):
            _mac(back)


@pytest.mark.parametrize("name", [name for name in _WRAPS if not name.startswith("RSA/")])
def test_private_keys_come_back(hsm: object, name: str) -> None:
    wrapping, unwrapping = _keys(name)
    for algorithm, size, signature in (("RSA", 2048, "SHA256withRSA"), ("EC", "secp521r1", "SHA256withECDSA")):
        pair = jca.key_pair(algorithm, size)
        if name == "AESWrap/ECB/NoPadding" and algorithm == "EC":
            # 241 bytes of PKCS #8, which is no multiple of 8.
            with _raises("javax.crypto.IllegalBlockSizeException"):
                _wrap(name, wrapping, pair.getPrivate())
            continue
        try:
            wrapped, parameters = _wrap(name, wrapping, pair.getPrivate())
        except jca.java("javax.crypto.IllegalBlockSizeException"):
            # The length of an RSA key's PKCS #8 varies by a few bytes from key to key.
            assert name == "AESWrap/ECB/NoPadding"
            continue
        back = _unwrap(name, unwrapping, wrapped, algorithm, _PRIVATE, parameters)
        assert back.getEncoded() is None
        assert str(back.getAlgorithm()) == algorithm
        signed = jca.sign(signature, back, b"message")
        assert jca.verify(signature, pair.getPublic(), b"message", signed)


@pytest.mark.parametrize("algorithm", ["Ed25519", "EdDSA", "ML-DSA", "ML-DSA-65"])
def test_private_keys_of_message_signatures_come_back(hsm: object, algorithm: str) -> None:
    name, key = "AESWrap/ECB/ZeroPadding", jca.secret_key()
    signature = algorithm.replace("EdDSA", "Ed25519")
    pair = jca.java("java.security.KeyPairGenerator").getInstance(signature, jca.PROVIDER).generateKeyPair()
    back = _unwrap(name, key, _wrap(name, key, pair.getPrivate())[0], algorithm, _PRIVATE, None)
    signed = jca.sign(signature, back, b"message")
    assert jca.verify(signature, pair.getPublic(), b"message", signed)


def test_rsa_wraps_no_private_keys(hsm: object) -> None:
    wrapping, _ = _keys("RSA")
    target = jca.key_pair("EC", "secp521r1").getPrivate()
    with _raises("javax.crypto.IllegalBlockSizeException"):
        _wrap("RSA/ECB/OAEPPadding", wrapping, target)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("AESWrap/ECB/NoPadding", "AES/KW/NoPadding"), ("AESWrap/ECB/ZeroPadding", "AES/KWP/NoPadding")],
)
def test_aes_key_wrap_agrees_with_the_jdk(hsm: object, ours: str, theirs: str) -> None:
    for bits in (16, 24, 32):
        material = os.urandom(bits)
        key, software = jca.imported_secret(material, "AES", f"kek {bits}"), _software(material, "AES")
        lengths = (16, 24, 32, 64, 800) if "NoPadding" in ours else (1, 7, 8, 9, 16, 20, 63, 800)
        for length in lengths:
            payload = os.urandom(length)
            target = jca.imported_secret(payload, "HmacSHA256", f"{bits} {length}")
            wrapped, _ = _wrap(ours, key, target)
            other = jca.cipher(theirs, "wrap", software, provider="SunJCE")
            assert wrapped == bytes(other.wrap(_software(payload, "HmacSHA256")))
            assert _mac(_unwrap(ours, key, wrapped, "HmacSHA256")) == _mac(target)


def test_pkcs5_padding_is_seen_by_a_standard_unwrapper(hsm: object) -> None:
    material = os.urandom(32)
    key, software = jca.imported_secret(material, "AES", "kek"), _software(material, "AES")
    for length in range(8, 33):
        payload = os.urandom(length)
        wrapped, _ = _wrap("AESWrap/ECB/PKCS5Padding", key, jca.imported_secret(payload, "HmacSHA1", f"{length}"))
        reader = jca.cipher("AES/KW/NoPadding", "unwrap", software, provider="SunJCE")
        padding = 8 - length % 8
        assert bytes(reader.unwrap(wrapped, "HmacSHA1", _SECRET).getEncoded()) == payload + bytes([padding]) * padding


@pytest.mark.parametrize("digest", ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"])
def test_rsa_oaep_agrees_with_the_jdk(hsm: object, digest: str) -> None:
    """The JDK pairs every hash with MGF1 over SHA-1 unless it is told."""
    name = f"RSA/ECB/OAEPWith{digest}AndMGF1Padding"
    pair = jca.key_pair("RSA", 2048)
    for label in (b"", b"a label"):
        source = jca.java("javax.crypto.spec.PSource$PSpecified")(label)
        mgf = jca.java("java.security.spec.MGF1ParameterSpec")(digest)
        spec = jca.java("javax.crypto.spec.OAEPParameterSpec")(digest, "MGF1", mgf, source)
        theirs = jca.cipher(name, "wrap", pair.getPublic(), spec, "SunJCE").wrap(_software(_MATERIAL, "AES"))
        back = _unwrap(name, pair.getPrivate(), bytes(theirs), "AES", parameters=spec)
        assert _mac(back) == _mac(jca.imported_secret(_MATERIAL, "AES"))
        if label:
            with _raises(INVALID_KEY):
                _unwrap(name, pair.getPrivate(), bytes(theirs), "AES")
        sealed = bytes(jca.cipher(name, "encrypt", pair.getPublic(), spec, "SunJCE").doFinal(_MATERIAL))
        assert bytes(jca.cipher(name, "decrypt", pair.getPrivate(), spec).doFinal(sealed)) == _MATERIAL


def test_oaep_and_mgf1_have_one_hash(hsm: object) -> None:
    public, _ = _keys("RSA")
    default = jca.java("javax.crypto.spec.PSource$PSpecified").DEFAULT
    for digest, mgf in (("SHA-256", "SHA-1"), ("SHA-1", "SHA-1"), ("SHA-512", "SHA-256")):
        spec = jca.java("javax.crypto.spec.OAEPParameterSpec")(
            digest, "MGF1", jca.java("java.security.spec.MGF1ParameterSpec")(mgf), default
        )
        for name in ("RSA/ECB/OAEPWithSHA-256ANDMGF1Padding", "RSAAESWrap/ECB/OAEPWithSHA-256ANDMGF1Padding"):
            with _raises(INVALID_PARAMETER):
                jca.cipher(name, "wrap", public, spec)


@pytest.mark.parametrize("digest", ["1", "224", "256", "384", "512"])
def test_rsa_aes_wrap_is_read_and_written_with_openssl(hsm: object, tmp_path: Path, digest: str) -> None:
    files = KeyFiles(tmp_path, rsa_key())
    options = ("rsa_padding_mode:oaep", f"rsa_oaep_md:sha{digest}", f"rsa_mgf1_md:sha{digest}")
    openssl = [part for option in options for part in ("-pkeyopt", option)]
    name = f"RSAAESWrap/ECB/OAEPWithSHA-{digest}ANDMGF1Padding"
    encoded = jca.java("java.security.spec.PKCS8EncodedKeySpec")(pkcs8(rsa_key()))
    factory = jca.java("java.security.KeyFactory").getInstance("RSA", jca.PROVIDER)
    public = jca.java("java.security.KeyFactory").getInstance("RSA", "SunRsaSign")
    numbers = rsa_key().public_key().public_numbers()
    integer = jca.java("java.math.BigInteger")
    spec = jca.java("java.security.spec.RSAPublicKeySpec")(integer(str(numbers.n)), integer(str(numbers.e)))
    wrapped, _ = _wrap(name, factory.generatePublic(spec), jca.imported_secret(_MATERIAL, "HmacSHA1"))
    temporary = files.decrypt(wrapped[:256], *openssl)
    assert keywrap.aes_key_unwrap_with_padding(temporary, wrapped[256:]) == _MATERIAL
    blob = files.encrypt(bytes(16), *openssl) + keywrap.aes_key_wrap_with_padding(bytes(16), pkcs8(ec_key()))
    back = _unwrap(name, factory.generatePrivate(encoded), blob, "EC", _PRIVATE)
    assert len(jca.sign("SHA256withECDSAinP1363Format", back, b"message")) == 64
    with _raises(INVALID_KEY, "Non CloudHsm key is not supported for this cipher operation"):
        jca.cipher(name, "wrap", public.generatePublic(spec))


@pytest.mark.parametrize("iv", [bytes(16), bytes(range(16))], ids=["zero", "other"])
def test_cbc_unwraps_only(hsm: object, iv: bytes) -> None:
    material = os.urandom(32)
    key, name = jca.imported_secret(material, "AES", "kek"), "AES/CBC/NoPadding"
    spec = jca.java("javax.crypto.spec.IvParameterSpec")(iv)
    sealed = bytes(jca.cipher(name, "encrypt", _software(material, "AES"), spec, "SunJCE").doFinal(bytes(range(32))))
    target = jca.imported_secret(bytes(range(32)), "AES", "target")
    assert _mac(_unwrap(name, key, sealed, "AES", parameters=spec)) == _mac(target)
    for wrong in (sealed[:-1], sealed[:-16] * 3, b""):
        with _raises(INVALID_KEY):
            _unwrap(name, key, wrong, "AES", parameters=spec)
    with _raises(INVALID_KEY):
        jca.cipher(name, "unwrap", key)


def test_one_cipher_wraps_and_unwraps(hsm: object) -> None:
    for name in ("AES/GCM/NoPadding", "AESWrap/ECB/ZeroPadding", "RSA/ECB/OAEPPadding"):
        wrapping, unwrapping = _keys(name)
        target = jca.imported_secret(_MATERIAL, "HmacSHA1", "payload")
        cipher = jca.java("javax.crypto.Cipher").getInstance(name, jca.PROVIDER)
        cipher.init(3, wrapping, jca.gcm_parameters(b"")) if "GCM" in name else cipher.init(3, wrapping)
        for _ in range(2):
            wrapped = bytes(cipher.wrap(target))
        parameters = jca.gcm_parameters(bytes(cipher.getIV())) if "GCM" in name else None
        cipher.init(4, unwrapping, parameters) if parameters else cipher.init(4, unwrapping)
        for _ in range(2):
            assert _mac(cipher.unwrap(wrapped, "HmacSHA1", _SECRET)) == _mac(target)
        cipher.init(3, wrapping)
        assert cipher.wrap(target) is not None


def test_gcm_ivs_are_the_hsms(hsm: object) -> None:
    key, _ = _keys("AES")
    chosen, seen = bytes(range(12)), set()
    cipher = jca.cipher("AES/GCM/NoPadding", "wrap", key, jca.gcm_parameters(chosen))
    assert bytes(cipher.getIV()) == bytes(12)
    for _ in range(20):
        cipher.wrap(key)
        seen.add(bytes(cipher.getIV()))
    cipher = jca.cipher("AES/GCM/NoPadding", "encrypt", key, jca.gcm_parameters(chosen))
    assert bytes(cipher.getIV()) == bytes(12)
    for _ in range(20):
        assert not bytes(cipher.update(b"buffered") or b"")
        sealed = bytes(cipher.doFinal())
        seen.add(bytes(cipher.getIV()))
        reader = jca.cipher("AES/GCM/NoPadding", "decrypt", key, jca.gcm_parameters(bytes(cipher.getIV())))
        assert bytes(reader.doFinal(sealed)) == b"buffered"
    assert len(seen) == 40
    assert chosen not in seen


@pytest.mark.parametrize("length", [0, 1, 8, 11, 13, 16])
def test_gcm_takes_ivs_of_12_bytes(hsm: object, length: int) -> None:
    key, _ = _keys("AES")
    for mode in ("decrypt", "unwrap"):
        with _raises(INVALID_PARAMETER):
            jca.cipher("AES/GCM/NoPadding", mode, key, jca.gcm_parameters(bytes(length)))


def test_attributes_of_unwrapped_keys(hsm: HsmUnderTest) -> None:
    aes, pair = jca.secret_key(), jca.key_pair("RSA", 2048)
    target = jca.imported_secret(_MATERIAL, "HmacSHA1", "target")
    wishes = _attributes(LABEL="back", TOKEN=True, EXTRACTABLE=False, SIGN=True)
    package = "com.amazonaws.cloudhsm.jce.provider"
    oaep = jca.java("javax.crypto.spec.OAEPParameterSpec").DEFAULT
    iv = jca.java(f"{package}.IvUnwrapKeySpec")
    for name, keys, with_wishes in (
        ("AESWrap/ECB/NoPadding", (aes, aes), lambda _: wishes),
        ("AESWrap/ECB/PKCS5Padding", (aes, aes), lambda _: iv(bytes([0xA6] * 8), wishes)),
        ("AES/GCM/NoPadding", (aes, aes), lambda p: jca.java(f"{package}.GCMUnwrapKeySpec")(128, p.getIV(), wishes)),
        ("RSA/ECB/OAEPPadding", (pair.getPublic(), pair.getPrivate()), lambda _: wishes),
        (
            "RSAAESWrap/ECB/OAEPPadding",
            (pair.getPublic(), pair.getPrivate()),
            lambda _: jca.java(f"{package}.OAEPUnwrapKeySpec")(oaep, wishes),
        ),
    ):
        wrapped, parameters = _wrap(name, keys[0], target)
        cipher = jca.cipher(name, "unwrap", keys[1], with_wishes(parameters))
        back = cipher.unwrap(wrapped, "HmacSHA1", _SECRET)
        (record,) = hsm.hsm.keys.find(hsm.session, {"LABEL": "back"})
        assert [record.attributes[n] for n in ("TOKEN", "EXTRACTABLE", "SIGN", "LOCAL")] == [True, False, True, False]
        with _raises(INVALID_KEY):
            _wrap("AESWrap/ECB/ZeroPadding", aes, back)
        back.destroy()
    plain = _unwrap("AESWrap/ECB/NoPadding", aes, _wrap("AESWrap/ECB/NoPadding", aes, target)[0], "HmacSHA1")
    assert [plain.attribute(n) for n in ("TOKEN", "EXTRACTABLE", "LABEL")] == [False, True, ""]


def test_attributes_that_do_not_fit(hsm: HsmUnderTest) -> None:
    key = jca.secret_key()
    kinds = jca.java("com.amazonaws.cloudhsm.jce.provider.attributes.KeyType")
    wrapped, _ = _wrap("AESWrap/ECB/ZeroPadding", key, key)
    before = hsm.hsm.status()
    for wishes in (_attributes(SIZE=128), _attributes(LOCAL=True), _attributes(KEY_TYPE=kinds.DESEDE)):
        cipher = jca.cipher("AESWrap/ECB/ZeroPadding", "unwrap", key, wishes)
        with _raises(INVALID_KEY):
            cipher.unwrap(wrapped, "AES", _SECRET)
    with _raises(INVALID_PARAMETER):
        jca.cipher("AES/GCM/NoPadding", "unwrap", key, _attributes(LABEL="no IV"))
    with _raises(INVALID_PARAMETER):
        jca.cipher("AESWrap/ECB/ZeroPadding", "wrap", key, _attributes(LABEL="wrapping"))
    assert hsm.hsm.status() == before
    assert _unwrap("AESWrap/ECB/ZeroPadding", key, wrapped, "AES").attribute("SIZE") == 256


@pytest.mark.parametrize("name", ["AESWrap/ECB/NoPadding", "AESWrap/ECB/PKCS5Padding", "AESWrap/ECB/ZeroPadding"])
def test_the_iv_of_aes_key_wrap(hsm: object, name: str) -> None:
    key, spec = jca.secret_key(), jca.java("javax.crypto.spec.IvParameterSpec")
    fixed = bytes([0xA6] * 8)
    wrong = [b"", fixed[:7], fixed + fixed, bytes(8)] + ([fixed] if "Zero" in name else [])
    for iv in wrong:
        for mode in ("wrap", "unwrap"):
            with _raises(INVALID_PARAMETER):
                jca.cipher(name, mode, key, spec(iv))
    if "Zero" not in name:
        assert bytes(jca.cipher(name, "wrap", key, spec(fixed)).wrap(key)) == _wrap(name, key, key)[0]


@pytest.mark.parametrize("name", _WRAPS)
def test_misuse_is_refused_and_changes_nothing(hsm: HsmUnderTest, name: str) -> None:
    wrapping, unwrapping = _keys(name)
    target, fixed = jca.secret_key(), jca.java("javax.crypto.KeyGenerator").getInstance("AES", jca.PROVIDER)
    fixed.init(_attributes(SIZE=256, EXTRACTABLE=False))
    kept, gone = fixed.generateKey(), jca.secret_key()
    gone.destroy()
    wrapped, parameters = _wrap(name, wrapping, target)
    before = hsm.hsm.status()
    cipher = jca.cipher(name, "wrap", wrapping)
    for wrong in (_software(bytes(32), "AES"), None):
        with _raises(INVALID_KEY, "Non CloudHsm key is not supported for this cipher operation"):
            cipher.wrap(wrong)
    for wrong in (kept, gone, jca.key_pair("EC", "secp256r1", "SunEC").getPrivate()):
        with _raises(INVALID_KEY):
            cipher.wrap(wrong)
    assert cipher.wrap(target) is not None
    no_key = JObject(None, "java.security.Key")
    for wrong in (no_key, gone, _software(bytes(32), "AES"), kept if name.startswith("RSA") else _rsa_private()):
        with _raises(INVALID_KEY):
            jca.cipher(name, "wrap", wrong)
    reader = jca.cipher(name, "unwrap", unwrapping, parameters)
    for algorithm, kind in (("FOO", _SECRET), ("RSA", _SECRET), ("AES", _PRIVATE), (None, _SECRET), ("DSA", _PRIVATE)):
        with _raises("java.security.NoSuchAlgorithmException"):
            reader.unwrap(wrapped, algorithm, kind)
    damaged = [b"", wrapped[:-1], wrapped[:-8], wrapped + b"\0", wrapped[:16]]
    if name != "RSA/ECB/PKCS1Padding":
        damaged += [wrapped[:-1] + bytes([wrapped[-1] ^ 1]), bytes([wrapped[0] ^ 1]) + wrapped[1:]]
    for blob in damaged:
        with _raises(INVALID_KEY):
            reader.unwrap(blob, "AES", _SECRET)
    for algorithm, kind in (("DESede", _SECRET), ("RSA", _PRIVATE), ("EC", _PRIVATE), ("RSA", _PUBLIC)):
        with _raises(INVALID_KEY):
            reader.unwrap(wrapped, algorithm, kind)
    with _raises(INVALID_KEY):
        reader.unwrap(None, "AES", _SECRET)
    with _raises("java.lang.IllegalStateException"):
        reader.wrap(target)
    with _raises("java.lang.IllegalStateException"):
        reader.doFinal(bytes(16))
    assert hsm.hsm.status()["keys"] == before["keys"] + (0 if name.startswith("RSA") else 2)
    assert _mac(reader.unwrap(wrapped, "AES", _SECRET)) == _mac(target)


def _rsa_private() -> Any:
    """Return a key of the wrong type for AES."""
    return jca.key_pair("RSA", 2048).getPrivate()


def test_keys_that_do_not_wrap(hsm: object) -> None:
    generator = jca.java("javax.crypto.KeyGenerator").getInstance("AES", jca.PROVIDER)
    generator.init(_attributes(SIZE=256, WRAP=False, UNWRAP=False))
    weak = generator.generateKey()
    for mode in ("wrap", "unwrap"):
        with _raises(INVALID_KEY, "WRAP is false"):
            jca.cipher("AESWrap/ECB/NoPadding", mode, weak)
    pair = jca.key_pair("RSA", 2048)
    for mode, key in (("wrap", pair.getPrivate()), ("unwrap", pair.getPublic())):
        with _raises(INVALID_KEY):
            jca.cipher("RSA/ECB/OAEPPadding", mode, key)
    with _raises(INVALID_KEY):
        jca.cipher("AESWrap/ECB/ZeroPadding", "wrap", jca.secret_key()).wrap(pair.getPublic())


def test_wrap_with_trusted(hsm: HsmUnderTest) -> None:
    generator = jca.java("javax.crypto.KeyGenerator").getInstance("AES", jca.PROVIDER)
    generator.init(_attributes(SIZE=256, WRAP_WITH_TRUSTED=True))
    bound, key = generator.generateKey(), jca.secret_key()
    with _raises(INVALID_KEY, "trusted"):
        _wrap("AESWrap/ECB/ZeroPadding", key, bound)
    assert bound.getEncoded() is None


@pytest.mark.parametrize("length", [17, 20, 31])
def test_lengths_that_do_not_align(hsm: object, length: int) -> None:
    target = jca.imported_secret(bytes(length), "HmacSHA1")
    with _raises("javax.crypto.IllegalBlockSizeException"):
        _wrap("AESWrap/ECB/NoPadding", jca.secret_key(), target)
