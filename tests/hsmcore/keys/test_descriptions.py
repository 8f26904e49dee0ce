"""Descriptions of keys: check values and lengths against published ones and openssl, pages, what each user is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmcore import Hsm
from hsmcore.errors import AttributeInvalid, PermissionDenied, StoreDamaged
from hsmcore.keys.records import Sharing
from tests.hsmcore.conftest import PASSWORDS, Site, make_site
from tests.hsmcore.databases import database
from tests.hsmcore.making import one_of_each, take_secret

_P224 = (
    "047096513df542250a6b228fd9cb67fd0c903abc93488467681974d6f371083fce1d79da8ad1e9ede745fb9f38ac8622a1b3ebe9270556000c"
)
_P384 = (
    "048618eb4af2f42cb3ad76ccde9c8ff0d929bce69077e29b3c2cd58fbdb2d16e6124bbfe75f5308e4ada71225f03194398b95d3644f5d68d"
    "a1082fb1bb6dd7593d67ceae88d2bd2d777ba258fb9c3e0b336547264713a31640bda9bf2ba100f96c"
)
_RSA = (
    "a8855cba933cec0c21a4df0450ec31675c024f3e65b2b215a53d2bda6dcd191f75729150b59b4d86df58254c8f518f7d000cc04d8e958e7502"
    "c7c33098e28da4d94378ef34fb57d1cc7e042d9119bd79be0df728421a980a397095157da24cf3cc2b6dab12225d33fdca11f0c6ed1a5127f1"
    "2488cda9a556814b39b06cd8373ff5d371db2212887853621b8510faa7b0779fbdec447e1f1d19f343acb02b22526487a31f6c704f8f003cb4"
    "f7013136f90cc17c2c20e414dc1fc7bcfb392d59c767900319679fc3307388633485657ce2e1a3deab0f985b0747ef4ed339de78147d1985d1"
    "4fdd8634219321e49e3f5715e79c298f18658504bab04086bfbdcd3b"
)
_PUBLISHED = [
    pytest.param(
        rsa.RSAPublicNumbers(65537, int(_RSA, 16)).public_key(),
        {
            "CHECK_VALUE": "ae8ff0",
            "KEY_LENGTH": 512,
            "MODULUS": _RSA,
            "MODULUS_BITS": 2048,
            "PUBLIC_EXPONENT": "010001",
        },
        id="RSA-2048",
    ),
    pytest.param(
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), bytes.fromhex(_P224)),
        {"CHECK_VALUE": "d7c1a7", "KEY_LENGTH": 57, "EC_POINT": "0439" + _P224},
        id="P-224",
    ),
    pytest.param(
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), bytes.fromhex(_P384)),
        {"CHECK_VALUE": "d13f67", "KEY_LENGTH": 97, "EC_POINT": "0461" + _P384},
        id="P-384",
    ),
]
"""Public keys of CloudHSM clusters, with what `key list --verbose` printed of them (AWS user guide, a blog)."""


@pytest.mark.parametrize(("key", "expected"), _PUBLISHED)
def test_published_public_keys(
    site: Site, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, expected: dict[str, object]
) -> None:
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC"
    handle = site.hsm.keys.import_(site.user, {"OBJECT_CLASS": "PUBLIC_KEY", "KEY_TYPE": kind}, info).handle
    ((described,), _) = site.hsm.keys.describe(site.user, handle, {}, 0, 0)
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in described.derived.items()}
    assert shown == expected | {"EXTRACTABLE": True}
    site.hsm.keys.destroy(site.user, handle)


@pytest.mark.parametrize(
    ("key_type", "material", "check"),
    [
        # The encryption of zeros under the key of zeros: FIPS 197 and FIPS 46-3, as openssl enc -aes-128-ecb prints it.
        ("AES", bytes(16), "66e94b"),
        ("AES", bytes(24), "aae069"),
        ("AES", bytes(32), "dc95c0"),
        ("DESEDE", b"\x01" * 24, "8ca64d"),
        ("GENERIC_SECRET", bytes(20), None),
    ],
)
def test_check_values_of_secret_keys(site: Site, key_type: str, material: bytes, check: str | None) -> None:
    handle = take_secret(site.hsm, site.user, key_type, material).handle
    ((described,), _) = site.hsm.keys.describe(site.user, handle, {}, 0, 0)
    wanted: dict[str, object] = {"KEY_LENGTH": len(material)}
    assert described.derived == wanted | ({"CHECK_VALUE": bytes.fromhex(check)} if check else {})
    site.hsm.keys.destroy(site.user, handle)


def test_both_halves_have_one_check_value(site: Site) -> None:
    for mechanism, length in (("RSA_KEY_PAIR_GEN", range(1210, 1221)), ("EC_KEY_PAIR_GEN", [138])):
        halves = site.hsm.keys.generate_pair(site.user, mechanism, {}, {})
        public, private = (site.hsm.keys.describe(site.user, half.handle, {}, 0, 0)[0][0].derived for half in halves)
        assert public["CHECK_VALUE"] == private["CHECK_VALUE"]
        assert private["KEY_LENGTH"] in length
        shared = {name: value for name, value in public.items() if name not in {"KEY_LENGTH", "EXTRACTABLE"}}
        assert shared.items() <= private.items()
        for half in halves:
            site.hsm.keys.destroy(site.user, half.handle)


def test_pages(site: Site) -> None:
    hsm, user = site.hsm, site.user
    made = []
    for place in range(9):
        # Session keys are older than all token keys, between them, and the newest.
        wishes = {"LABEL": f"page {place % 2}", "ID": bytes([place % 3]), "TOKEN": place in {1, 2, 5, 6}}
        made.append(hsm.keys.generate(user, "AES_KEY_GEN", wishes).handle)
    tokens = [made[place] for place in (1, 2, 5, 6)]
    for wanted, expected in (
        ({}, made), ({"LABEL": "page 1"}, made[1::2]), ({"LABEL": "none"}, []), ({"ID": b"\2"}, made[2::3]),
        ({"OBJECT_CLASS": "SECRET_KEY"}, made), ({"TOKEN": True}, tokens), ({"TOKEN": [False, True]}, made),
        ({"TOKEN": False}, [key for key in made if key not in tokens]), ({"SIZE": 256}, made), ({"SIZE": 128}, []),
        ({"LABEL": ["page 1", "page 0", "page 1"]}, made), ({"LABEL": []}, []), ({"ID": [b"\0", b"x"]}, made[::3]),
        ({"KEY_LENGTH": 32}, made), ({"KEY_LENGTH": 32, "ID": b"\2", "TOKEN": True}, tokens[1:3]),
    ):  # fmt: skip
        for first in range(11):
            for limit in range(11):
                page, count = hsm.keys.describe(user, None, {"KEY_TYPE": "AES"} | wanted, first, limit)
                last = first + limit if limit else None
                assert ([key.record.handle for key in page], count) == (expected[first:last], len(expected))
    for key in made:
        hsm.keys.destroy(user, key)


def test_a_damaged_key_has_a_place_and_is_not_listed(tmp_path: Path) -> None:
    with make_site(tmp_path / "hsm").hsm as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        made = [
            hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": str(place)}).handle for place in range(4)
        ]
    with database(tmp_path / "hsm") as connection:
        connection.execute("UPDATE keys SET material = x'00' WHERE label = '1'")
    with Hsm.open(tmp_path / "hsm") as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        pages = [hsm.keys.describe(user, None, {}, first, 2) for first in (0, 2)]
        assert [([key.record.handle for key in page], count) for page, count in pages] == [
            ([made[0]], 4), (made[2:], 4),
        ]  # fmt: skip
        assert hsm.keys.describe(user, None, {}, 1, 1) == ([], 4)
        for handle, wanted in ((None, {"LABEL": "1"}), (made[1], {})):
            with pytest.raises(StoreDamaged):
                hsm.keys.describe(user, handle, wanted, 0, 1)


def test_keys_are_found_by_what_follows_from_them(site: Site) -> None:
    hsm, user = site.hsm, site.user
    keys = one_of_each(hsm, user)
    for key in keys.values():
        ((described,), _) = hsm.keys.describe(user, key.handle, {}, 0, 0)
        page, count = hsm.keys.describe(user, None, described.values(), 0, 0)
        assert key.handle in {found.record.handle for found in page}
        assert count == len(page)
        assert hsm.keys.describe(user, key.handle, {"KEY_LENGTH": 1}, 0, 0) == ([], 0)
        assert hsm.keys.describe(user, key.handle, {"LABEL": "another"}, 0, 0) == ([], 0)
    extractable, _ = hsm.keys.describe(user, None, {"EXTRACTABLE": True}, 0, 0)
    assert {key.handle for key in keys.values()} <= {found.record.handle for found in extractable}
    for key in keys.values():
        hsm.keys.destroy(user, key.handle)
    assert hsm.keys.describe(user, 1, {}, 0, 0) == ([], 0)


@pytest.mark.parametrize("wanted", [{"CHECK_VALUE": "66e94b"}, {"KEY_LENGTH": True}, {"MODULUS": 3}, {"OWNER": "cu1"}])
def test_filters_that_are_refused(site: Site, wanted: dict[str, object]) -> None:
    with pytest.raises(AttributeInvalid):
        site.hsm.keys.describe(site.user, None, wanted, 0, 0)


def test_each_user_is_told_what_concerns_them(site: Site) -> None:
    hsm = site.hsm
    hsm.users.create(site.admin, "third", "crypto-user", b"third-pass-003")
    sharing = Sharing(("third", "cu2"))
    key = hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "LABEL": "told"}, sharing).handle
    told = {}
    for name, session in (("owner", site.user), ("other", site.other), ("admin", site.admin)):
        ((told[name],), count) = hsm.keys.describe(session, None, {"LABEL": "told"}, 0, 10)
        assert count == 1
    assert (told["owner"].owner, told["owner"].sharing.users) == ("cu1", ("cu2", "third"))
    assert (told["other"].owner, told["other"].sharing.users) == ("cu1", ("cu2",))
    assert told["admin"].values() == {"LABEL": "told"}
    assert (told["admin"].owner, told["admin"].sharing.users) == (None, ())
    with pytest.raises(PermissionDenied):
        hsm.keys.describe(site.admin, None, {"CHECK_VALUE": bytes(3)}, 0, 0)
    hsm.keys.destroy(site.user, key)
    hsm.users.delete(site.admin, "third", "crypto-user")
