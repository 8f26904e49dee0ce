"""Cipher, Mac, Signature and KeyFactory against the JDK's own providers: the same calls give the same outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jpype import JClass

from bridge.pytest_plugin import HsmUnderTest
from tests import jca, jdk
from tests.conftest import Tally, alike

_SOURCES = Path(__file__).with_name("patterns")
_SECRETS = {"AES": bytes(range(32)), "DESede": bytes.fromhex("0123456789abcdef23456789abcdef01456789abcdef0123")}
_MAC_KEY = bytes(range(40))


@dataclass(frozen=True)
class Deviation:
    """Cells that come out differently: patterns of their names, of our outcome and of the JDK's, and why."""

    cells: str
    ours: str
    theirs: str
    reason: str

    def allows(self, cell: str, ours: str, theirs: str) -> bool:
        """Tell whether this row is about the difference."""
        return bool(re.search(self.cells, cell) and re.search(self.ours, ours) and re.search(self.theirs, theirs))


_NO_TAG, _SHORT = "!AEADBadTagException", "!ShortBufferException"
# fmt: off
DEVIATIONS = tuple(Deviation(*row) for row in (
    ("^AES/GCM.* encrypt .*update", "^update=(0|some) ", "update", "all of a ciphertext comes out at doFinal"),
    ("^AES/GCM.* encrypt .*doFinal twice", "^doFinal=some doFinal=some", "!IllegalState", "each has an IV of its own"),
    ("^AES/GCM.* encrypt: parameters", "parameters=null", "parameters=GCM", "the HSM chooses the IV at doFinal"),
    ("^AES/GCM.* decrypt ", _NO_TAG, f"!ProviderException|{_SHORT}", "JDK 17, less than a tag; JDK 25 is like us"),
    ("^AES/GCM.* decrypt given .* of [A-Z_]+ into", f"{_SHORT}.*{_NO_TAG}", _NO_TAG, "first the room, then the tag"),
    ("^AES/GCM.* decrypt sealed .*update and doFinal in place", r"^update=0 doFinal=(\d+) out=\1:",
     r"^update=0 doFinal(=(\d+) out=\2:|!AEADBadTag)", "the JDK decrypts wrongly over its own input"),
    ("^RSA/ECB/PKCS1.* decrypt given 256", "doFinal=", "!BadPadding", "implicit rejection does not tell wrong padding"),
    ("^RSASSA-PSS: .*PSS of MD5", "setParameter!Invalid", "setParameter=null", "the HSM has no MD5"),
    ("^RSASSA-PSS: .*PSS of two", "setParameter!Invalid", "", "MGF1 has the hash of the message"),
    ("^RSASSA-PSS: .*PSS of no hash", "initSign=null", "initSign!Provider", "SunRsaSign keeps what it refused"),
    ("^RSASSA-PSS: .*mid-message", "!ProviderException verify=true", "verify=false", "it keeps what it refused"),
    (r"^NONEwithECDSA \d{2,}", "SignatureException", "stopped=", "SunEC refuses long data earlier, or by an index"),
    ("^SHA.*withECDSA: verify", "verify, after=true", "verify, after=false", "SunEC is not reset after a bad encoding"),
    ("^Ed25519 0: ", "verify=true", "verify=false", "JDK 17 never verifies a message of nothing without update"),
    ("^Ed25519: verify", "verify=false verify, after=true", "", "JDK 17 takes longer ones; others do not reset it"),
    ("^Ed25519: .*with a hash", "!InvalidAlgorithmParameter", "", "the HSM has no Ed25519ph"),
    ("^Ed25519: .*mid-message", "!ProviderException", "!InvalidParameter", "one class for every algorithm"),
    ("getKeySpec, .*KeySpec$", "private!InvalidKeySpec", "private=", "a private key does not leave the HSM"),
    ("getKeySpec, null", "public!InvalidKeySpec", "public!NullPointer", "the exception that the method declares"),
    ("^EC: .*point off the curve", "!InvalidKeySpec", "=", "the HSM takes no key that is none"),
))
# fmt: on
"""Differences that are right. A row that nothing needs any more is an error on Java 17, the model's oldest release."""
_used: set[Deviation] = set()


@pytest.fixture(scope="module")
def patterns(hsm_jvm: None) -> Any:
    """Return the class loader of the drivers."""
    folder = jdk.classes(_SOURCES)
    return JClass("java.net.URLClassLoader")([JClass("java.io.File")(str(folder)).toURI().toURL()])


def _comparison(patterns: Any, provider: str) -> Any:
    """Return a comparison with the JDK's provider of that name, with the same keys on both sides."""
    pairs = {"RSA": jca.key_pair("RSA", 2048, "SunRsaSign"), "EC": jca.key_pair("EC", "secp256r1", "SunEC")}
    pairs["Ed25519"] = _generator("Ed25519").generateKeyPair()
    secrets = {name: _secret(material, name) for name, material in _SECRETS.items()}
    secrets["HMAC"] = _secret(_MAC_KEY, "HmacSHA256")
    imported = {}
    for name, key in secrets.items():
        imported[name] = jca.factory("HmacSHA256" if name == "HMAC" else name).translateKey(key)
    own = {}
    for name, pair in pairs.items():
        factory = JClass("java.security.KeyFactory").getInstance(name, jca.PROVIDER)
        halves = (factory.translateKey(pair.getPublic()), factory.translateKey(pair.getPrivate()))
        own[name] = JClass("java.security.KeyPair")(*halves)
    side = JClass("Comparison$Side", loader=patterns)
    ours = side(jca.PROVIDER, _map(imported), _map(own))
    return JClass("Comparison", loader=patterns)(ours, side(provider, _map(secrets), _map(pairs)))


