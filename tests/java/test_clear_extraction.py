"""Key material in the clear: only where the HSM's setting, the key's attributes and the client all allow it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.pytest_plugin import fresh_hsm, provider_of
from hsmcore.settings import Settings
from tests import jca

_PASSWORD = "clear-pass-1"


@pytest.fixture
def clear(hsm_jvm: None, tmp_path: Path) -> Iterator[Any]:
    """The provider of an HSM that was made with clear key extraction."""
    settings = Settings(clear_key_extraction=True)
    with fresh_hsm(tmp_path / "hsm", _PASSWORD, settings) as core, provider_of(core, _PASSWORD) as provider:
        yield provider


def _rsa(**private: object) -> Any:
    public = jca.attribute_map(MODULUS_BITS=2048, PUBLIC_EXPONENT=b"\x01\x00\x01")
    generator = jca.java("java.security.KeyPairGenerator").getInstance("RSA", jca.PROVIDER)
    generator.initialize(jca.pair_map(public, jca.attribute_map(**private)))
    return generator.generateKeyPair()


def test_an_rsa_key_tells_every_part(clear: object) -> None:
    pair = _rsa(LABEL="open")
    private = pair.getPrivate()
    assert private.getFormat() == "PKCS#8"
    spec = jca.java("java.security.spec.PKCS8EncodedKeySpec")(private.getEncoded())
    judge = jca.java("java.security.KeyFactory").getInstance("RSA", "SunRsaSign").generatePrivate(spec)
    for getter in ("getModulus", "getPublicExponent", *jca.RSA_SECRETS):
        assert getattr(private, getter)() == getattr(judge, getter)(), getter
    signed = jca.sign("SHA256withRSA", judge, b"text", None)
    assert jca.verify("SHA256withRSA", pair.getPublic(), b"text", signed)


@pytest.mark.parametrize("attribute", ["EXTRACTABLE", "WRAP_WITH_TRUSTED"])
def test_the_attributes_close_it_again(clear: object, attribute: str) -> None:
    private = _rsa(**{attribute: attribute == "WRAP_WITH_TRUSTED"}).getPrivate()
    assert private.getEncoded() is None
    assert private.getFormat() is None
    assert [getattr(private, getter)() for getter in jca.RSA_SECRETS] == [None] * len(jca.RSA_SECRETS)
    secret = jca.generated("AES", SIZE=128, **{attribute: attribute == "WRAP_WITH_TRUSTED"})
    assert secret.getEncoded() is None
    assert secret.getFormat() is None


def test_secret_keys_are_raw_bytes(clear: object) -> None:
    key = jca.generated("AES", SIZE=256)
    assert key.getFormat() == "RAW"
    assert len(key.getEncoded()) == 32
    key.destroy()
    assert key.getEncoded() is None


def test_an_imported_ec_key_tells_its_value(clear: object) -> None:
    software = jca.key_pair("EC", 256, None).getPrivate()
    factory = jca.java("java.security.KeyFactory").getInstance("EC", jca.PROVIDER)
    imported = factory.generatePrivate(jca.java("java.security.spec.PKCS8EncodedKeySpec")(software.getEncoded()))
    assert imported.getS() == software.getS()
    assert imported.getParams().getOrder() == software.getParams().getOrder()


def test_an_imported_ec_key_is_opaque_by_default(hsm: object) -> None:
    software = jca.key_pair("EC", 256, None).getPrivate()
    factory = jca.java("java.security.KeyFactory").getInstance("EC", jca.PROVIDER)
    imported = factory.generatePrivate(jca.java("java.security.spec.PKCS8EncodedKeySpec")(software.getEncoded()))
    assert isinstance(imported, jca.java("java.security.interfaces.ECPrivateKey"))
    assert imported.getS() is None
    assert imported.getEncoded() is None
    assert jca.sign("SHA256withECDSA", imported, b"text")


def test_an_ed25519_key_tells_its_bytes(clear: object) -> None:
    generator = jca.java("java.security.KeyPairGenerator").getInstance("Ed25519", jca.PROVIDER)
    private = generator.generateKeyPair().getPrivate()
    spec = jca.java("java.security.spec.PKCS8EncodedKeySpec")(private.getEncoded())
    judge = jca.java("java.security.KeyFactory").getInstance("Ed25519", "SunEC").generatePrivate(spec)
    assert bytes(private.getBytes().get()) == bytes(judge.getBytes().get())
