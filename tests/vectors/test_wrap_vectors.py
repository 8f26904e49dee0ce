"""AES key wrap vectors of NIST, RFC 5649 and Botan, through ``Cipher.wrap`` and ``Cipher.unwrap``."""

from __future__ import annotations

import hmac
from collections import Counter
from typing import Any

import pytest

from tests.conftest import repeated
from tests.jca import cipher, java
from tests.vectors import keys, nist

_FOLDER = "keywrap/kwtestvectors"
_TRANSFORMATIONS = {"KW": "AESWrap/ECB/NoPadding", "KWP": "AESWrap/ECB/ZeroPadding"}
_SECRET = 3


@pytest.fixture(scope="module", autouse=True)
def _variants_that_the_reference_has_not(left_out: Counter[str]) -> None:
    left_out["key wrap with the inverse cipher function"] += nist.cases(f"{_FOLDER}/KW*_inv.txt")
    left_out["key wrap with triple DES"] += nist.cases(f"{_FOLDER}/TKW*_inv.txt")


def _unwrap(transformation: str, kek: Any, wrapped: str) -> bytes:
    """Unwrap, and return the key's HMAC of nothing, which shows what it is."""
    key = cipher(transformation, "unwrap", kek).unwrap(bytes.fromhex(wrapped), "HmacSHA256", _SECRET)
    mac = java("javax.crypto.Mac").getInstance("HmacSHA256", keys.PROVIDER)
    mac.init(key)
    return bytes(mac.doFinal())


def _mac(material: str) -> bytes:
    return hmac.digest(bytes.fromhex(material), b"", "sha256")


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("family", _TRANSFORMATIONS)
def test_wrapping(hsm: object, counted: Counter[str], family: str, bits: int) -> None:
    name = _TRANSFORMATIONS[family]
    for case in nist.records(f"{_FOLDER}/{family}_AE_{bits}.txt", "c"):
        kek = keys.session_secret(bytes.fromhex(case["k"]), "AES")
        target = keys.session_secret(bytes.fromhex(case["p"]), "HmacSHA256")
        assert bytes(cipher(name, "wrap", kek).wrap(target)).hex() == case["c"]
        counted[family] += 1


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("family", _TRANSFORMATIONS)
def test_unwrapping(hsm: object, counted: Counter[str], family: str, bits: int) -> None:
    name = _TRANSFORMATIONS[family]
    refused = 0
    for case in nist.decryptions(f"{_FOLDER}/{family}_AD_{bits}.txt", "P"):
        kek = keys.session_secret(bytes.fromhex(case["k"]), "AES")
        counted[family] += 1
        if "p" in case:
            assert _unwrap(name, kek, case["c"]) == _mac(case["p"])
            continue
        refused += 1
        with pytest.raises(java("java.security.InvalidKeyException")):
            _unwrap(name, kek, case["c"])
    assert refused >= repeated(5, 50)


def test_the_examples_of_rfc_5649_and_of_botan(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records("keywrap/kwp_botan.txt", "output"):
        kek = keys.session_secret(bytes.fromhex(case["key"]), "AES")
        target = keys.session_secret(bytes.fromhex(case["input"]), "HmacSHA256")
        assert bytes(cipher(_TRANSFORMATIONS["KWP"], "wrap", kek).wrap(target)).hex() == case["output"].lower()
        assert _unwrap(_TRANSFORMATIONS["KWP"], kek, case["output"]) == _mac(case["input"])
        counted["KWP"] += 1
