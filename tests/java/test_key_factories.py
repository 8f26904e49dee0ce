"""Key pairs imported through KeyFactory, from every specification, judged by the JDK's own providers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import jca
from tests.vectors.keys import ec_parameters

_CURVES = ("secp224r1", "secp256r1", "secp256k1", "secp384r1", "secp521r1")
_CRT = {
    "MODULUS": "getModulus",
    "PUBLIC_EXPONENT": "getPublicExponent",
    "PRIVATE_EXPONENT": "getPrivateExponent",
    "PRIME_P": "getPrimeP",
    "PRIME_Q": "getPrimeQ",
    "PRIME_EXPONENT_P": "getPrimeExponentP",
    "PRIME_EXPONENT_Q": "getPrimeExponentQ",
    "CRT_COEFFICIENT": "getCrtCoefficient",
}


def _factory(kind: str, provider: str | None = jca.PROVIDER) -> Any:
    factory = jca.java("java.security.KeyFactory")
    return factory.getInstance(kind, provider) if provider else factory.getInstance(kind)


def _spec(name: str, *values: Any) -> Any:
    return jca.java(f"java.security.spec.{name}")(*values)


def _rsa_numbers(key: Any) -> dict[str, bytes]:
    return {name: bytes(getattr(key, getter)().toByteArray()) for name, getter in _CRT.items()}


def _rsa_specs(pair: Any) -> Iterator[tuple[Any, Any]]:
    """Yield specifications of the private and the public half, in each form."""
    private, public = pair.getPrivate(), pair.getPublic()
    numbers = _rsa_numbers(private)
    yield _spec("PKCS8EncodedKeySpec", private.getEncoded()), _spec("X509EncodedKeySpec", public.getEncoded())
    yield (
        _spec("RSAPrivateCrtKeySpec", *(getattr(private, getter)() for getter in _CRT.values())),
        _spec("RSAPublicKeySpec", public.getModulus(), public.getPublicExponent()),
    )
    public_numbers = {name: numbers[name] for name in ("MODULUS", "PUBLIC_EXPONENT")}
    yield (
        jca.attribute_map(**numbers, LABEL="private", TOKEN=True),
        jca.attribute_map(**public_numbers, LABEL="public", TOKEN=True),
    )
    without_zeros = {name: value.lstrip(b"\0") for name, value in numbers.items()}
    yield (
        jca.attribute_map(**without_zeros, KEY_TYPE="RSA", OBJECT_CLASS="PRIVATE_KEY"),
        jca.attribute_map(MODULUS=without_zeros["MODULUS"], PUBLIC_EXPONENT=b"\0\x01\0\x01"),
    )


def _ec_specs(pair: Any) -> Iterator[tuple[Any, Any]]:
    private, public = pair.getPrivate(), pair.getPublic()
    value, point = private.getS(), public.getW()
    yield _spec("PKCS8EncodedKeySpec", private.getEncoded()), _spec("X509EncodedKeySpec", public.getEncoded())
    for curve in (private.getParams(), _foreign(private.getParams())):
        yield _spec("ECPrivateKeySpec", value, curve), _spec("ECPublicKeySpec", point, curve)
        yield (
            jca.attribute_map(EC_PARAMS=curve, VALUE=bytes(value.toByteArray()), LABEL="private", TOKEN=True),
            jca.attribute_map(EC_PARAMS=curve, EC_POINT=point, LABEL="public", TOKEN=True),
        )
    oid = bytes(_encoded_curve(private.getParams()))
    for padding in (b"", b"\0", b"\0\0\0"):
        material = padding + bytes(value.toByteArray()).lstrip(b"\0")
        yield (
            jca.attribute_map(EC_PARAMS=oid, VALUE=material),
            jca.attribute_map(EC_PARAMS=oid, EC_POINT=point),
        )


def _foreign(curve: Any) -> Any:
    """Return the curve as numbers without a name, as another library's parameters are."""
    plain = _spec("EllipticCurve", curve.getCurve().getField(), curve.getCurve().getA(), curve.getCurve().getB())
    return _spec("ECParameterSpec", plain, curve.getGenerator(), curve.getOrder(), curve.getCofactor())


