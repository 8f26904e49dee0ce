"""Secret keys imported through SecretKeyFactory, judged by what SunJCE does with the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

from tests import jca

_MATERIAL = {"AES": bytes(range(32)), "DESede": bytes(range(24))}
_HMACS = ("HmacSHA1", "HmacSHA224", "HmacSHA256", "HmacSHA384", "HmacSHA512")
_ALGORITHMS = ("AES", "DESede", "GenericSecret", *_HMACS)
_TYPES = {"AES": "AES", "DESede": "DESEDE"}


def _material(algorithm: str) -> bytes:
    return _MATERIAL.get(algorithm, b"a secret of any length")


def _software(material: bytes, algorithm: str) -> Any:
    return jca.java("javax.crypto.spec.SecretKeySpec")(material, algorithm)


@pytest.mark.parametrize("algorithm", _ALGORITHMS)
def test_a_map_imports_with_its_attributes(hsm: Any, algorithm: str) -> None:
    material = _material(algorithm)
    key = jca.factory(algorithm).generateSecret(
        jca.attribute_map(VALUE=material, LABEL="mine", TOKEN=True, EXTRACTABLE=False, SIZE=8 * len(material))
    )
    assert key.getAlgorithm() == algorithm
    assert key.getEncoded() is key.getFormat() is None
    assert isinstance(key, jca.java("javax.crypto.SecretKey"))
    assert jca.is_secret(key, material)
    (record,) = hsm.hsm.keys.find(hsm.session, {"LABEL": "mine"})
    wanted = {"TOKEN": True, "EXTRACTABLE": False, "LOCAL": False, "SIZE": 8 * len(material)}
    assert {name: record.attributes[name] for name in wanted} == wanted
    assert record.attributes["KEY_TYPE"] == _TYPES.get(algorithm, "GENERIC_SECRET")


@pytest.mark.parametrize("algorithm", _ALGORITHMS)
def test_a_specification_and_a_foreign_key_import_with_default_attributes(hsm: object, algorithm: str) -> None:
    factory, material = jca.factory(algorithm), _material(algorithm)
    software = _software(material, algorithm)
    for key in (factory.generateSecret(software), factory.translateKey(software)):
        assert key.getAlgorithm() == algorithm
        assert jca.is_secret(key, material)
        assert factory.translateKey(key).equals(key)


def test_des_key_specifications(hsm: object) -> None:
    spec = jca.java("javax.crypto.spec.DESedeKeySpec")(_MATERIAL["DESede"])
    assert jca.is_secret(jca.factory("DESede").generateSecret(spec), _MATERIAL["DESede"])


@pytest.mark.parametrize("algorithm", _HMACS)
def test_imported_keys_make_macs(hsm: object, algorithm: str) -> None:
    key = jca.factory(algorithm).generateSecret(_software(b"key", algorithm))
    assert jca.mac(algorithm, key, b"data") == jca.mac(algorithm, _software(b"key", algorithm), b"data", "SunJCE")


def test_what_is_no_key_is_an_invalid_key_specification(hsm: Any) -> None:
    invalid = jca.java("java.security.spec.InvalidKeySpecException")
    before = hsm.hsm.status()["keys"]
    aes = {"VALUE": bytes(16)}
    cases = [
        ("AES", _software(bytes(15), "AES")),
        ("AES", _software(bytes(24 + 1), "AES")),
        ("DESede", _software(bytes(16), "DESede")),
        ("GenericSecret", _software(bytes(3584), "GenericSecret")),
        ("AES", None),
        ("AES", jca.java("java.security.spec.X509EncodedKeySpec")(bytes(10))),
        ("AES", jca.attribute_map(LABEL="no value")),
        ("AES", jca.attribute_map(**aes, SIZE=256)),
        ("AES", jca.attribute_map(**aes, KEY_TYPE="DESEDE")),
        ("AES", jca.attribute_map(**aes, OBJECT_CLASS="PRIVATE_KEY")),
        ("AES", jca.attribute_map(**aes, MODULUS=bytes(16))),
        ("AES", jca.attribute_map(**aes, LABEL="x" * 128)),
        ("AES", jca.attribute_map(**aes, LOCAL=True)),
        ("GenericSecret", jca.attribute_map(VALUE=b"secret", WRAP=True)),
        ("GenericSecret", jca.attribute_map(VALUE=b"")),
    ]
    for algorithm, spec in cases:
        with pytest.raises(invalid):
            jca.factory(algorithm).generateSecret(spec)
    assert hsm.hsm.status()["keys"] == before
    assert jca.factory("AES").generateSecret(jca.attribute_map(**aes))


def test_what_cannot_be_translated_is_an_invalid_key(hsm: object) -> None:
    opaque = jca.java("javax.crypto.spec.SecretKeySpec")(bytes(5), "AES")
    for key in (None, opaque):
        with pytest.raises(jca.java("java.security.InvalidKeyException")):
            jca.factory("AES").translateKey(key)


def test_get_key_spec_gives_what_may_leave(hsm: object) -> None:
    invalid = jca.java("java.security.spec.InvalidKeySpecException")
    factory = jca.factory("DESede")
    spec, des = (jca.class_of(f"javax.crypto.spec.{name}") for name in ("SecretKeySpec", "DESedeKeySpec"))
    hidden = factory.generateSecret(_software(_MATERIAL["DESede"], "DESede"))
    software = _software(_MATERIAL["DESede"], "DESede")
    for key, wanted in (
        (hidden, spec),
        (None, spec),
        (software, jca.class_of("java.security.spec.X509EncodedKeySpec")),
    ):
        with pytest.raises(invalid):
            factory.getKeySpec(key, wanted)
    assert bytes(factory.getKeySpec(software, spec).getEncoded()) == _MATERIAL["DESede"]
    assert bytes(factory.getKeySpec(software, des).getKey()) == _MATERIAL["DESede"]


def test_long_hmac_keys_are_kept_and_not_used(hsm: object) -> None:
    key = jca.factory("HmacSHA256").generateSecret(_software(bytes(801), "HmacSHA256"))
    with pytest.raises(jca.java("java.security.InvalidKeyException"), match="6400"):
        jca.mac("HmacSHA256", key, b"data")
    used = jca.factory("HmacSHA256").generateSecret(_software(bytes(800), "HmacSHA256"))
    assert len(jca.mac("HmacSHA256", used, b"data")) == 32
