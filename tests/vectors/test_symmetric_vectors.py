"""AES and HMAC vectors of NIST and the RFCs, through the JCA."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.jca import java
from tests.vectors import keys, nist

_TDES_FILES = ("permop", "subtab", "vartext", "varkey", "invperm", "MMT1", "MMT2", "MMT3")
_CAVP_FILES = ("GFSbox", "KeySbox", "VarKey", "VarTxt", "MMT")


@pytest.fixture(scope="module", autouse=True)
def _variants_that_the_reference_has_not(left_out: Counter[str]) -> None:
    left_out["DESede in interleaved CBC"] += nist.cases("ciphers/3DES/CBC/TCBCI*")


@pytest.mark.parametrize("mode", ["CBC", "ECB"])
@pytest.mark.parametrize("name", _CAVP_FILES)
@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_block_modes(hsm: object, counted: Counter[str], mode: str, name: str, bits: int) -> None:
    encrypting = True
    for case in nist.records(f"ciphers/AES/{mode}/{mode}{name}{bits}.rsp", "ciphertext"):
        if case["section"] != "ENCRYPT":
            break
        _check(f"AES/{mode}/NoPadding", case, bytes.fromhex(case["key"]), encrypting, counted)
    for case in nist.records(f"ciphers/AES/{mode}/{mode}{name}{bits}.rsp", "plaintext"):
        if case["section"] == "DECRYPT":
            _check(f"AES/{mode}/NoPadding", case, bytes.fromhex(case["key"]), not encrypting, counted)


@pytest.mark.parametrize("mode", ["CBC", "ECB"])
@pytest.mark.parametrize("name", _TDES_FILES)
def test_desede_block_modes(hsm: object, counted: Counter[str], mode: str, name: str) -> None:
    """A single key of these files stands for all three parts."""
    closings = {"ENCRYPT": "ciphertext", "DECRYPT": "plaintext"}
    for section, closing in closings.items():
        for case in nist.records(f"ciphers/3DES/{mode}/T{mode}{name}.rsp", closing):
            if case["section"] == section:
                parts = [case["keys"]] * 3 if "keys" in case else [case[f"key{part}"] for part in (1, 2, 3)]
                key = bytes.fromhex("".join(parts))
                _check(f"DESede/{mode}/NoPadding", case, key, section == "ENCRYPT", counted)


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_ctr(hsm: object, counted: Counter[str], bits: int) -> None:
    for case in nist.records(f"ciphers/AES/CTR/aes-{bits}-ctr.txt", "ciphertext"):
        for encrypting in (True, False):
            _check("AES/CTR/NoPadding", case, bytes.fromhex(case["key"]), encrypting, counted)


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_gcm_decryption(hsm: object, counted: Counter[str], left_out: Counter[str], bits: int) -> None:
    bad_tag = java("javax.crypto.AEADBadTagException")
    for case in nist.decryptions(f"ciphers/AES/GCM/gcmDecrypt{bits}.rsp", "PT"):
        if (case["ivlen"], case["taglen"]) != ("96", "128"):
            left_out["GCM with another IV than 96 or tag than 128 bits"] += 1
            continue
        key = keys.secret_key("AES", bytes.fromhex(case["key"]))
        parameters = java("javax.crypto.spec.GCMParameterSpec")(128, bytes.fromhex(case["iv"]))
        sealed, aad = bytes.fromhex(case["ct"] + case["tag"]), bytes.fromhex(case["aad"])
        counted["AES-GCM"] += 1
        if "pt" in case:
            assert keys.crypt("AES/GCM/NoPadding", False, key, sealed, parameters, aad).hex() == case["pt"]
        else:
            with pytest.raises(bad_tag):
                keys.crypt("AES/GCM/NoPadding", False, key, sealed, parameters, aad)
        key.destroy()


@pytest.mark.parametrize(
    ("path", "algorithm"),
    [("rfc-2202-sha1", "HmacSHA1")] + [(f"rfc-4231-sha{n}", f"HmacSHA{n}") for n in (224, 256, 384, 512)],
)
def test_hmac(hsm: object, counted: Counter[str], path: str, algorithm: str) -> None:
    for case in nist.records(f"HMAC/{path}.txt", "md"):
        key = keys.secret_key(algorithm, bytes.fromhex(case["key"]))
        mac = java("javax.crypto.Mac").getInstance(algorithm, keys.PROVIDER)
        mac.init(key)
        mac.update(bytes.fromhex(case["msg"]))
        assert bytes(mac.doFinal()).hex() == case["md"].lower()
        counted["HMAC"] += 1


def _check(transformation: str, case: dict[str, str], material: bytes, encrypting: bool, counted: Counter[str]) -> None:
    algorithm = transformation.partition("/")[0]
    key = keys.secret_key(algorithm, material)
    parameters = None
    if "iv" in case:
        parameters = java("javax.crypto.spec.IvParameterSpec")(bytes.fromhex(case["iv"]))
    given, wanted = (case["plaintext"], case["ciphertext"])[:: 1 if encrypting else -1]
    assert keys.crypt(transformation, encrypting, key, bytes.fromhex(given), parameters).hex() == wanted.lower()
    counted[algorithm] += 1
    key.destroy()
