"""RSA and ECDSA vectors of NIST, through the JCA. Keys that the HSM does not take are left out, and counted."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest

from tests.jca import java
from tests.vectors import keys, nist

_RSA = "asymmetric/RSA"
_CURVES = {"P-224": "secp224r1", "P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}
_OAEP = {"SHA-1": "pkcs-1v2-1d2-vec/oaep-vect.txt"} | {
    f"SHA-{bits}": f"oaep-custom/oaep-sha{bits}-sha{bits}.txt" for bits in (224, 256, 384, 512)
}


def _taken(case: dict[str, str], left_out: Counter[str]) -> bool:
    """Tell whether the HSM takes the RSA key (FIPS 186-5 5.1: 2048 bits, an exponent above 2 to the 16)."""
    if int(case["mod"]) < 2048:
        left_out["RSA key below 2048 bits"] += 1
    elif int(case["e"], 16) < 65537:
        left_out["RSA public exponent below 65537"] += 1
    else:
        return True
    return False


def _signature(case: dict[str, str]) -> bytes:
    return bytes.fromhex(case["s"]).rjust(int(case["mod"]) // 8, b"\0")


def test_rsa_pkcs1_verification(hsm: object, counted: Counter[str], left_out: Counter[str]) -> None:
    for case in nist.records(f"{_RSA}/FIPS_186-2/SigVer15_186-3.rsp", "result"):
        if _taken(case, left_out):
            key = keys.rsa_public(case["n"], case["e"])
            valid = keys.verify(f"{case['shaalg']}withRSA", key, bytes.fromhex(case["msg"]), _signature(case))
            assert valid == case["result"].startswith("P")
            counted["RSA"] += 1


def test_rsa_pss_verification(hsm: object, counted: Counter[str], left_out: Counter[str]) -> None:
    for case in nist.records(f"{_RSA}/FIPS_186-2/SigVerPSS_186-3.rsp", "result"):
        if _taken(case, left_out):
            key = keys.rsa_public(case["n"], case["e"])
            digest = case["shaalg"].replace("SHA", "SHA-")
            mgf = java("java.security.spec.MGF1ParameterSpec")(digest)
            salt = len(bytes.fromhex(case["saltval"])) if case["saltval"] != "00" else 0
            parameters = java("java.security.spec.PSSParameterSpec")(digest, "MGF1", mgf, salt, 1)
            valid = keys.verify("RSASSA-PSS", key, bytes.fromhex(case["msg"]), _signature(case), parameters)
            assert valid == case["result"].startswith("P")
            counted["RSA"] += 1


@pytest.mark.parametrize("digest", _OAEP)
def test_rsa_oaep_decryption(hsm: object, counted: Counter[str], left_out: Counter[str], digest: str) -> None:
    for case in nist.rsa_examples(f"{_RSA}/{_OAEP[digest]}"):
        if int(case["modulus"], 16).bit_length() < 2048:
            left_out["RSA key below 2048 bits"] += 1
            continue
        key = keys.rsa_private(case)
        name = f"RSA/ECB/OAEPWith{digest}AndMGF1Padding"
        sealed = bytes.fromhex(case["encryption"])
        assert keys.crypt(name, False, key, sealed).hex() == case["message"]
        counted["RSA"] += 1
        with pytest.raises(java("javax.crypto.BadPaddingException")):
            keys.crypt(name, False, key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        key.destroy()


def test_rsa_pkcs1_decryption(hsm: object, counted: Counter[str], left_out: Counter[str]) -> None:
    for case in nist.rsa_examples(f"{_RSA}/pkcs1v15crypt-vectors.txt"):
        if int(case["modulus"], 16).bit_length() < 2048:
            left_out["RSA key below 2048 bits"] += 1
            continue
        key, sealed = keys.rsa_private(case), bytes.fromhex(case["encryption"])
        assert keys.crypt("RSA/ECB/PKCS1Padding", False, key, sealed).hex() == case["message"]
        counted["RSA"] += 1
        key.destroy()


def test_rsa_oaep_with_a_label(hsm: object, counted: Counter[str]) -> None:
    (case,) = nist.records(f"{_RSA}/oaep-label.txt", "output")
    encoded = java("java.security.spec.PKCS8EncodedKeySpec")(bytes.fromhex(case["key"]))
    key = java("java.security.KeyFactory").getInstance("RSA", keys.PROVIDER).generatePrivate(encoded)
    digest = case["oaepdigest"].replace("SHA", "SHA-")
    label = java("javax.crypto.spec.PSource$PSpecified")(bytes.fromhex(case["oaeplabel"]))
    mgf = java("java.security.spec.MGF1ParameterSpec")(digest)
    parameters = java("javax.crypto.spec.OAEPParameterSpec")(digest, "MGF1", mgf, label)
    name, sealed = f"RSA/ECB/OAEPWith{digest}AndMGF1Padding", bytes.fromhex(case["input"])
    assert keys.crypt(name, False, key, sealed, parameters) == case["output"].strip('"').encode()
    counted["RSA"] += 1
    with pytest.raises(java("javax.crypto.BadPaddingException")):
        keys.crypt(name, False, key, sealed)


def test_rsa_oaep_with_two_hashes_is_refused(hsm: object, left_out: Counter[str]) -> None:
    """The reference pairs OAEP's hash with MGF1 over the same one: such a key use is refused when it begins."""
    default = java("javax.crypto.spec.PSource$PSpecified").DEFAULT
    for digest, mgf in permutations(_OAEP, 2):
        file = f"oaep-{digest}-{mgf}.txt".lower().replace("sha-", "sha")
        examples = nist.rsa_examples(f"{_RSA}/oaep-custom/{file}")
        cases = [case for case in examples if int(case["modulus"], 16).bit_length() >= 2048]
        spec = java("javax.crypto.spec.OAEPParameterSpec")(
            digest, "MGF1", java("java.security.spec.MGF1ParameterSpec")(mgf), default
        )
        key = keys.rsa_private(cases[0])
        with pytest.raises(java("java.security.InvalidAlgorithmParameterException")):
            keys.crypt(f"RSA/ECB/OAEPWith{digest}AndMGF1Padding", False, key, b"", spec)
        key.destroy()
        left_out["OAEP and MGF1 with two hashes"] += len(cases)


def test_ecdsa_verification(hsm: object, counted: Counter[str], left_out: Counter[str]) -> None:
    for case in nist.records("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "result"):
        curve, _, digest = case["section"].partition(",")
        if curve in _CURVES:
            expected = case["result"].startswith("P")
            assert _verifies(_CURVES[curve], digest, case) == expected
            counted["ECDSA"] += 1
        else:
            left_out["curve not in the HSM"] += 1


def test_ecdsa_verification_on_secp256k1(hsm: object, counted: Counter[str]) -> None:
    for case in nist.records("asymmetric/ECDSA/SECP256K1/SigGen.txt", "s"):
        assert _verifies("secp256k1", case["section"].partition(",")[2], case)
        counted["ECDSA"] += 1


def _verifies(curve: str, digest: str, case: dict[str, str]) -> bool:
    """Verify in raw form (r followed by s, each as long as the order), which needs no ASN.1 from the test."""
    size = (int(curve[4:7]) + 7) // 8
    signature = b"".join(int(case[part], 16).to_bytes(size, "big") for part in ("r", "s"))
    try:
        key = keys.ec_public(curve, case["qx"], case["qy"])
    except java("java.security.spec.InvalidKeySpecException"):
        return False
    name = digest.replace("-", "")
    return keys.verify(f"{name}withECDSAinP1363Format", key, bytes.fromhex(case["msg"]), signature)
