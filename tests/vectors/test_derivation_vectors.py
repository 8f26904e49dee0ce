"""MAC, key derivation and key agreement vectors through the JCA, by what the derived keys do beside the JDK's.

The JCA gives no access to what a derivation starts from where that never leaves the HSM: the vectors of the X9.63 KDF
alone, whose input is a shared secret, are run against its primitive.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest

from hsmcore.primitives.derivation import x963_kdf
from hsmcore.primitives.parameters import hash_named
from tests import jca
from tests.vectors import keys, nist

_API = "com.amazonaws.cloudhsm.jce.provider"
_CURVES = {"EB": "secp224r1", "EC": "secp256r1", "ED": "secp384r1", "EE": "secp521r1"}
_PRFS = {"CMAC_AES128", "CMAC_AES192", "CMAC_AES256"}


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_cmac(hsm: object, counted: Counter[str], bits: int) -> None:
    for case in nist.records(f"CMAC/nist-800-38b-aes{bits}.txt", "output"):
        key = jca.factory("AES").generateSecret(jca.attribute_map(VALUE=bytes.fromhex(case["key"])))
        assert jca.mac("AESCMAC", key, bytes.fromhex(case["message"])).hex() == case["output"]
        counted["CMAC"] += 1


@pytest.mark.parametrize("name", ["rfc-2202-sha1", *(f"rfc-4231-sha{bits}" for bits in (224, 256, 384, 512))])
def test_hmac_of_published_keys(hsm: object, counted: Counter[str], name: str) -> None:
    algorithm = f"HmacSHA{name.rpartition('sha')[2]}"
    for case in nist.records(f"HMAC/{name}.txt", "md"):
        key = jca.factory(algorithm).generateSecret(jca.attribute_map(VALUE=bytes.fromhex(case["key"])))
        assert jca.mac(algorithm, key, bytes.fromhex(case["msg"])).hex().startswith(case["md"])
        counted["HMAC"] += 1


def _fixed_input(case: dict[str, str]) -> tuple[bytes, bytes]:
    """Return what stands before and after the counter."""
    if case["ctrlocation"] == "MIDDLE_FIXED":
        return bytes.fromhex(case["databeforectrdata"]), bytes.fromhex(case["dataafterctrdata"])
    data = bytes.fromhex(case["fixedinputdata"])
    return (b"", data) if case["ctrlocation"] == "BEFORE_FIXED" else (data, b"")


def test_cmac_kdf_in_counter_mode(hsm: object, counted: Counter[str], left_out: Counter[str]) -> None:
    for case in nist.records("KDF/nist-800-108-KBKDF-CTR.txt", "ko"):
        if case["prf"] not in _PRFS:
            left_out["KBKDF with HMAC"] += 1
            continue
        base = jca.factory("AES").generateSecret(jca.attribute_map(VALUE=bytes.fromhex(case["ki"]), DERIVE=True))
        width = int(case["rlen"].removesuffix("_BITS"))
        fixed = jca.java(f"{_API}.AesCmacKdfFixedInputData")(width, *_fixed_input(case))
        wanted = jca.attribute_map(SIZE=int(case["l"]))
        key = jca.factory("GenericSecret").generateSecret(
            jca.java(f"{_API}.AesCmacKdfParameterSpec")(wanted, fixed, base)
        )
        assert jca.is_secret(key, bytes.fromhex(case["ko"]))
        counted["KBKDF"] += 1
        for each in (key, base):
            each.destroy()


@pytest.mark.parametrize("role", ["init", "resp"])
def test_ecdh_with_the_kdf(hsm: object, counted: Counter[str], left_out: Counter[str], role: str) -> None:
    """The published secret is run through the KDF outside the HSM; the HSM must come to the same key."""
    for case in nist.records(f"asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax", "result"):
        curve, _, digest = case["section"].partition(" - ")
        if curve not in _CURVES:
            left_out["curve not in the HSM"] += 1
            continue
        expected = hashlib.new(digest.lower(), bytes.fromhex(case["z"]) + b"\0\0\0\1").digest()[:16]
        assert _agrees(_CURVES[curve], digest, case, expected) == (case["result"].split()[0] == "P")
        counted["ECDH"] += 1


def _public(curve: str, case: dict[str, str], side: str, provider: str) -> Any:
    point = jca.java("java.security.spec.ECPoint")(keys.number(case[f"{side}x"]), keys.number(case[f"{side}y"]))
    spec = jca.java("java.security.spec.ECPublicKeySpec")(point, keys.ec_parameters(curve))
    return jca.java("java.security.KeyFactory").getInstance("EC", provider).generatePublic(spec)


def _agrees(curve: str, digest: str, case: dict[str, str], expected: bytes) -> bool:
    """Tell whether the HSM takes both keys, whose own side is a pair, and agrees on the published secret."""
    factory = jca.java("java.security.KeyFactory").getInstance("EC", jca.PROVIDER)
    own = {"EC_PARAMS": keys.ec_parameters(curve), "VALUE": bytes.fromhex(case["dsiut"])}
    agreement = jca.java("javax.crypto.KeyAgreement").getInstance(f"ECDHwithX963{digest}KDF", jca.PROVIDER)
    try:
        private = factory.generatePrivate(jca.attribute_map(**own, DERIVE=True))
        public = _public(curve, case, "qsiut", jca.PROVIDER)
        if not jca.verify("SHA256withECDSA", public, b"x", jca.sign("SHA256withECDSA", private, b"x")):
            return False
        agreement.init(private, jca.attribute_map(SIZE=128))
        agreement.doPhase(_public(curve, case, "qscavs", "SunEC"), True)
        return jca.is_secret(agreement.generateSecret("AES"), expected)
    except (jca.java("java.security.spec.InvalidKeySpecException"), jca.java("java.security.InvalidKeyException")):
        return False


def test_x963_kdf_of_published_secrets(counted: Counter[str]) -> None:
    for case in nist.records("KDF/ansx963_2001.txt", "key_data"):
        inputs = (bytes.fromhex(case["z"]), bytes.fromhex(case["sharedinfo"]), int(case["key data length"]) // 8)
        assert x963_kdf(hash_named(case["section"]), *inputs).hex() == case["key_data"]
        counted["X9.63 KDF, primitive"] += 1
