"""Ciphers that are used wrongly: what each refuses, that nothing changes, and that the next call works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jpype import JArray, JByte, JObject

from bridge.carriers import jvm
from bridge.pytest_plugin import USER, HsmUnderTest
from hsmcore import Hsm, Settings
from tests import jca

_BLOCKS = {
    "AES/CBC/NoPadding": 16,
    "AES/CBC/PKCS5Padding": 16,
    "AES/ECB/NoPadding": 0,
    "AES/ECB/PKCS5Padding": 0,
    "AES/CTR/NoPadding": 16,
    "DESede/CBC/NoPadding": 8,
    "DESede/CBC/PKCS5Padding": 8,
    "DESede/ECB/NoPadding": 0,
    "DESede/ECB/PKCS5Padding": 0,
}
"""Bytes of the IV."""
_AEAD = "AES/GCM/NoPadding"
_RSA = ("RSA/ECB/PKCS1Padding", "RSA/ECB/OAEPPadding", "RSA/ECB/OAEPWithSHA-512ANDMGF1Padding")
_PASSWORD = "strict-limits-1"

INVALID_KEY = "java.security.InvalidKeyException"
INVALID_PARAMETER = "java.security.InvalidAlgorithmParameterException"
WRONG_LENGTH = "javax.crypto.IllegalBlockSizeException"
PADDING = "javax.crypto.BadPaddingException"


def _raises(name: str, match: str | None = None) -> Any:
    return pytest.raises(jca.java(name), match=match)


def _iv(length: int) -> Any:
    return jca.java("javax.crypto.spec.IvParameterSpec")(bytes(length))


def _key(transformation: str) -> Any:
    return jca.secret_key("DESede", 192) if transformation.startswith("DESede") else jca.secret_key()


def _software(transformation: str) -> Any:
    algorithm = transformation.partition("/")[0]
    return jca.java("javax.crypto.spec.SecretKeySpec")(bytes(24), algorithm)


def _parameters(transformation: str) -> Any:
    if transformation == _AEAD:
        return jca.gcm_parameters(bytes(12))
    length = _BLOCKS[transformation]
    return _iv(length) if length else None


@pytest.mark.parametrize("name", [*_BLOCKS, _AEAD])
def test_keys_that_do_not_fit(hsm: HsmUnderTest, name: str) -> None:
    key, gone = _key(name), _key(name)
    gone.destroy()
    other = jca.secret_key("AES" if name.startswith("DESede") else "DESede", 192)
    before = hsm.hsm.status()
    wrong_ones = [JObject(None, "java.security.Key"), gone, other, _software(name), jca.secret_key("HmacSHA256", 256)]
    wrong_ones.append(jca.key_pair("RSA", 2048, "SunRsaSign").getPublic())
    for wrong in wrong_ones:
        for mode in ("encrypt", "decrypt"):
            with _raises(INVALID_KEY):
                jca.cipher(name, mode, wrong, _parameters(name))
    assert hsm.hsm.status()["keys"] == before["keys"] + 1
    cipher = jca.cipher(name, "encrypt", key, _parameters(name))
    key.destroy()
    with _raises("java.security.ProviderException"):
        cipher.doFinal(bytes(16))
    after = _key(name)
    assert jca.cipher(name, "encrypt", after, _parameters(name)).doFinal(bytes(16)) is not None


@pytest.mark.parametrize("name", _BLOCKS)
def test_ivs_that_do_not_fit(hsm: object, name: str) -> None:
    key, length = _key(name), _BLOCKS[name]
    for wrong in {0, 1, 8, 12, 15, 16, 17, 24} - {length}:
        for mode in ("encrypt", "decrypt"):
            with _raises(INVALID_PARAMETER):
                jca.cipher(name, mode, key, _iv(wrong))
    for mode in ("encrypt", "decrypt"):
        with _raises(INVALID_PARAMETER):
            jca.cipher(name, mode, key, jca.gcm_parameters(bytes(12)))
    if length:
        with _raises(INVALID_KEY):
            jca.cipher(name, "decrypt", key)
        cipher = jca.cipher(name, "encrypt", key)
        made = bytes(cipher.getIV())
        assert len(made) == length
        sealed = cipher.doFinal(bytes(32))
        reader = jca.cipher(name, "decrypt", key, jca.java("javax.crypto.spec.IvParameterSpec")(made))
        assert bytes(reader.doFinal(sealed)) == bytes(32)


@pytest.mark.parametrize("name", _BLOCKS)
def test_ciphertexts_that_are_cut(hsm: object, name: str) -> None:
    key, spec = _key(name), _parameters(name)
    sealed = bytes(jca.cipher(name, "encrypt", key, spec).doFinal(bytes(64)))
    reader = jca.cipher(name, "decrypt", key, spec)
    if "CTR" not in name:
        for cut in (1, 7, len(sealed) - 1):
            with _raises(WRONG_LENGTH):
                reader.doFinal(sealed[:cut])
            reader.update(sealed[:cut])
            with _raises(WRONG_LENGTH):
                reader.doFinal()
    assert bytes(reader.doFinal(sealed)) == bytes(64)


def test_gcm_ciphertexts_that_are_cut_or_changed(hsm: object) -> None:
    key = jca.secret_key()
    cipher = jca.cipher(_AEAD, "encrypt", key)
    cipher.updateAAD(b"bound")
    sealed = bytes(cipher.doFinal(b"some text"))
    reader = jca.cipher(_AEAD, "decrypt", key, jca.gcm_parameters(bytes(cipher.getIV())))
    for length in (0, 1, 15):
        with _raises("javax.crypto.AEADBadTagException"):
            reader.doFinal(sealed[:length])
    for wrong in (sealed[:16], sealed[:-1], sealed + b"\0", b"\0" + sealed):
        reader.updateAAD(b"bound")
        with _raises("javax.crypto.AEADBadTagException"):
            reader.doFinal(wrong)
    with _raises("javax.crypto.AEADBadTagException"):
        reader.doFinal(sealed)
    reader.updateAAD(b"bound")
    assert bytes(reader.doFinal(sealed)) == b"some text"


def test_gcm_parameters_that_do_not_fit(hsm: object) -> None:
    key = jca.secret_key()
    for bits in (96, 104, 112, 120):
        for mode in ("encrypt", "decrypt"):
            with _raises(INVALID_PARAMETER):
                jca.cipher(_AEAD, mode, key, jca.gcm_parameters(bytes(12), bits))
    with _raises(INVALID_PARAMETER):
        jca.cipher(_AEAD, "encrypt", key, _iv(12))
    with _raises(INVALID_KEY):
        jca.cipher(_AEAD, "decrypt", key)
    cipher = jca.cipher(_AEAD, "encrypt", key)
    cipher.update(b"data")
    with _raises("java.lang.IllegalStateException"):
        cipher.updateAAD(b"too late")
    assert bytes(cipher.doFinal())


@pytest.mark.parametrize("name", _RSA)
def test_rsa_keys_and_data_that_do_not_fit(hsm: object, name: str) -> None:
    pair, gone = jca.key_pair("RSA", 2048), jca.key_pair("RSA", 2048).getPrivate()
    gone.destroy()
    theirs, ec = jca.key_pair("RSA", 2048, "SunRsaSign"), jca.key_pair("EC", 256)
    no_key = JObject(None, "java.security.Key")
    for wrong in (no_key, gone, pair.getPublic(), theirs.getPrivate(), ec.getPrivate(), jca.secret_key()):
        with _raises(INVALID_KEY):
            jca.cipher(name, "decrypt", wrong)
    for wrong in (no_key, pair.getPrivate(), theirs.getPrivate(), ec.getPublic(), jca.secret_key()):
        with _raises(INVALID_KEY):
            jca.cipher(name, "encrypt", wrong)
    with _raises(INVALID_PARAMETER):
        jca.cipher(name, "encrypt", pair.getPublic(), _iv(16))
    cipher = jca.cipher(name, "encrypt", pair.getPublic())
    with _raises(WRONG_LENGTH):
        cipher.doFinal(bytes(257))
    sealed = bytes(cipher.doFinal(b"text"))
    reader = jca.cipher(name, "decrypt", pair.getPrivate())
    for wrong, raised in ((b"", PADDING), (sealed[:-1], PADDING), (sealed + b"\0", WRONG_LENGTH)):
        with _raises(raised):
            reader.doFinal(wrong)
    if "OAEP" in name:
        with _raises("javax.crypto.BadPaddingException"):
            reader.doFinal(bytes(256))
    assert bytes(reader.doFinal(sealed)) == b"text"


@pytest.mark.parametrize("name", [*_BLOCKS, _AEAD])
def test_a_buffer_that_is_too_short_loses_nothing(hsm: object, name: str) -> None:
    key = _key(name)
    cipher = jca.cipher(name, "encrypt", key, _parameters(name))
    plain = bytes(range(32))
    # 20 bytes are no whole number of blocks, so the cipher holds some of them when the call fails.
    sealed = bytes(cipher.update(plain[:20]) or b"")
    last, short, long = JArray(JByte)(plain[20:]), JArray(JByte)(1), JArray(JByte)(64)
    with _raises("javax.crypto.ShortBufferException"):
        cipher.doFinal(last, 0, 12, short, 0)
    length = cipher.doFinal(last, 0, 12, long, 0)
    sealed += bytes(long)[:length]
    spec = jca.gcm_parameters(bytes(cipher.getIV())) if name == _AEAD else _parameters(name)
    assert bytes(jca.cipher(name, "decrypt", key, spec).doFinal(sealed)) == plain


@pytest.fixture
def strict_hsm(hsm_jvm: None, tmp_path: Path) -> Iterator[Hsm]:
    """An HSM with CloudHSM's limits behind the JVM's provider."""
    admin_password = b"strict-admin-1"
    with Hsm.initialize(tmp_path / "hsm", admin_password=admin_password, settings=Settings(strict_limits=True)) as core:
        core.users.create(core.users.login("admin", admin_password, "admin"), USER, "crypto-user", _PASSWORD.encode())
        carrier = jvm.install(core)
        jvm.login(jvm.add_provider(), USER, _PASSWORD)
        yield core
        jvm.remove_provider()
        carrier.close()


@pytest.mark.parametrize(
    ("name", "limit"), [(_AEAD, 16_000), ("AES/CBC/NoPadding", 16_272), ("DESede/CBC/NoPadding", 16_280)]
)
def test_strict_limits_of_ciphers(strict_hsm: Hsm, name: str, limit: int) -> None:
    key, spec = _key(name), _parameters(name)
    cipher = jca.cipher(name, "encrypt", key, spec)
    for beyond in (limit + 16, 2_000_000):
        with _raises(WRONG_LENGTH, "strict limits"):
            cipher.doFinal(bytes(beyond))
    sealed = bytes(cipher.doFinal(bytes(limit)))
    if name == _AEAD:
        spec = jca.gcm_parameters(bytes(cipher.getIV()))
        cipher.update(bytes(limit))
        with _raises(WRONG_LENGTH, "strict limits"):
            cipher.doFinal(bytes(1))
    else:
        parts = bytes(cipher.update(bytes(limit))) + bytes(cipher.update(bytes(limit)) or b"") + bytes(cipher.doFinal())
        assert len(parts) == 2 * limit
    assert bytes(jca.cipher(name, "decrypt", key, spec).doFinal(sealed)) == bytes(limit)


def test_strict_limits_of_macs(strict_hsm: Hsm) -> None:
    mac = jca.java("javax.crypto.Mac").getInstance("HmacSHA256", jca.PROVIDER)
    mac.init(jca.secret_key("HmacSHA256", 256))
    for beyond in (16_289, 2_000_000):
        with _raises("java.security.ProviderException", "strict limits"):
            mac.doFinal(bytes(beyond))
        mac.reset()
    assert len(mac.doFinal(bytes(16_288))) == 32


_SHORT = "javax.crypto.ShortBufferException"


@pytest.mark.parametrize("name", [*_BLOCKS, _AEAD])
@pytest.mark.parametrize("updated", [0, 20])
def test_decryption_into_a_buffer_that_is_too_short_loses_nothing(hsm: object, name: str, updated: int) -> None:
    key, text = _key(name), bytes(range(64))
    writer = jca.cipher(name, "encrypt", key, _parameters(name))
    if name == _AEAD:
        writer.updateAAD(b"bound")
    sealed = bytes(writer.doFinal(text))
    spec = jca.gcm_parameters(bytes(writer.getIV())) if name == _AEAD else _parameters(name)
    reader = jca.cipher(name, "decrypt", key, spec)
    if name == _AEAD:
        reader.updateAAD(b"bound")
    first = bytes(reader.update(sealed[:updated]) or b"") if updated else b""
    rest = JArray(JByte)(sealed[updated:])
    for room in (0, 1, len(text) - len(first) - 1):
        with _raises(_SHORT):
            reader.doFinal(rest, 0, len(rest), JArray(JByte)(room), 0)
        assert reader.getOutputSize(len(rest)) >= len(text) - len(first)
    exact = JArray(JByte)(len(text) - len(first))
    assert reader.doFinal(rest, 0, len(rest), exact, 0) == len(exact)
    assert first + bytes(exact) == text


def test_a_result_that_is_held_is_for_the_same_input(hsm: object) -> None:
    name = "AES/CBC/PKCS5Padding"
    key, state = _key(name), "java.lang.IllegalStateException"
    sealed = bytes(jca.cipher(name, "encrypt", key, _iv(16)).doFinal(bytes(40)))
    reader = jca.cipher(name, "decrypt", key, _iv(16))
    reader.update(sealed[:16])
    rest = JArray(JByte)(sealed[16:])
    with _raises(_SHORT):
        reader.doFinal(rest, 0, len(rest), JArray(JByte)(39), 0)
    for call in (lambda: reader.update(bytes(16)), lambda: reader.doFinal(bytes(32))):
        with _raises(state, "a longer output"):
            call()
    assert bytes(reader.doFinal(rest)) == bytes(40)
    assert bytes(reader.doFinal(sealed)) == bytes(40)
    whole, other = JArray(JByte)(sealed), bytes(jca.cipher(name, "encrypt", key, _iv(16)).doFinal(b"other"))
    with _raises(_SHORT):
        reader.doFinal(whole, 0, len(whole), JArray(JByte)(39), 0)
    assert bytes(reader.doFinal(other)) == b"other"


def test_decrypting_nothing_with_padding_is_nothing(hsm: object) -> None:
    assert len(jca.cipher("AES/CBC/PKCS5Padding", "decrypt", jca.secret_key(), _iv(16)).doFinal()) == 0


@pytest.mark.parametrize("name", [*_RSA, "RSA/ECB/NoPadding"])
def test_rsa_asks_for_room_for_a_modulus_and_loses_nothing(hsm: object, name: str) -> None:
    pair = jca.key_pair("RSA", 2048)
    cipher = jca.cipher(name, "encrypt", pair.getPublic())
    text, long = JArray(JByte)(b"text"), JArray(JByte)(256)
    modes = [(cipher, text), (jca.cipher(name, "decrypt", pair.getPrivate()), JArray(JByte)(cipher.doFinal(text)))]
    for engine, data in modes:
        engine.update(data, 0, 2)
        with _raises(_SHORT):
            engine.doFinal(data, 2, len(data) - 2, JArray(JByte)(255), 0)
        length = engine.doFinal(data, 2, len(data) - 2, long, 0)
        assert length == (256 if engine is cipher or "NoPadding" in name else 4)
    assert bytes(long)[:length].lstrip(b"\0") == b"text"


def test_the_name_of_a_padding_is_whole(hsm: object) -> None:
    factory = jca.java("javax.crypto.Cipher")
    for padding in ("P", "PKCS1", "PKCS1Paddin", "PKCS1PaddingX"):
        with _raises("javax.crypto.NoSuchPaddingException"):
            factory.getInstance(f"RSA/ECB/{padding}", jca.PROVIDER)
    assert factory.getInstance("RSA/None/pkcs1PADDING", jca.PROVIDER) is not None


def test_keys_of_others_are_refused_for_what_was_asked(hsm: object) -> None:
    secret, pair = jca.java("javax.crypto.spec.SecretKeySpec")(bytes(32), "AES"), jca.key_pair("EC", 256, "SunEC")
    agreement = jca.java("javax.crypto.KeyAgreement").getInstance("ECDHwithX963SHA256KDF", jca.PROVIDER)
    for operation, call in {
        "cipher": lambda: jca.cipher("AES/CBC/NoPadding", "encrypt", secret),
        "mac": lambda: jca.mac("HmacSHA256", secret, b""),
        "signature": lambda: jca.sign("SHA256withECDSA", pair.getPrivate(), b""),
        "key agreement": lambda: agreement.init(pair.getPrivate()),
    }.items():
        with _raises(INVALID_KEY, f"Non CloudHsm key is not supported for this {operation} operation"):
            call()


def test_pkcs1_padding_that_is_wrong_is_not_told(hsm: object) -> None:
    """The result is the same each time, of any length, and not an exception: implicit rejection."""
    pair = jca.key_pair("RSA", 2048)
    results = {
        bytes(jca.cipher("RSA/ECB/PKCS1Padding", "decrypt", pair.getPrivate()).doFinal(bytes([0, *range(1, 256)])))
        for _ in range(3)
    }
    assert len(results) == 1
