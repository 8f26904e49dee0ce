"""The attribute table: defaults, who may choose what and when, and that usage attributes are obeyed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hsmcore import Settings
from hsmcore.errors import AttributeInvalid, KeyFunctionNotPermitted, KeyTypeInconsistent, PermissionDenied
from hsmcore.keys.records import KeyRecord
from hsmcore.tables.attributes import ROWS, TABLE, Change, Set
from hsmcore.tables.mechanisms import ED25519, MECHANISMS, Mechanism, Operation
from tests.hsmcore.conftest import CURVES, Site, make_site
from tests.hsmcore.making import one_of_each, outside_key, pkcs8, public_info, rsa_key, take_pair

_KINDS = {
    "AES": ("SECRET_KEY", "AES"),
    "DES": ("SECRET_KEY", "DESEDE"),
    "GEN": ("SECRET_KEY", "GENERIC_SECRET"),
    "RSAU": ("PUBLIC_KEY", "RSA"),
    "RSAR": ("PRIVATE_KEY", "RSA"),
    "ECU": ("PUBLIC_KEY", "EC"),
    "ECR": ("PRIVATE_KEY", "EC"),
    "EDU": ("PUBLIC_KEY", "EC_EDWARDS"),
    "EDR": ("PRIVATE_KEY", "EC_EDWARDS"),
    "MLU": ("PUBLIC_KEY", "ML_DSA"),
    "MLR": ("PRIVATE_KEY", "ML_DSA"),
}
_TRUE_BY_DEFAULT = {
    "ENCRYPT": "AES DES RSAU",
    "DECRYPT": "AES DES RSAR",
    "SIGN": "AES DES GEN RSAR ECR EDR MLR",
    "VERIFY": "AES DES GEN RSAU ECU EDU MLU",
    "WRAP": "AES DES RSAU",
    "UNWRAP": "AES DES RSAR",
    "DERIVE": "",
    "EXTRACTABLE": "AES DES GEN RSAR ECR EDR MLR",
    "SENSITIVE": "AES DES GEN RSAR ECR EDR MLR",
    "ALWAYS_SENSITIVE": "AES DES GEN RSAR ECR EDR MLR",
    "NEVER_EXTRACTABLE": "",
    "TOKEN": "",
    "TRUSTED": "",
    "WRAP_WITH_TRUSTED": "",
    **dict.fromkeys(("PRIVATE", "MODIFIABLE", "DESTROYABLE", "LOCAL"), " ".join(_KINDS)),
}
"""The booleans of a generated key whose maker says nothing (the reference's table)."""
_SIZES = {"AES": 256, "DES": 192, "GEN": 256, "RSAU": 2048, "RSAR": 2048, "ECU": 256, "ECR": 256}
_SIZES |= {"EDU": 256, "EDR": 256, "MLU": 8 * 1952, "MLR": 8 * 1952}
_CHANGEABLE = {"LABEL": "new", "ID": b"\1"} | {
    row.name: False for row in ROWS if row.type is bool and row.change is Change.FREELY
}


@pytest.fixture(scope="module")
def keys(site: Site) -> dict[tuple[str, str], KeyRecord]:
    """A generated key of every class and type."""
    return one_of_each(site.hsm, site.user)


def _expected(kind: str) -> dict[str, object]:
    key_class, key_type = _KINDS[kind]
    expected: dict[str, object] = {name: kind in kinds.split() for name, kinds in _TRUE_BY_DEFAULT.items()}
    expected |= {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type, "SIZE": _SIZES[kind], "LABEL": "", "ID": b""}
    if key_type == "EC":
        expected["EC_PARAMS"] = CURVES["P-256"]
    if key_type == "EC_EDWARDS":
        expected["EC_PARAMS"] = ED25519
    if key_type == "ML_DSA":
        expected["PARAMETER_SET"] = "ML-DSA-65"
    if kind == "RSAU":
        expected |= {"MODULUS_BITS": 2048, "PUBLIC_EXPONENT": b"\1\0\1"}
    return expected


@pytest.mark.parametrize("kind", _KINDS)
def test_every_attribute_has_its_default(keys: dict[tuple[str, str], KeyRecord], kind: str) -> None:
    assert dict(keys[_KINDS[kind]].attributes) == _expected(kind)


def test_the_table_has_no_other_attribute() -> None:
    named = set().union(*(_expected(kind) for kind in _KINDS))
    assert named | {"WRAP_TEMPLATE", "UNWRAP_TEMPLATE"} == TABLE.keys()


@pytest.mark.parametrize("extractable", [False, True])
def test_the_setting_decides_about_extractable(
    tmp_path_factory: pytest.TempPathFactory, extractable: bool
) -> None:  # fmt: skip
    made = make_site(tmp_path_factory.mktemp("setting"), Settings(extractable_default=extractable))
    with made.hsm as hsm:
        plain, asked = (hsm.keys.generate(made.user, "AES_KEY_GEN", a).attributes for a in ({}, {"EXTRACTABLE": True}))
        assert (plain["EXTRACTABLE"], plain["NEVER_EXTRACTABLE"]) == (extractable, not extractable)
        assert (asked["EXTRACTABLE"], asked["NEVER_EXTRACTABLE"]) == (True, False)


def test_imported_keys_were_once_outside(site: Site) -> None:
    attributes = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES", "EXTRACTABLE": False}
    facts = site.hsm.keys.import_(site.user, attributes, bytes(32)).attributes
    names = "LOCAL", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "EXTRACTABLE", "SENSITIVE"
    assert [facts[name] for name in names] == [False, False, False, False, True]


def _value(name: str) -> object:
    return {bool: True, int: 8, str: "text", bytes: b"\1", dict: {"TOKEN": False, "ID": b"\1"}}[TABLE[name].type]


def _make(site: Site, kind: str, attributes: dict[str, object], *, generated: bool) -> KeyRecord:
    key_class, key_type = _KINDS[kind]
    if not generated:
        pair = outside_key(key_type)
        secret = {"AES": bytes(32), "DESEDE": bytes(24), "GENERIC_SECRET": bytes(32)}.get(key_type)
        material = secret or (public_info(pair) if key_class == "PUBLIC_KEY" else pkcs8(pair))
        return site.hsm.keys.import_(
            site.user, {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type} | attributes, material
        )  # fmt: skip
    if key_class == "SECRET_KEY":
        return site.hsm.keys.generate(site.user, f"{key_type}_KEY_GEN", attributes)
    halves = (attributes, {}) if key_class == "PUBLIC_KEY" else ({}, attributes)
    made = site.hsm.keys.generate_pair(site.user, f"{key_type}_KEY_PAIR_GEN", *halves)
    return made[0 if key_class == "PUBLIC_KEY" else 1]


@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize("kind", [kind for kind in _KINDS if not kind.startswith("RSA")])
def test_what_a_maker_may_choose(site: Site, kind: str, generated: bool) -> None:
    """Try each attribute: chosen, refused because the HSM sets it, or refused because it does not fit."""
    key_class, key_type = _KINDS[kind]
    for row in ROWS:
        wishes = [False, True] if row.type is bool else [_value(row.name)]
        for wish in wishes:
            fits = row.applies(key_class, key_type)
            free = fits and row.set & (Set.GENERATE if generated else Set.IMPORT) and not row.set & Set.MATCH
            if free or (not fits and wish is False) or (row.name == "SENSITIVE" and wish is fits):
                made = _make(site, kind, {row.name: wish}, generated=generated)
                assert made.attributes[row.name] == wish
            elif row.name not in {"SIZE", "TRUSTED", "OBJECT_CLASS", "KEY_TYPE", "EC_PARAMS", "PARAMETER_SET"}:
                with pytest.raises(AttributeInvalid):
                    _make(site, kind, {row.name: wish}, generated=generated)


def test_trusted_is_not_for_makers(site: Site) -> None:
    for generated in (True, False):
        with pytest.raises(AttributeInvalid):
            _make(site, "AES", {"TRUSTED": True}, generated=generated)
        assert not _make(site, "AES", {"TRUSTED": False}, generated=generated).attributes["TRUSTED"]


def test_facts_may_be_given_if_they_are_true(site: Site) -> None:
    true = {"SIZE": 256, "EC_PARAMS": CURVES["P-256"]}
    for generated in (True, False):
        _make(site, "ECU", true, generated=generated)
        _make(site, "AES", {"SIZE": 256, "OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}, generated=generated)
        with pytest.raises(AttributeInvalid):
            _make(site, "ECU", true | {"SIZE": 384}, generated=generated)
        with pytest.raises(AttributeInvalid):
            _make(site, "ECR", {"EC_PARAMS": CURVES["P-384"]}, generated=generated)
    padded = {"MODULUS_BITS": 2048, "PUBLIC_EXPONENT": b"\0\1\0\1"}
    assert _make(site, "RSAU", padded, generated=False).attributes["PUBLIC_EXPONENT"] == b"\1\0\1"


@pytest.mark.parametrize("name", TABLE)
def test_types_are_checked(site: Site, name: str) -> None:
    row = TABLE[name]
    for wrong in (True, 7, "text", b"bytes", 1.5, [True], {"a": 1}):
        if type(wrong) is not row.type and not (name == "ID" and isinstance(wrong, str)):
            for call in (
                lambda wrong=wrong: site.hsm.keys.generate(site.user, "AES_KEY_GEN", {name: wrong}),
                lambda wrong=wrong: site.hsm.keys.find(site.user, {name: wrong}),
            ):
                with pytest.raises(AttributeInvalid):
                    call()
    assert site.hsm.keys.generate(site.user, "AES_KEY_GEN", {name: None})


@pytest.mark.parametrize("label", ["", "x" * 127, "\U0001f511" * 127, "a\0b", "ä\n"])
def test_labels(site: Site, label: str) -> None:
    key = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"LABEL": label, "TOKEN": True})
    assert key in site.hsm.keys.find(site.user, {"LABEL": label})
    for bad in (label + "x" * 128, label + "\ud800"):
        with pytest.raises(AttributeInvalid):
            site.hsm.keys.set_attributes(site.user, key.handle, {"LABEL": bad})
    assert site.hsm.keys.get(site.user, key.handle) == key
    site.hsm.keys.destroy(site.user, key.handle)


@pytest.mark.parametrize("token", [True, False])
def test_what_may_change(site: Site, token: bool) -> None:
    hsm, user = site.hsm, site.user
    for key in one_of_each(hsm, user, TOKEN=token).values():
        for row in ROWS:
            current = hsm.keys.get(user, key.handle)
            wish = _CHANGEABLE.get(row.name)
            if wish is not None:
                after = hsm.keys.set_attributes(user, key.handle, {row.name: wish})
                assert after.attributes == {**current.attributes, row.name: wish}
                assert hsm.keys.get(user, key.handle) == after
            elif row.change is Change.NEVER:
                given = current.attributes.get(row.name, _value(row.name))
                with pytest.raises(AttributeInvalid):
                    hsm.keys.set_attributes(user, key.handle, {row.name: given, "LABEL": "never"})
                assert hsm.keys.get(user, key.handle) == current


def test_one_way_attributes(site: Site) -> None:
    hsm, user = site.hsm, site.user
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    for name, last in (("TOKEN", True), ("WRAP_WITH_TRUSTED", True), ("MODIFIABLE", False)):
        hsm.keys.set_attributes(user, key, {name: not last})
        assert hsm.keys.set_attributes(user, key, {name: last}).attributes[name] is last
        with pytest.raises(AttributeInvalid):
            hsm.keys.set_attributes(user, key, {name: not last})
    with pytest.raises(AttributeInvalid, match="not modifiable"):
        hsm.keys.set_attributes(user, key, {"LABEL": "changed"})
    assert hsm.keys.set_attributes(site.admin, key, {"TRUSTED": True}).attributes == {"LABEL": ""}
    hsm.keys.destroy(user, key)


def test_only_an_admin_trusts(site: Site) -> None:
    hsm, user = site.hsm, site.user
    public, private = take_pair(hsm, user, rsa_key(), TOKEN=True)
    for session, wishes in ((user, {"TRUSTED": True}), (user, {"TRUSTED": False, "LABEL": "x"}), (site.other, {})):
        with pytest.raises(PermissionDenied):
            hsm.keys.set_attributes(session, public.handle, wishes)
    for wishes in ({"LABEL": "x"}, {"TRUSTED": True, "WRAP": True}):
        with pytest.raises(PermissionDenied):
            hsm.keys.set_attributes(site.admin, public.handle, wishes)
    with pytest.raises(AttributeInvalid):
        hsm.keys.set_attributes(site.admin, private.handle, {"TRUSTED": True})
    for value in (True, False):
        hsm.keys.set_attributes(site.admin, public.handle, {"TRUSTED": value})
        assert hsm.keys.get(user, public.handle).attributes["TRUSTED"] is value
    for key in (public, private):
        hsm.keys.destroy(user, key.handle)


def _call(site: Site, key: int, row: Mechanism, operation: Operation) -> object:
    """Do an operation; what the data is does not matter, since permission comes first."""
    runs: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
        "ENCRYPT": (site.hsm.crypto.encrypt, (b"",)),
        "DECRYPT": (site.hsm.crypto.decrypt, (b"",)),
        "SIGN": (site.hsm.crypto.sign, (b"",)),
        "VERIFY": (site.hsm.crypto.verify, (b"", b"")),
        "WRAP": (site.hsm.keys.wrap, (key,)),
        "UNWRAP": (site.hsm.keys.unwrap, (b"", {})),
    }
    if operation is Operation.DERIVE:
        return site.hsm.keys.derive(site.user, key, row.name, None, {})
    run, rest = runs[operation.value]
    return run(site.user, key, row.name, None, *rest)


