"""Keys of every type and size: generated, imported, refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_public_key,
)

from hsmcore.errors import (
    AttributeInvalid,
    HsmError,
    KeyMaterialInvalid,
    KeySizeInvalid,
    MechanismInvalid,
)
from tests.hsmcore.conftest import CURVES, Site
from tests.hsmcore.making import CURVE_TYPES, SECRET_SIZES, ec_key, pkcs8, public_info, rsa_key, take_pair, take_secret

_SECRET_CASES = [(kind, size) for kind, sizes in SECRET_SIZES.items() for size in sizes]


def _refused(site: Site, kind: type[HsmError], call: Callable[[], object]) -> None:
    """Check that the call fails with this error and makes no key."""
    before = site.hsm.keys.find(site.user, {})
    with pytest.raises(kind):
        call()
    assert site.hsm.keys.find(site.user, {}) == before


@pytest.mark.parametrize(("kind", "size"), _SECRET_CASES)
def test_secret_keys_are_generated(open_site: Site, kind: str, size: int) -> None:
    hsm, user = open_site.hsm, open_site.user
    keys = [hsm.keys.generate(user, f"{kind}_KEY_GEN", {"SIZE": size}) for _ in range(2)]
    values = [hsm.keys.clear_value(user, key.handle) for key in keys]
    assert [len(value or b"") * 8 for value in values] == [size, size]
    assert size == 8 or values[0] != values[1]
    for key in keys:
        facts = key.attributes
        found = facts["OBJECT_CLASS"], facts["KEY_TYPE"], facts["SIZE"], facts["LOCAL"]
        assert found == ("SECRET_KEY", kind, size, True)
        assert 0 < key.handle < 2**63
        assert key.public_key_info is None
    if kind == "DESEDE":
        assert all(byte.bit_count() % 2 for byte in values[0] or b"")


@pytest.mark.parametrize(
    ("kind", "size"),
    [("AES", size) for size in (0, -8, 64, 129, 512)]
    + [("DESEDE", size) for size in (0, 64, 112, 128, 256)]
    + [("GENERIC_SECRET", size) for size in (0, -8, 7, 12, 6408, 2**62)],
)
def test_secret_sizes_out_of_range(site: Site, kind: str, size: int) -> None:
    _refused(site, KeySizeInvalid, lambda: site.hsm.keys.generate(site.user, f"{kind}_KEY_GEN", {"SIZE": size}))


@pytest.mark.parametrize("bits", [2048, 2304, 3072])
def test_rsa_pairs(site: Site, bits: int) -> None:
    public, private = site.hsm.keys.generate_pair(site.user, "RSA_KEY_PAIR_GEN", {"MODULUS_BITS": bits}, {})
    key = load_der_public_key(public.public_key_info or b"")
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, key.public_numbers().e) == (bits, 65537)
    assert public.attributes["MODULUS_BITS"] == bits
    assert public.attributes["PUBLIC_EXPONENT"] == b"\1\0\1"
    assert private.public_key_info == public.public_key_info
    assert private.attributes["SIZE"] == bits


@pytest.mark.parametrize("curve", CURVES)
def test_ec_pairs(site: Site, curve: str) -> None:
    public, private = site.hsm.keys.generate_pair(site.user, "EC_KEY_PAIR_GEN", {"EC_PARAMS": CURVES[curve]}, {})
    key = load_der_public_key(private.public_key_info or b"")
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, CURVE_TYPES[curve])
    for half in (public, private):
        assert half.attributes["EC_PARAMS"] == CURVES[curve]
        assert half.attributes["SIZE"] == key.curve.key_size


@pytest.mark.parametrize(
    ("mechanism", "public", "kind"),
    [("RSA_KEY_PAIR_GEN", {"MODULUS_BITS": bits}, KeySizeInvalid) for bits in (-1, 0, 1024, 2049, 4352, 2**62)]
    + [("RSA_KEY_PAIR_GEN", {"PUBLIC_EXPONENT": e}, AttributeInvalid) for e in (b"", b"\0", b"\3", b"\1\0\3")]
    + [("EC_KEY_PAIR_GEN", {"EC_PARAMS": oid}, KeySizeInvalid) for oid in (b"", b"\6\0", CURVES["P-256"] + b"\0")]
    + [("EC_KEY_PAIR_GEN", {"MODULUS_BITS": 2048}, AttributeInvalid)]
    + [(name, {}, MechanismInvalid) for name in ("AES_KEY_GEN", "AES_GCM", "SHA256", "", "rsa_key_pair_gen")],
)
def test_pairs_that_are_refused(site: Site, mechanism: str, public: dict[str, object], kind: type[HsmError]) -> None:
    _refused(site, kind, lambda: site.hsm.keys.generate_pair(site.user, mechanism, public, {}))


@pytest.mark.parametrize("mechanism", ["RSA_KEY_PAIR_GEN", "AES_CBC", "SHA1", "", "AES"])
def test_not_a_generator_of_secret_keys(site: Site, mechanism: str) -> None:
    _refused(site, MechanismInvalid, lambda: site.hsm.keys.generate(site.user, mechanism, {}))


def test_a_bad_half_makes_no_pair(site: Site) -> None:
    bad = {"PRIVATE_EXPONENT": b"\1"}
    for public, private in ((bad, {}), ({}, bad), ({}, {"SIGN": "yes"})):
        _refused(
            site, AttributeInvalid,
            lambda halves=(public, private): site.hsm.keys.generate_pair(site.user, "EC_KEY_PAIR_GEN", *halves),
        )  # fmt: skip


@pytest.mark.parametrize(("kind", "size"), [*_SECRET_CASES, ("GENERIC_SECRET", 3583 * 8)])
def test_secret_keys_are_imported(open_site: Site, kind: str, size: int) -> None:
    material = bytes(range(256)) * 14
    key = take_secret(open_site.hsm, open_site.user, kind, material[: size // 8])
    assert (key.attributes["SIZE"], key.attributes["LOCAL"]) == (size, False)
    assert open_site.hsm.keys.clear_value(open_site.user, key.handle) == material[: size // 8]


@pytest.mark.parametrize(
    "key",
    [lambda curve=curve: ec_key(curve) for curve in CURVES] + [rsa_key, lambda: rsa_key(3072)],
    ids=[*CURVES, "RSA-2048", "RSA-3072"],
)
def test_pairs_are_imported(open_site: Site, key: Callable[[], rsa.RSAPrivateKey]) -> None:
    public, private = take_pair(open_site.hsm, open_site.user, key())
    assert public.public_key_info == private.public_key_info == public_info(key())
    assert open_site.hsm.keys.clear_value(open_site.user, private.handle) == pkcs8(key())
    assert open_site.hsm.keys.clear_value(open_site.user, public.handle) == public_info(key())
    assert not private.attributes["LOCAL"]


def _foreign_forms() -> list[tuple[str, str, bytes, type[HsmError]]]:
    encrypted = rsa_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    edwards = ed25519.Ed25519PrivateKey.generate()
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505  # it is there to be refused
    brainpool = ec.generate_private_key(ec.BrainpoolP256R1())
    three = rsa.generate_private_key(3, 2048)
    cut = pkcs8(rsa_key())
    return [
        ("SECRET_KEY", "AES", bytes(15), KeySizeInvalid),
        ("SECRET_KEY", "DESEDE", bytes(16), KeySizeInvalid),
        ("SECRET_KEY", "GENERIC_SECRET", b"", KeySizeInvalid),
        ("SECRET_KEY", "GENERIC_SECRET", bytes(3584), KeySizeInvalid),
        ("SECRET_KEY", "RSA", bytes(16), AttributeInvalid),
        ("PRIVATE_KEY", "AES", bytes(16), AttributeInvalid),
        ("CERTIFICATE", "RSA", bytes(16), AttributeInvalid),
        ("PRIVATE_KEY", "RSA", b"", KeyMaterialInvalid),
        ("PRIVATE_KEY", "RSA", cut[:-1], KeyMaterialInvalid),
        ("PRIVATE_KEY", "RSA", encrypted, KeyMaterialInvalid),
        ("PRIVATE_KEY", "RSA", public_info(rsa_key()), KeyMaterialInvalid),
        ("PUBLIC_KEY", "RSA", cut, KeyMaterialInvalid),
        ("PRIVATE_KEY", "EC", cut, KeyMaterialInvalid),
        ("PUBLIC_KEY", "RSA", public_info(ec_key()), KeyMaterialInvalid),
        ("PRIVATE_KEY", "RSA", pkcs8(small), KeySizeInvalid),
        ("PRIVATE_KEY", "RSA", pkcs8(three), KeyMaterialInvalid),
        ("PRIVATE_KEY", "EC", pkcs8(edwards), KeyMaterialInvalid),
        ("PUBLIC_KEY", "EC", public_info(brainpool), KeySizeInvalid),
    ]


def test_imports_that_are_refused(site: Site) -> None:
    for key_class, key_type, material, kind in _foreign_forms():
        attributes = {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type}
        _refused(site, kind, lambda given=(attributes, material): site.hsm.keys.import_(site.user, *given))
    _refused(site, AttributeInvalid, lambda: site.hsm.keys.import_(site.user, {}, bytes(16)))


def test_every_flipped_byte_of_a_private_key_is_refused_or_another_key(site: Site) -> None:
    whole = pkcs8(ec_key())
    attributes = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"}
    for place in range(len(whole)):
        broken = bytes([*whole[:place], whole[place] ^ 0x55, *whole[place + 1 :]])
        try:
            key = site.hsm.keys.import_(site.user, attributes, broken)
        except (KeyMaterialInvalid, KeySizeInvalid):
            continue
        digest = bytes(range(32))
        signature = site.hsm.crypto.sign(site.user, key.handle, "ECDSA_SHA256", None, digest)
        info = key.public_key_info or b""
        assert site.hsm.crypto.verify(site.user, info, "ECDSA_SHA256", None, digest, signature)
