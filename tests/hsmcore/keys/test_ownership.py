"""Keys and who has them: sessions, owners, visibility, finding, destroying, reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    AttributeInvalid,
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    PermissionDenied,
    Unauthenticated,
)
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site
from tests.hsmcore.making import ec_key, one_of_each, pkcs8, public_info, take_pair, take_secret


def test_session_keys_end_with_their_session(site: Site) -> None:
    hsm = site.hsm
    session = hsm.login("cu1", PASSWORDS["cu1"])
    keys = one_of_each(hsm, session, LABEL="passing").values()
    kept = hsm.generate_key(session, "AES_KEY_GEN", {"TOKEN": True, "LABEL": "passing"})
    raised = hsm.generate_key(session, "AES_KEY_GEN", {"LABEL": "passing"})
    hsm.set_attributes(session, raised.handle, {"TOKEN": True})
    count = int(hsm.status()["keys"])
    hsm.logout(session)
    assert int(hsm.status()["keys"]) == count - len(keys)
    with pytest.raises(Unauthenticated):
        hsm.encrypt(session, kept.handle, "AES_GCM", None, b"")
    found = hsm.find_keys(site.user, {"LABEL": "passing"})
    assert [key.handle for key in found] == [kept.handle, raised.handle]
    for key in keys:
        with pytest.raises(KeyNotFound):
            hsm.get_key(site.user, key.handle)
    for key in found:
        hsm.destroy_key(site.user, key.handle)


def test_only_token_keys_survive_reopening(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path, admin_password=ADMIN_PASSWORD) as hsm:
        hsm.create_user(hsm.login("admin", ADMIN_PASSWORD, "admin"), "cu1", "crypto-user", PASSWORDS["cu1"])
        user = hsm.login("cu1", PASSWORDS["cu1"])
        kept = one_of_each(hsm, user, TOKEN=True, LABEL="kept", ID=b"\1\2").values()
        one_of_each(hsm, user, LABEL="gone")
        public, private = (key for key in kept if key.attributes["KEY_TYPE"] == "EC")
        signature = hsm.sign(user, private.handle, "ECDSA_SHA256", None, bytes(32))
    with Hsm.open(tmp_path) as hsm:
        user = hsm.login("cu1", PASSWORDS["cu1"])
        assert hsm.find_keys(user, {}) == list(kept)
        assert hsm.verify(user, public.handle, "ECDSA_SHA256", None, bytes(32), signature)


def test_who_sees_what(site: Site) -> None:
    hsm = site.hsm
    tokens, session_keys = one_of_each(hsm, site.user, TOKEN=True), one_of_each(hsm, site.user)
    second = hsm.login("cu1", PASSWORDS["cu1"])
    for (key_class, _), key in tokens.items():
        assert hsm.get_key(second, key.handle) == key
        assert hsm.get_key(site.admin, key.handle).attributes.keys() == {"LABEL"}
        if key_class == "PUBLIC_KEY":
            assert hsm.get_key(site.other, key.handle) == key
        else:
            _invisible(site, key.handle)
    for key in session_keys.values():
        for session in (second, site.other, site.admin):
            with pytest.raises(KeyNotFound):
                hsm.get_key(session, key.handle)
    hsm.logout(second)
    for key in (*tokens.values(), *session_keys.values()):
        hsm.destroy_key(site.user, key.handle)


def _invisible(site: Site, handle: int) -> None:
    """Check that for the other user there is no such key, whatever is asked of it."""
    hsm, other = site.hsm, site.other
    for call in (
        lambda: hsm.get_key(other, handle),
        lambda: hsm.clear_value(other, handle),
        lambda: hsm.set_attributes(other, handle, {"LABEL": "mine"}),
        lambda: hsm.destroy_key(other, handle),
        lambda: hsm.encrypt(other, handle, "AES_GCM", None, b""),
        lambda: hsm.sign(other, handle, "ECDSA_SHA256", None, bytes(32)),
        lambda: hsm.begin(other, "encrypt", handle, "AES_CBC", None),
    ):
        with pytest.raises(KeyNotFound):
            call()
    assert handle not in {key.handle for key in hsm.find_keys(other, {})}


def test_another_users_public_key_is_used_but_not_changed(site: Site) -> None:
    hsm = site.hsm
    halves = hsm.generate_key_pair(site.user, "EC_KEY_PAIR_GEN", {"TOKEN": True}, {"TOKEN": True})
    public, private = halves
    signature = hsm.sign(site.user, private.handle, "ECDSA_SHA256", None, bytes(32))
    assert hsm.verify(site.other, public.handle, "ECDSA_SHA256", None, bytes(32), signature)
    for session in (site.other, site.admin):
        with pytest.raises(PermissionDenied):
            hsm.set_attributes(session, public.handle, {"VERIFY": False})
        with pytest.raises(PermissionDenied):
            hsm.destroy_key(session, public.handle)
    with pytest.raises(PermissionDenied):
        hsm.verify(site.admin, public.handle, "ECDSA_SHA256", None, bytes(32), signature)
    for half in halves:
        hsm.destroy_key(site.user, half.handle)
    with pytest.raises(KeyNotFound):
        hsm.verify(site.other, public.handle, "ECDSA_SHA256", None, bytes(32), signature)


def test_a_destroyed_key_is_gone(site: Site) -> None:
    hsm, user = site.hsm, site.user
    for token in (True, False):
        key = hsm.generate_key(user, "AES_KEY_GEN", {"TOKEN": token}).handle
        hsm.encrypt(user, key, "AES_GCM", None, b"prepared")
        operation, _ = hsm.begin(user, "encrypt", key, "AES_CBC", None)
        hsm.destroy_key(user, key)
        for call in (
            lambda key=key: hsm.encrypt(user, key, "AES_GCM", None, b""),
            lambda key=key: hsm.get_key(user, key),
            lambda key=key: hsm.destroy_key(user, key),
        ):
            with pytest.raises(KeyNotFound):
                call()
        with pytest.raises(HsmError):
            hsm.update(user, operation, b"")


def test_a_key_that_is_not_destroyable_stays(site: Site) -> None:
    key = site.hsm.generate_key(site.user, "AES_KEY_GEN", {"TOKEN": True, "DESTROYABLE": False}).handle
    with pytest.raises(KeyFunctionNotPermitted):
        site.hsm.destroy_key(site.user, key)
    site.hsm.set_attributes(site.user, key, {"DESTROYABLE": True})
    site.hsm.destroy_key(site.user, key)


@pytest.mark.parametrize("handle", [0, 1, -1, 2**63, 2**80])
def test_unknown_handles(site: Site, handle: int) -> None:
    for session in (site.user, site.admin):
        with pytest.raises(KeyNotFound):
            site.hsm.get_key(session, handle)


def test_finding(site: Site) -> None:
    hsm, user = site.hsm, site.user
    made = [
        hsm.generate_key(user, f"{kind}_KEY_GEN", {"LABEL": label, "ID": label, "TOKEN": token})
        for kind in ("AES", "DESEDE")
        for label in ("red", "blue", "red")
        for token in (True, False)
    ]
    for wanted, limit in (
        ({"LABEL": "red"}, 0),
        ({"LABEL": "red", "TOKEN": True}, 0),
        ({"LABEL": "red", "KEY_TYPE": "DESEDE", "LOCAL": True}, 0),
        ({"ID": b"blue", "LABEL": None}, 0),
        ({"LABEL": "red"}, 3),
        ({"LABEL": "green"}, 0),
        ({"LABEL": "red", "SIZE": 129}, 0),
    ):
        items = {name: value for name, value in wanted.items() if value is not None}.items()
        expected = [key for key in made if items <= key.attributes.items()]
        assert hsm.find_keys(user, wanted, limit) == expected[: limit or None]
    assert [key.handle for key in hsm.find_keys(site.admin, {"LABEL": "blue"})] == [
        key.handle for key in made if key.attributes["LABEL"] == "blue" and key.attributes["TOKEN"]
    ]
    for key in made:
        hsm.destroy_key(user, key.handle)
    assert hsm.find_keys(user, {"LABEL": "red"}) == []


@pytest.mark.parametrize("wanted", [{"COLOUR": "red"}, {"SIZE": True}, {"TOKEN": 1}, {"LABEL": b"x"}, {"VALUE": b""}])
def test_filters_that_are_refused(site: Site, wanted: dict[str, object]) -> None:
    with pytest.raises(AttributeInvalid):
        site.hsm.find_keys(site.user, wanted)


def test_an_admin_finds_by_label_only(site: Site) -> None:
    with pytest.raises(PermissionDenied):
        site.hsm.find_keys(site.admin, {"KEY_TYPE": "AES"})


def test_with_extraction_off_only_public_keys_are_read(site: Site) -> None:
    public, private = take_pair(site.hsm, site.user, ec_key(), TOKEN=True)
    secret = take_secret(site.hsm, site.user, "AES", bytes(16))
    assert private.attributes["EXTRACTABLE"]
    assert site.hsm.clear_value(site.user, private.handle) is None
    assert site.hsm.clear_value(site.user, secret.handle) is None
    for session in (site.user, site.other):
        assert site.hsm.clear_value(session, public.handle) == public_info(ec_key())
    with pytest.raises(PermissionDenied):
        site.hsm.clear_value(site.admin, public.handle)
    for key in (public, private):
        site.hsm.destroy_key(site.user, key.handle)


@pytest.mark.parametrize(
    ("attributes", "readable"),
    [({}, True), ({"EXTRACTABLE": False}, False), ({"WRAP_WITH_TRUSTED": True}, False), ({"TOKEN": True}, True)],
)
def test_with_extraction_on_attributes_decide(open_site: Site, attributes: dict[str, bool], readable: bool) -> None:
    hsm, user = open_site.hsm, open_site.user
    secret = take_secret(hsm, user, "AES", bytes(range(16)), **attributes)
    private = hsm.import_key(user, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"} | attributes, pkcs8(ec_key()))
    assert hsm.clear_value(user, secret.handle) == (bytes(range(16)) if readable else None)
    assert hsm.clear_value(user, private.handle) == (pkcs8(ec_key()) if readable else None)
    hsm.set_attributes(user, secret.handle, {"WRAP_WITH_TRUSTED": True})
    assert hsm.clear_value(user, secret.handle) is None