_USES = [
    pytest.param(row, operation, id=f"{row.name}-{operation.value}")
    for row in MECHANISMS.values()
    for operation in sorted(row.operations & set(Operation) - {Operation.GENERATE, Operation.DIGEST, Operation.RANDOM})
]


@pytest.fixture(scope="module")
def useless(site: Site) -> dict[tuple[str, str], KeyRecord]:
    """A key of every class and type that may do nothing."""
    usages = [row.name for row in ROWS if row.name in _TRUE_BY_DEFAULT and row.change is Change.FREELY]
    return one_of_each(site.hsm, site.user, **dict.fromkeys(usages, False))


@pytest.mark.parametrize(("row", "operation"), _USES)
def test_a_key_does_what_its_class_type_and_attributes_allow(
    site: Site, useless: dict[tuple[str, str], KeyRecord], row: Mechanism, operation: Operation
) -> None:
    by_public = {Operation.ENCRYPT, Operation.VERIFY, Operation.WRAP}
    half = "PUBLIC_KEY" if operation in by_public else "PRIVATE_KEY"
    for (key_class, key_type), key in useless.items():
        fits = key_type in row.key_types and key_class in {"SECRET_KEY", half}
        with pytest.raises(KeyFunctionNotPermitted if fits else KeyTypeInconsistent):
            _call(site, key.handle, row, operation)


@pytest.mark.parametrize("operation", ["ENCRYPT", "DECRYPT", "SIGN", "VERIFY"])
def test_a_change_counts_at_once(site: Site, operation: str) -> None:
    hsm, user = site.hsm, site.user
    row = MECHANISMS["AES_CTR" if operation.endswith("CRYPT") else "HMAC_SHA256"]
    parameters = {"iv": bytes(16)} if operation.endswith("CRYPT") else None
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    run = getattr(hsm.crypto, operation.lower())
    rest = (b"x" * 32,) if operation == "VERIFY" else ()
    for allowed in (True, False, True, False):
        hsm.keys.set_attributes(user, key, {operation: allowed})
        for _ in range(2):
            if allowed:
                run(user, key, row.name, parameters, b"data", *rest)
                continue
            with pytest.raises(KeyFunctionNotPermitted):
                run(user, key, row.name, parameters, b"data", *rest)