def _encoded_curve(curve: Any) -> Any:
    parameters = jca.java("java.security.AlgorithmParameters").getInstance("EC")
    parameters.init(curve)
    return parameters.getEncoded()


def _agree(kind: str, pair: Any, private: Any, public: Any) -> None:
    algorithm = f"SHA256with{'RSA' if kind == 'RSA' else 'ECDSA'}"
    signed = jca.sign(algorithm, private, b"text")
    assert jca.verify(algorithm, public, b"text", signed)
    assert jca.verify(algorithm, pair.getPublic(), b"text", signed, None)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_every_specification_imports_both_halves(hsm: Any, kind: str) -> None:
    pair = jca.key_pair(kind, 2048 if kind == "RSA" else 256, None)
    factory = _factory(kind)
    for private_spec, public_spec in (_rsa_specs if kind == "RSA" else _ec_specs)(pair):
        private, public = factory.generatePrivate(private_spec), factory.generatePublic(public_spec)
        _agree(kind, pair, private, public)
        assert public.equals(pair.getPublic())
        assert private.getEncoded() is None
    assert len(hsm.hsm.keys.find(hsm.session, {"LABEL": "private"})) >= 1
    assert len(hsm.hsm.keys.find(hsm.session, {"LABEL": "public"})) >= 1


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_any_key_translates(hsm: object, kind: str) -> None:
    pair = jca.key_pair(kind, 2048 if kind == "RSA" else 256, None)
    factory = _factory(kind)
    private, public = factory.translateKey(pair.getPrivate()), factory.translateKey(pair.getPublic())
    _agree(kind, pair, private, public)
    assert factory.translateKey(private).equals(private)
    assert factory.translateKey(public).equals(public)
    for wrong in (None, jca.key_pair("DSA", 2048, None).getPublic()):
        with pytest.raises(jca.java("java.security.InvalidKeyException")):
            factory.translateKey(wrong)


@pytest.mark.parametrize("curve", _CURVES)
def test_curves_are_known_by_their_numbers(hsm: Any, curve: str) -> None:
    made = jca.key_pair("EC", curve)
    spec = _spec("ECPublicKeySpec", made.getPublic().getW(), _foreign(ec_parameters(curve)))
    assert _factory("EC").generatePublic(spec).equals(made.getPublic())
    value = jca.java("java.math.BigInteger")("12345")
    private = _factory("EC").generatePrivate(_spec("ECPrivateKeySpec", value, _foreign(ec_parameters(curve))))
    assert private.getParams().getOrder().equals(ec_parameters(curve).getOrder())
    assert jca.sign("SHA256withECDSA", private, b"text")


def test_attributes_of_an_import_hold(hsm: Any) -> None:
    pair = jca.key_pair("EC", 256, None)
    key = _factory("EC").generatePrivate(
        jca.attribute_map(
            EC_PARAMS=pair.getPrivate().getParams(), VALUE=bytes(pair.getPrivate().getS().toByteArray()),
            LABEL="kept", TOKEN=True, SIGN=False, DERIVE=True, EXTRACTABLE=False,
        )
    )  # fmt: skip
    (record,) = hsm.hsm.keys.find(hsm.session, {"LABEL": "kept"})
    wanted = {"TOKEN": True, "SIGN": False, "DERIVE": True, "EXTRACTABLE": False, "LOCAL": False}
    assert {name: record.attributes[name] for name in wanted} == wanted
    with pytest.raises(jca.java("java.security.InvalidKeyException"), match="SIGN"):
        jca.sign("SHA256withECDSA", key, b"text")


