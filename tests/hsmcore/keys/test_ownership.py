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
    session = hsm.users.login("cu1", PASSWORDS["cu1"])
    keys = one_of_each(hsm, session, LABEL="passing").values()
    kept = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True, "LABEL": "passing"})
    raised = hsm.keys.generate(session, "AES_KEY_GEN", {"LABEL": "passing"})
    hsm.keys.set_attributes(session, raised.handle, {"TOKEN": True})
    count = int(hsm.status()["keys"])
    hsm.users.logout(session)
    assert int(hsm.status()["keys"]) == count - len(keys)
    with pytest.raises(Unauthenticated):
        hsm.crypto.encrypt(session, kept.handle, "AES_GCM", None, b"")
    found = hsm.keys.find(site.user, {"LABEL": "passing"})
    assert [key.handle for key in found] == [kept.handle, raised.handle]
    for key in keys:
        with pytest.raises(KeyNotFound):
            hsm.keys.get(site.user, key.handle)
    for key in found:
        hsm.keys.destroy(site.user, key.handle)


def test_only_token_keys_survive_reopening(tmp_path: Path) -> None:
    with Hsm.initialize(tmp_path, admin_password=ADMIN_PASSWORD) as hsm:
        hsm.users.create(hsm.users.login("admin", ADMIN_PASSWORD, "admin"), "cu1", "crypto-user", PASSWORDS["cu1"])
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        kept = one_of_each(hsm, user, TOKEN=True, LABEL="kept", ID=b"\1\2").values()
        one_of_each(hsm, user, LABEL="gone")
        public, private = (key for key in kept if key.attributes["KEY_TYPE"] == "EC")
        signature = hsm.crypto.sign(user, private.handle, "ECDSA_SHA256", None, bytes(32))
    with Hsm.open(tmp_path) as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        assert hsm.keys.find(user, {}) == list(kept)
        assert hsm.crypto.verify(user, public.handle, "ECDSA_SHA256", None, bytes(32), signature)


def test_who_sees_what(site: Site) -> None:
    hsm = site.hsm
    tokens, session_keys = one_of_each(hsm, site.user, TOKEN=True), one_of_each(hsm, site.user)
    second = hsm.users.login("cu1", PASSWORDS["cu1"])
    for (key_class, _), key in tokens.items():
        assert hsm.keys.get(second, key.handle) == key
        assert hsm.keys.get(site.admin, key.handle).attributes.keys() == {"LABEL"}
        if key_class == "PUBLIC_KEY":
            assert hsm.keys.get(site.other, key.handle) == key
        else:
            _invisible(site, key.handle)
    for key in session_keys.values():
        for session in (second, site.other, site.admin):
            with pytest.raises(KeyNotFound):
                hsm.keys.get(session, key.handle)
    hsm.users.logout(second)
    for key in (*tokens.values(), *session_keys.values()):
        hsm.keys.destroy(site.user, key.handle)


def _invisible(site: Site, handle: int) -> None:
    """Check that for the other user there is no such key, whatever is asked of it."""
    hsm, other = site.hsm, site.other
    for call in (
        lambda: hsm.keys.get(other, handle),
        lambda: hsm.keys.clear_value(other, handle),
        lambda: hsm.keys.set_attributes(other, handle, {"LABEL": "mine"}),
        lambda: hsm.keys.destroy(other, handle),
        lambda: hsm.crypto.encrypt(other, handle, "AES_GCM", None, b""),
        lambda: hsm.crypto.sign(other, handle, "ECDSA_SHA256", None, bytes(32)),
        lambda: hsm.crypto.begin(other, "encrypt", handle, "AES_CBC", None),
    ):
        with pytest.raises(KeyNotFound):
            call()
    assert handle not in {key.handle for key in hsm.keys.find(other, {})}


def test_another_users_public_key_is_used_but_not_changed(site: Site) -> None:
    hsm = site.hsm
    halves = hsm.keys.generate_pair(site.user, "EC_KEY_PAIR_GEN", {"TOKEN": True}, {"TOKEN": True})
    public, private = halves
    signature = hsm.crypto.sign(site.user, private.handle, "ECDSA_SHA256", None, bytes(32))
    assert hsm.crypto.verify(site.other, public.handle, "ECDSA_SHA256", None, bytes(32), signature)
    for session in (site.other, site.admin):
        with pytest.raises(PermissionDenied):
            hsm.keys.set_attributes(session, public.handle, {"VERIFY": False})
        with pytest.raises(PermissionDenied):
            hsm.keys.destroy(session, public.handle)
    with pytest.raises(PermissionDenied):
        hsm.crypto.verify(site.admin, public.handle, "ECDSA_SHA256", None, bytes(32), signature)
    for half in halves:
        hsm.keys.destroy(site.user, half.handle)
    with pytest.raises(KeyNotFound):
        hsm.crypto.verify(site.other, public.handle, "ECDSA_SHA256", None, bytes(32), signature)