def _generator(name: str) -> Any:
    return JClass("java.security.KeyPairGenerator").getInstance(name, "SunEC")


def _secret(material: bytes, name: str) -> Any:
    return JClass("javax.crypto.spec.SecretKeySpec")(material, name)


def _map(values: dict[str, Any]) -> Any:
    made = JClass("java.util.HashMap")()
    for name, value in values.items():
        made.put(name, value)
    return made


def _check(comparison: Any, tally: Any) -> None:
    """Fail with the cells that differ and are in no row of the table."""
    tally["cells"] += int(comparison.cells())
    wrong = []
    for each in comparison.differences():
        name, ours, theirs = str(each.cell()), str(each.ours()), str(each.theirs())
        rows = {row for row in DEVIATIONS if row.allows(name, ours, theirs)}
        _used.update(rows)
        tally["deviations"] += bool(rows)
        if not rows:
            wrong.append(f"{name}\n    ours   {ours}\n    theirs {theirs}")
    assert not wrong, f"{len(wrong)} of {comparison.cells()} cells\n" + "\n".join(wrong[:400])


@pytest.fixture
def counted(tally: Tally) -> Any:
    """Return the counts of this module."""
    return tally("call patterns compared with the JDK")


_TESTS = 30
"""How many tests this module has."""
_CIPHERS = {
    "AES/CBC/NoPadding": 16, "AES/CBC/PKCS5Padding": 16, "AES/ECB/NoPadding": 0, "AES/ECB/PKCS5Padding": 0,
    "AES/CTR/NoPadding": 16, "DESede/CBC/NoPadding": 8, "DESede/CBC/PKCS5Padding": 8, "DESede/ECB/NoPadding": 0,
    "DESede/ECB/PKCS5Padding": 0, "AES/GCM/NoPadding": 12, "RSA/ECB/PKCS1Padding": 0, "RSA/ECB/OAEPPadding": 0,
    "RSA/ECB/NoPadding": 0,
}  # fmt: skip
"""Bytes of the IV."""


_ALIKE = (
    "AES/CBC/NoPadding", "AES/ECB/PKCS5Padding", "DESede/CBC/NoPadding", "DESede/ECB/NoPadding",
    "DESede/ECB/PKCS5Padding",
)  # fmt: skip
"""Ciphers that differ little from others: a quick run leaves them out."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in _ALIKE else name for name in _CIPHERS]
)
def test_ciphers(hsm: HsmUnderTest, patterns: Any, counted: Any, name: str) -> None:
    iv = bytes(range(_CIPHERS[name]))
    spec = jca.gcm_parameters(iv) if "GCM" in name else JClass("javax.crypto.spec.IvParameterSpec")(iv) if iv else None
    comparison = _comparison(patterns, "SunJCE")
    for encrypts in (True, False):
        JClass("CipherPatterns", loader=patterns).run(comparison, name, encrypts, spec)
    _check(comparison, counted)


@pytest.mark.parametrize("name", alike(["HmacSHA256", "HmacSHA1", "HmacSHA224", "HmacSHA384", "HmacSHA512"]))
def test_macs(hsm: HsmUnderTest, patterns: Any, counted: Any, name: str) -> None:
    comparison = _comparison(patterns, "SunJCE")
    JClass("OtherPatterns", loader=patterns).mac(comparison, name)
    _check(comparison, counted)


@pytest.mark.parametrize(
    ("name", "provider", "pair"),
    [
        pytest.param("SHA1withRSA", "SunRsaSign", "RSA", marks=pytest.mark.long),
        ("SHA256withRSA", "SunRsaSign", "RSA"),
        pytest.param("SHA512withRSA", "SunRsaSign", "RSA", marks=pytest.mark.long),
        ("RSASSA-PSS", "SunRsaSign", "RSA"),
        ("SHA256withECDSA", "SunEC", "EC"),
        pytest.param("SHA384withECDSA", "SunEC", "EC", marks=pytest.mark.long),
        ("SHA256withECDSAinP1363Format", "SunEC", "EC"),
        ("NONEwithECDSA", "SunEC", "EC"),
        ("Ed25519", "SunEC", "Ed25519"),
    ],
)
def test_signatures(hsm: HsmUnderTest, patterns: Any, counted: Any, name: str, provider: str, pair: str) -> None:
    comparison = _comparison(patterns, provider)
    fixed = "withRSA" in name or name == "Ed25519"
    pss = jca.pss("SHA-256", 32) if name == "RSASSA-PSS" else None
    JClass("OtherPatterns", loader=patterns).signature(comparison, name, pair, fixed, pss)
    _check(comparison, counted)


@pytest.mark.parametrize(("name", "provider"), [("RSA", "SunRsaSign"), ("EC", "SunEC")])
def test_key_factories(hsm: HsmUnderTest, patterns: Any, counted: Any, name: str, provider: str) -> None:
    comparison = _comparison(patterns, provider)
    JClass("OtherPatterns", loader=patterns).keyFactory(comparison, name)
    _check(comparison, counted)


@pytest.mark.long
def test_every_deviation_is_needed(hsm_jvm: None, request: pytest.FixtureRequest) -> None:
    java = int(JClass("java.lang.Runtime").version().feature())
    if java != 17 or sum(item.path == request.path for item in request.session.items) < _TESTS:
        pytest.skip("the table is that of Java 17, for all tests of this module")
    assert not [row.cells for row in DEVIATIONS if row not in _used]
