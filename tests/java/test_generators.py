"""Key generators: every algorithm, size and form of initialisation, and what is refused at which moment."""

from __future__ import annotations

from typing import Any

import pytest

from tests import jca

_SECRETS = {
    "AES": ((128, 192, 256), 256),
    "DESede": ((168, 192), 192),
    "GenericSecret": ((8, 160, 6400), 256),
    "HmacSHA1": ((8, 192, 6400), 160),
    "HmacSHA224": ((224,), 224),
    "HmacSHA256": ((256,), 256),
    "HmacSHA384": ((384,), 384),
    "HmacSHA512": ((512,), 512),
}
"""Sizes in bits that each algorithm takes, and its default."""
_CURVES = {"secp224r1": 224, "secp256r1": 256, "secp256k1": 256, "secp384r1": 384, "secp521r1": 521}
_EXPONENT = b"\x01\0\x01"
_INVALID_PARAMETER = "java.security.InvalidParameterException"
_INVALID_ALGORITHM_PARAMETER = "java.security.InvalidAlgorithmParameterException"


def _secrets(algorithm: str) -> Any:
    return jca.java("javax.crypto.KeyGenerator").getInstance(algorithm, jca.PROVIDER)


def _pairs(algorithm: str) -> Any:
    return jca.java("java.security.KeyPairGenerator").getInstance(algorithm, jca.PROVIDER)


def _curve(name: str) -> bytes:
    constant = {"secp256k1": "EC_CURVE_SECP256"}.get(name) or f"EC_CURVE_PRIME{_CURVES[name]}"
    return bytes(getattr(jca.java("com.amazonaws.cloudhsm.jce.provider.attributes.EcParams"), constant))


def _records(hsm: Any, **attributes: object) -> list[Any]:
    return [record.attributes for record in hsm.hsm.keys.find(hsm.session, attributes)]


@pytest.mark.parametrize("algorithm", _SECRETS)
def test_secret_keys_of_every_size(hsm: Any, algorithm: str) -> None:
    sizes, default = _SECRETS[algorithm]
    for bits in sizes:
        for label, spec in (
            (f"bits {bits}", bits),
            (f"map {bits}", jca.attribute_map(SIZE=bits, LABEL=f"map {bits}", TOKEN=True)),
        ):
            generator = _secrets(algorithm)
            generator.init(spec)
            key = generator.generateKey()
            assert key.getAlgorithm() == algorithm
            if label.startswith("map"):
                (record,) = _records(hsm, LABEL=label)
                assert record["SIZE"] == max(bits, 192 if algorithm == "DESede" else 0)
                assert record["LOCAL"] is True
    for spec in (None, jca.attribute_map(LABEL="default", TOKEN=True), jca.attribute_map()):
        generator = _secrets(algorithm)
        if spec is not None:
            generator.init(spec, None)
        generator.generateKey()
    assert {record["SIZE"] for record in _records(hsm, LABEL="default")} == {default}


@pytest.mark.parametrize("algorithm", _SECRETS)
def test_secret_keys_that_are_refused_at_init(hsm: Any, algorithm: str) -> None:
    generator = _secrets(algorithm)
    for bits in (0, -8, 7, 12, 6408):
        with pytest.raises(jca.java(_INVALID_PARAMETER)):
            generator.init(bits)
        with pytest.raises(jca.java(_INVALID_ALGORITHM_PARAMETER)):
            generator.init(jca.attribute_map(SIZE=bits))
    with pytest.raises(jca.java(_INVALID_ALGORITHM_PARAMETER)):
        generator.init(jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16)))
    assert hsm.hsm.status()["keys"] == 0
    assert generator.generateKey() is not None


def test_attributes_that_do_not_fit_are_refused_at_generation(hsm: Any) -> None:
    for algorithm, wishes in (
        ("AES", {"LABEL": "x" * 128}),
        ("AES", {"LOCAL": True}),
        ("AES", {"KEY_TYPE": "DESEDE"}),
        ("AES", {"VALUE": bytes(32)}),
        ("GenericSecret", {"WRAP": True}),
        ("HmacSHA256", {"ENCRYPT": True}),
    ):
        generator = _secrets(algorithm)
        generator.init(jca.attribute_map(**wishes))
        with pytest.raises(jca.java(_INVALID_PARAMETER)):
            generator.generateKey()
    assert hsm.hsm.status()["keys"] == 0


@pytest.mark.parametrize("bits", [*range(2048, 2817, 256), 4096])
def test_rsa_pairs_by_size(hsm: object, bits: int) -> None:
    public = jca.key_pair("RSA", bits).getPublic()
    assert public.getModulus().bitLength() == bits
    assert public.getPublicExponent().intValue() == 65537


def test_rsa_pairs_by_specification_and_default(hsm: Any) -> None:
    generator = _pairs("RSA")
    assert generator.generateKeyPair().getPublic().getModulus().bitLength() == 2048
    exponent = jca.java("java.math.BigInteger").valueOf(65537)
    generator.initialize(jca.java("java.security.spec.RSAKeyGenParameterSpec")(2304, exponent))
    assert generator.generateKeyPair().getPublic().getModulus().bitLength() == 2304
    public = jca.attribute_map(MODULUS_BITS=2048, PUBLIC_EXPONENT=b"\0" + _EXPONENT, LABEL="key:Public", TOKEN=True)
    generator.initialize(jca.pair_map(public, jca.attribute_map(LABEL="key:Private", TOKEN=True, SIGN=False)))
    generator.generateKeyPair()
    assert [record["VERIFY"] for record in _records(hsm, LABEL="key:Public")] == [True]
    assert [record["SIGN"] for record in _records(hsm, LABEL="key:Private")] == [False]