def test_a_destroyed_key_is_gone(site: Site) -> None:
    hsm, user = site.hsm, site.user
    for token in (True, False):
        key = hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": token}).handle
        hsm.crypto.encrypt(user, key, "AES_GCM", None, b"prepared")
        operation, _ = hsm.crypto.begin(user, "encrypt", key, "AES_CBC", None)
        hsm.keys.destroy(user, key)
        for call in (
            lambda key=key: hsm.crypto.encrypt(user, key, "AES_GCM", None, b""),
            lambda key=key: hsm.keys.get(user, key),
            lambda key=key: hsm.keys.destroy(user, key),
        ):
            with pytest.raises(KeyNotFound):
                call()
        with pytest.raises(HsmError):
            hsm.crypto.update(user, operation, b"")


def test_a_key_that_is_not_destroyable_stays(site: Site) -> None:
    key = site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, "DESTROYABLE": False}).handle
    with pytest.raises(KeyFunctionNotPermitted):
        site.hsm.keys.destroy(site.user, key)
    site.hsm.keys.set_attributes(site.user, key, {"DESTROYABLE": True})
    site.hsm.keys.destroy(site.user, key)


@pytest.mark.parametrize("handle", [0, 1, -1, 2**63, 2**80])
def test_unknown_handles(site: Site, handle: int) -> None:
    for session in (site.user, site.admin):
        with pytest.raises(KeyNotFound):
            site.hsm.keys.get(session, handle)


def test_finding(site: Site) -> None:
    hsm, user = site.hsm, site.user
    made = [
        hsm.keys.generate(user, f"{kind}_KEY_GEN", {"LABEL": label, "ID": label, "TOKEN": token})
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
        assert hsm.keys.find(user, wanted, limit) == expected[: limit or None]
    assert [key.handle for key in hsm.keys.find(site.admin, {"LABEL": "blue"})] == [
        key.handle for key in made if key.attributes["LABEL"] == "blue" and key.attributes["TOKEN"]
    ]
    for key in made:
        hsm.keys.destroy(user, key.handle)
    assert hsm.keys.find(user, {"LABEL": "red"}) == []


@pytest.mark.parametrize("wanted", [{"COLOUR": "red"}, {"SIZE": True}, {"TOKEN": 1}, {"LABEL": b"x"}, {"VALUE": b""}])
def test_filters_that_are_refused(site: Site, wanted: dict[str, object]) -> None:
    with pytest.raises(AttributeInvalid):
        site.hsm.keys.find(site.user, wanted)


def test_an_admin_finds_by_label_only(site: Site) -> None:
    with pytest.raises(PermissionDenied):
        site.hsm.keys.find(site.admin, {"KEY_TYPE": "AES"})


def test_with_extraction_off_only_public_keys_are_read(site: Site) -> None:
    public, private = take_pair(site.hsm, site.user, ec_key(), TOKEN=True)
    secret = take_secret(site.hsm, site.user, "AES", bytes(16))
    assert private.attributes["EXTRACTABLE"]
    assert site.hsm.keys.clear_value(site.user, private.handle) is None
    assert site.hsm.keys.clear_value(site.user, secret.handle) is None
    for session in (site.user, site.other):
        assert site.hsm.keys.clear_value(session, public.handle) == public_info(ec_key())
    with pytest.raises(PermissionDenied):
        site.hsm.keys.clear_value(site.admin, public.handle)
    for key in (public, private):
        site.hsm.keys.destroy(site.user, key.handle)


@pytest.mark.parametrize(
    ("attributes", "readable"),
    [({}, True), ({"EXTRACTABLE": False}, False), ({"WRAP_WITH_TRUSTED": True}, False), ({"TOKEN": True}, True)],
)
def test_with_extraction_on_attributes_decide(open_site: Site, attributes: dict[str, bool], readable: bool) -> None:
    hsm, user = open_site.hsm, open_site.user
    secret = take_secret(hsm, user, "AES", bytes(range(16)), **attributes)
    private = hsm.keys.import_(user, {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"} | attributes, pkcs8(ec_key()))
    assert hsm.keys.clear_value(user, secret.handle) == (bytes(range(16)) if readable else None)
    assert hsm.keys.clear_value(user, private.handle) == (pkcs8(ec_key()) if readable else None)
    hsm.keys.set_attributes(user, secret.handle, {"WRAP_WITH_TRUSTED": True})
    assert hsm.keys.clear_value(user, secret.handle) is None