def _no_rsa_keys() -> Iterator[tuple[str, Any]]:
    pair = jca.key_pair("RSA", 2048, None)
    numbers = _rsa_numbers(pair.getPrivate())
    for name in numbers:
        yield "private", jca.attribute_map(**{other: value for other, value in numbers.items() if other != name})
    yield "private", jca.attribute_map(**numbers | {"PRIME_P": numbers["PRIME_Q"]})
    yield "private", jca.attribute_map(**numbers, KEY_TYPE="EC")
    yield "private", jca.attribute_map(**numbers, OBJECT_CLASS="PUBLIC_KEY")
    yield "private", jca.attribute_map(**numbers, VERIFY=True)
    yield "private", _spec("RSAPrivateKeySpec", pair.getPrivate().getModulus(), pair.getPrivate().getPrivateExponent())
    yield "private", _spec("X509EncodedKeySpec", pair.getPublic().getEncoded())
    yield "public", _spec("PKCS8EncodedKeySpec", pair.getPrivate().getEncoded())
    yield "public", jca.attribute_map(MODULUS=numbers["MODULUS"])
    yield "public", jca.attribute_map(MODULUS=numbers["MODULUS"], PUBLIC_EXPONENT=b"\x03")
    small = jca.key_pair("RSA", 1024, None)
    yield "public", _spec("X509EncodedKeySpec", small.getPublic().getEncoded())
    yield "private", _spec("PKCS8EncodedKeySpec", small.getPrivate().getEncoded())
    yield "public", _spec("X509EncodedKeySpec", jca.key_pair("EC", 256, None).getPublic().getEncoded())


def _no_ec_keys() -> Iterator[tuple[str, Any]]:
    pair = jca.key_pair("EC", 256, None)
    curve, point = pair.getPublic().getParams(), pair.getPublic().getW()
    number = jca.java("java.math.BigInteger")
    off = _spec("ECPoint", point.getAffineX(), point.getAffineY().add(number.ONE))
    yield "public", _spec("ECPublicKeySpec", off, curve)
    yield "public", jca.attribute_map(EC_PARAMS=curve, EC_POINT=off)
    yield "public", jca.attribute_map(EC_PARAMS=curve)
    yield "public", jca.attribute_map(EC_POINT=point)
    yield "public", jca.attribute_map(EC_PARAMS=b"\x06\x01\x01", EC_POINT=point)
    yield "public", jca.attribute_map(EC_PARAMS=b"", EC_POINT=point)
    yield "public", jca.attribute_map(EC_PARAMS=curve, EC_POINT=point, SIGN=True)
    yield "public", jca.attribute_map(EC_PARAMS=curve, EC_POINT=jca.java("java.security.spec.ECPoint").POINT_INFINITY)
    yield "public", jca.attribute_map(EC_PARAMS=curve, EC_POINT=b"\x04")
    for value in (number.ZERO, number("-5"), curve.getOrder(), curve.getOrder().shiftLeft(8).add(number.ONE)):
        yield "private", _spec("ECPrivateKeySpec", value, curve)
    for material in (b"", b"\0", bytes(32), b"\xff" * 32, b"\x01" * 33):
        yield "private", jca.attribute_map(EC_PARAMS=curve, VALUE=material)
    yield "private", jca.attribute_map(VALUE=b"\x01")
    yield "private", jca.attribute_map(EC_PARAMS=curve)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_what_is_no_key_is_an_invalid_key_specification(hsm: Any, kind: str) -> None:
    factory = _factory(kind)
    before = hsm.hsm.status()["keys"]
    common = [(half, spec) for half in ("private", "public") for spec in (None, jca.attribute_map(LABEL="nothing"))]
    garbage = [("private", _spec("PKCS8EncodedKeySpec", b"garbage")), ("public", _spec("X509EncodedKeySpec", b""))]
    for half, spec in [*common, *garbage, *(_no_rsa_keys if kind == "RSA" else _no_ec_keys)()]:
        generate = factory.generatePrivate if half == "private" else factory.generatePublic
        with pytest.raises(jca.java("java.security.spec.InvalidKeySpecException")):
            generate(spec)
    assert hsm.hsm.status()["keys"] == before


def test_get_key_spec_gives_what_may_leave(hsm: object) -> None:
    pair, factory = jca.key_pair("EC", 256), _factory("EC")
    public = factory.getKeySpec(pair.getPublic(), jca.class_of("java.security.spec.ECPublicKeySpec"))
    assert public.getW().equals(pair.getPublic().getW())
    pkcs8 = jca.class_of("java.security.spec.PKCS8EncodedKeySpec")
    for key in (pair.getPrivate(), None):
        with pytest.raises(jca.java("java.security.spec.InvalidKeySpecException")):
            factory.getKeySpec(key, pkcs8)