@pytest.mark.parametrize("curve", _CURVES)
def test_ec_pairs_on_every_curve(hsm: Any, curve: str) -> None:
    generator = _pairs("EC")
    specs = [
        jca.java("java.security.spec.ECGenParameterSpec")(curve),
        jca.pair_map(jca.attribute_map(EC_PARAMS=_curve(curve)), jca.attribute_map(LABEL="private only", TOKEN=True)),
    ]
    for spec in specs:
        generator.initialize(spec)
        pair = generator.generateKeyPair()
        assert pair.getPublic().getParams().getOrder().bitLength() == _CURVES[curve]
        assert jca.verify(
            "SHA256withECDSA", pair.getPublic(), b"x", jca.sign("SHA256withECDSA", pair.getPrivate(), b"x")
        )
    generator.initialize(jca.pair_map(jca.attribute_map(EC_PARAMS=pair.getPublic().getParams()), jca.attribute_map()))
    assert generator.generateKeyPair().getPublic().getParams().getOrder().bitLength() == _CURVES[curve]
    assert _records(hsm, LABEL="private only")


@pytest.mark.parametrize("name", ["P-256", "p-384", "prime256v1", "1.2.840.10045.3.1.7", "NIST P-384", "SECP384R1"])
def test_other_names_of_curves(hsm: object, name: str) -> None:
    assert jca.key_pair("EC", name).getPublic().getParams().getOrder().bitLength() in (256, 384)


@pytest.mark.parametrize("bits", [224, 256, 384, 521])
def test_ec_pairs_by_size(hsm: object, bits: int) -> None:
    assert jca.key_pair("EC", bits).getPublic().getParams().getOrder().bitLength() == bits


def test_the_default_ec_pair_is_on_p256(hsm: object) -> None:
    assert _pairs("EC").generateKeyPair().getPublic().getParams().getOrder().bitLength() == 256


def test_pairs_that_are_refused_when_initialised(hsm: Any) -> None:
    number = jca.java("java.math.BigInteger")
    rsa_spec = jca.java("java.security.spec.RSAKeyGenParameterSpec")
    named = jca.java("java.security.spec.ECGenParameterSpec")
    empty = jca.attribute_map()
    refused: dict[str, list[Any]] = {
        "RSA": [
            None,
            named("secp256r1"),
            jca.attribute_map(MODULUS_BITS=2048),
            rsa_spec(1024, number.valueOf(65537)),
            rsa_spec(2048, number.valueOf(3)),
            jca.pair_map(empty, empty),
            jca.pair_map(jca.attribute_map(MODULUS_BITS=2048), empty),
            jca.pair_map(jca.attribute_map(PUBLIC_EXPONENT=_EXPONENT), empty),
            jca.pair_map(jca.attribute_map(MODULUS_BITS=2049, PUBLIC_EXPONENT=_EXPONENT), empty),
            jca.pair_map(jca.attribute_map(MODULUS_BITS=2048, PUBLIC_EXPONENT=b"\x11"), empty),
        ],
        "EC": [
            None,
            named("secp192r1"),
            named("brainpoolP256r1"),
            named("no such curve"),
            rsa_spec(2048, number.valueOf(65537)),
            jca.pair_map(empty, empty),
            jca.pair_map(empty, jca.attribute_map(EC_PARAMS=_curve("secp256r1"))),
            jca.pair_map(jca.attribute_map(EC_PARAMS=b"\x06\x01\x01"), empty),
        ],
    }
    for algorithm, specs in refused.items():
        generator = _pairs(algorithm)
        for spec in specs:
            with pytest.raises(jca.java(_INVALID_ALGORITHM_PARAMETER)):
                generator.initialize(jca.java("java.security.spec.AlgorithmParameterSpec") @ spec)
        for bits in (-1, 0, 192, 255, 1024, 8192):
            with pytest.raises(jca.java(_INVALID_PARAMETER)):
                generator.initialize(bits)
    assert hsm.hsm.status()["keys"] == 0
    assert _pairs("EC").generateKeyPair() is not None


def test_pair_attributes_that_are_refused_at_generation(hsm: Any) -> None:
    public = {"MODULUS_BITS": 2048, "PUBLIC_EXPONENT": _EXPONENT}
    for public_wishes, private_wishes in (
        ({"SIGN": True}, {}),
        ({}, {"VERIFY": True}),
        ({}, {"LABEL": "x" * 128}),
        ({}, {"MODULUS_BITS": 2048}),
        ({"KEY_TYPE": "EC"}, {}),
    ):
        generator = _pairs("RSA")
        generator.initialize(
            jca.pair_map(jca.attribute_map(**public, **public_wishes), jca.attribute_map(**private_wishes))
        )
        with pytest.raises(jca.java(_INVALID_PARAMETER)):
            generator.generateKeyPair()
    assert hsm.hsm.status()["keys"] == 0
