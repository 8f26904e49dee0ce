"""RSA and ECDSA vectors of NIST, through the JCA. Sizes and curves that the HSM does not have are left out."""

from __future__ import annotations

from collections import Counter

import jca
import nist
import pytest

_RSA = "asymmetric/RSA"
_CURVES = {"P-224": "secp224r1", "P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}
_OAEP = ("sha1", "sha224", "sha256", "sha384", "sha512")


def _supported(case: dict[str, str]) -> bool:
    return int(case["mod"]) >= 2048


def _signature(case: dict[str, str]) -> bytes:
    return bytes.fromhex(case["s"]).rjust(int(case["mod"]) // 8, b"\0")


def test_rsa_pkcs1_verification(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records(f"{_RSA}/FIPS_186-2/SigVer15_186-3.rsp", "result"):
        if _supported(case):
            key = jca.rsa_public(case["n"], case["e"])
            valid = jca.verify(f"{case['shaalg']}withRSA", key, bytes.fromhex(case["msg"]), _signature(case))
            assert valid == case["result"].startswith("P")
            counted["RSA"] += 1


def test_rsa_pss_verification(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records(f"{_RSA}/FIPS_186-2/SigVerPSS_186-3.rsp", "result"):
        if _supported(case):
            key = jca.rsa_public(case["n"], case["e"])
            digest = case["shaalg"].replace("SHA", "SHA-")
            mgf = jca.java("java.security.spec.MGF1ParameterSpec")(digest)
            salt = len(bytes.fromhex(case["saltval"])) if case["saltval"] != "00" else 0
            parameters = jca.java("java.security.spec.PSSParameterSpec")(digest, "MGF1", mgf, salt, 1)
            valid = jca.verify("RSASSA-PSS", key, bytes.fromhex(case["msg"]), _signature(case), parameters)
            assert valid == case["result"].startswith("P")
            counted["RSA"] += 1


@pytest.mark.parametrize("name", _OAEP)
def test_rsa_oaep_decryption(hsm: object, counted: Counter[str], name: str) -> None:
    digest = name.upper().replace("SHA", "SHA-")
    for case in nist.oaep_examples(f"{_RSA}/oaep-custom/oaep-{name}-{name}.txt"):
        if number_of_bits(case["modulus"]) < 2048:
            continue
        key = jca.rsa_private(case)
        plain = jca.crypt(f"RSA/ECB/OAEPWith{digest}AndMGF1Padding", False, key, bytes.fromhex(case["encryption"]))
        assert plain.hex() == case["message"]
        counted["RSA"] += 1
        key.destroy()


def test_ecdsa_verification(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "result"):
        curve, _, digest = case["section"].partition(",")
        if curve in _CURVES:
            expected = case["result"].startswith("P")
            assert _verifies(_CURVES[curve], digest, case) == expected
            counted["ECDSA"] += 1


def test_ecdsa_verification_on_secp256k1(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records("asymmetric/ECDSA/SECP256K1/SigGen.txt", "s"):
        assert _verifies("secp256k1", case["section"].partition(",")[2], case)
        counted["ECDSA"] += 1


def number_of_bits(hexadecimal: str) -> int:
    """Return the length of a number in bits."""
    return int(hexadecimal, 16).bit_length()


def _verifies(curve: str, digest: str, case: dict[str, str]) -> bool:
    """Verify in raw form (r followed by s, each as long as the order), which needs no ASN.1 from the test."""
    size = (int(curve[4:7]) + 7) // 8
    signature = b"".join(bytes.fromhex(case[part]).rjust(size, b"\0") for part in ("r", "s"))
    try:
        key = jca.ec_public(curve, case["qx"], case["qy"])
    except jca.java("java.security.spec.InvalidKeySpecException"):
        return False
    name = digest.replace("-", "")
    return jca.verify(f"{name}withECDSAinP1363Format", key, bytes.fromhex(case["msg"]), signature)
