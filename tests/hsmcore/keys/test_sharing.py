"""Sharing: who may use a key that another user owns, for what, and until when."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    HsmError,
    KeyNotFound,
    KeyQuorumFailed,
    OperationNotFound,
    PermissionDenied,
    SharingInvalid,
    StoreDamaged,
    UserNotFound,
)
from hsmcore.keys.records import KeyRecord, Sharing
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.databases import database
from tests.hsmcore.making import ec_key, one_of_each, public_info
from tests.hsmcore.older import make_first

OTHER = Sharing(("cu2",))


def _aes(site: Site, sharing: Sharing = OTHER, **attributes: object) -> KeyRecord:
    return site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True} | attributes, sharing)


@pytest.mark.parametrize("token", [True, False])
def test_a_shared_key_is_used_and_nothing_else(site: Site, token: bool) -> None:
    hsm, other = site.hsm, site.other
    key = _aes(site, TOKEN=token, LABEL="shared").handle
    sealed, parameters = hsm.crypto.encrypt(other, key, "AES_GCM", None, b"data")
    assert hsm.crypto.decrypt(site.user, key, "AES_GCM", parameters, sealed) == b"data"
    assert [found.handle for found in hsm.keys.find(other, {"LABEL": "shared"})] == [key]
    for call in (
        lambda: hsm.keys.set_attributes(other, key, {"LABEL": "mine"}),
        lambda: hsm.keys.destroy(other, key),
        lambda: hsm.keys.share(other, key, "cu2"),
        lambda: hsm.keys.unshare(other, key, "cu2"),
        lambda: hsm.keys.share(site.admin, key, "cu2"),
    ):
        with pytest.raises(PermissionDenied):
            call()
    assert hsm.keys.clear_value(other, key) is None
    hsm.keys.destroy(site.user, key)
    with pytest.raises(KeyNotFound):
        hsm.crypto.encrypt(other, key, "AES_GCM", None, b"data")


def test_extraction_stays_the_owners(open_site: Site) -> None:
    hsm = open_site.hsm
    key = _aes(open_site).handle
    assert hsm.keys.clear_value(open_site.user, key) is not None
    assert hsm.keys.clear_value(open_site.other, key) is None


def test_sharing_counts_at_once_and_ends_at_once(site: Site) -> None:
    hsm, other = site.hsm, site.other
    key = _aes(site, Sharing()).handle
    for _ in range(2):
        with pytest.raises(KeyNotFound):
            hsm.crypto.encrypt(other, key, "AES_CBC_PAD", None, b"data")
        hsm.keys.share(site.user, key, "CU2")
        hsm.crypto.encrypt(other, key, "AES_CBC_PAD", None, b"data")
        operation, _ = hsm.crypto.begin(other, "encrypt", key, "AES_CBC_PAD", None)
        hsm.keys.unshare(site.user, key, "cu2")
        with pytest.raises(OperationNotFound):
            hsm.crypto.update(other, operation, b"data")
    hsm.keys.destroy(site.user, key)


def test_a_shared_session_key_ends_with_its_session(site: Site) -> None:
    hsm = site.hsm
    session = hsm.users.login("cu1", PASSWORDS["cu1"])
    key = hsm.keys.generate(session, "AES_KEY_GEN", {}, OTHER).handle
    hsm.crypto.encrypt(site.other, key, "AES_GCM", None, b"")
    with pytest.raises(KeyNotFound):
        hsm.crypto.encrypt(site.user, key, "AES_GCM", None, b"")
    hsm.users.logout(session)
    with pytest.raises(KeyNotFound):
        hsm.crypto.encrypt(site.other, key, "AES_GCM", None, b"")


def test_an_admin_of_the_same_name_shares_nothing(site: Site) -> None:
    hsm = site.hsm
    hsm.users.create(site.admin, "cu2", "admin", ADMIN_PASSWORD)
    namesake = hsm.users.login("cu2", ADMIN_PASSWORD, "admin")
    key = _aes(site, TOKEN=False, LABEL="shared with a crypto user").handle
    assert hsm.keys.get(site.other, key).handle == key
    with pytest.raises(KeyNotFound):
        hsm.keys.get(namesake, key)
    assert hsm.keys.find(namesake, {"LABEL": "shared with a crypto user"}) == []
    hsm.keys.destroy(site.user, key)
    hsm.users.logout(namesake)
    hsm.users.delete(site.admin, "cu2", "admin")


def test_sharing_that_was_moved_into_another_column_does_not_open(tmp_path: Path) -> None:
    """The seal covers each field with its length, so that no two rows are the same bytes."""
    made = make_site(tmp_path / "hsm")
    with made.hsm:
        key = _aes(made).handle
    with database(made.home) as connection:
        edit = "UPDATE keys SET public_key_info = CAST(sharing AS BLOB), sharing = '' WHERE handle = ?"
        assert connection.execute(edit, (key,)).rowcount == 1
    with Hsm.open(made.home) as hsm, pytest.raises(StoreDamaged):
        hsm.crypto.encrypt(hsm.users.login("cu1", PASSWORDS["cu1"]), key, "AES_GCM", None, b"data")


def test_of_a_pair_the_private_half_is_shared(site: Site) -> None:
    hsm = site.hsm
    public, private = hsm.keys.generate_pair(site.user, "EC_KEY_PAIR_GEN", {"TOKEN": True}, {"TOKEN": True}, OTHER)
    signature = hsm.crypto.sign(site.other, private.handle, "ECDSA_SHA256", None, bytes(32))
    assert hsm.crypto.verify(site.other, public.handle, "ECDSA_SHA256", None, bytes(32), signature)
    for half, users in ((public, ()), (private, ("cu2",))):
        ((described,), _) = hsm.keys.describe(site.user, half.handle, {}, 0, 0)
        assert described.sharing.users == users
    for call in (hsm.keys.share, hsm.keys.unshare):
        with pytest.raises(SharingInvalid):
            call(site.user, public.handle, "cu2")
    wishes = {"OBJECT_CLASS": "PUBLIC_KEY", "KEY_TYPE": "EC"}
    with pytest.raises(SharingInvalid):
        hsm.keys.import_(site.user, wishes, public_info(ec_key()), OTHER)
    for half in (public, private):
        hsm.keys.destroy(site.user, half.handle)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("cu1", SharingInvalid),
        ("CU2", SharingInvalid),
        ("nobody", UserNotFound),
        ("admin", UserNotFound),
        ("", UserNotFound),
    ],
)
def test_sharing_that_is_refused(site: Site, name: str, error: type[HsmError]) -> None:
    hsm = site.hsm
    key = _aes(site).handle
    before = hsm.keys.describe(site.user, None, {}, 0, 0)
    with pytest.raises(error):
        _aes(site, Sharing(("cu2", name)))
    with pytest.raises(error):
        hsm.keys.share(site.user, key, name)
    if name != "CU2":
        with pytest.raises(error):
            hsm.keys.unshare(site.user, key, name)
    assert hsm.keys.describe(site.user, None, {}, 0, 0) == before
    hsm.keys.destroy(site.user, key)


def test_sharing_survives_reopening_and_changes_of_attributes(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        key = _aes(made).handle
        hsm.keys.set_attributes(made.user, key, {"LABEL": "renamed"})
        raised = _aes(made, TOKEN=False).handle
        hsm.keys.set_attributes(made.user, raised, {"TOKEN": True})
    with Hsm.open(tmp_path / "hsm") as hsm:
        other = hsm.users.login("cu2", PASSWORDS["cu2"])
        for handle in (key, raised):
            hsm.crypto.encrypt(other, handle, "AES_GCM", None, b"")


def test_a_later_user_of_the_same_name_gets_nothing(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        keys = [_aes(made, TOKEN=token).handle for token in (True, False)]
        hsm.users.logout(made.other)
        hsm.users.delete(made.admin, "cu2", "crypto-user")
        hsm.users.create(made.admin, "cu2", "crypto-user", PASSWORDS["cu2"])
        later = hsm.users.login("cu2", PASSWORDS["cu2"])
        for key in keys:
            with pytest.raises(KeyNotFound):
                hsm.crypto.encrypt(later, key, "AES_GCM", None, b"")
    with database(tmp_path / "hsm") as connection:
        assert connection.execute("SELECT DISTINCT sharing FROM keys").fetchall() == [("",)]
        assert connection.execute("SELECT * FROM shares").fetchall() == []
    with Hsm.open(tmp_path / "hsm") as hsm, pytest.raises(KeyNotFound):
        hsm.crypto.encrypt(hsm.users.login("cu2", PASSWORDS["cu2"]), keys[0], "AES_GCM", None, b"")


def test_an_edited_table_of_shares_gives_nothing(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm:
        key = _aes(made, Sharing(), LABEL="not shared").handle
    with database(tmp_path / "hsm") as connection:
        connection.execute("INSERT INTO shares VALUES (?, 'cu2')", (key,))
    with Hsm.open(tmp_path / "hsm") as hsm:
        other = hsm.users.login("cu2", PASSWORDS["cu2"])
        assert hsm.keys.find(other, {"LABEL": "not shared"}) == []
        with pytest.raises(KeyNotFound):
            hsm.crypto.encrypt(other, key, "AES_GCM", None, b"")


@pytest.mark.sqlite
def test_the_first_schema_opens_with_its_keys(tmp_path: Path) -> None:
    with make_site(tmp_path / "hsm").hsm as hsm:
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        keys = one_of_each(hsm, user, TOKEN=True)
    make_first(tmp_path / "hsm")
    with Hsm.open(tmp_path / "hsm") as hsm:
        assert len(hsm.info()["serial-number"]) == 16
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        assert hsm.keys.find(user, {}) == list(keys.values())
        for key in keys.values():
            if key.attributes["OBJECT_CLASS"] != "PUBLIC_KEY":
                hsm.keys.share(user, key.handle, "cu2")
    with Hsm.open(tmp_path / "hsm") as hsm:
        assert len(hsm.keys.find(hsm.users.login("cu2", PASSWORDS["cu2"]), {})) == len(keys)
        assert hsm.users.login("admin", ADMIN_PASSWORD, "admin").alive


def test_a_key_keeps_as_many_users_as_it_takes_approvals(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    with made.hsm as hsm:
        key = _aes(made).handle
        hsm.keys.set_quorum(made.user, key, 0, 2)
        with pytest.raises(SharingInvalid):
            hsm.keys.unshare(made.user, key, "cu2")
        hsm.users.logout(made.other)
        with pytest.raises(SharingInvalid):
            hsm.users.delete(made.admin, "cu2", "crypto-user")
        ((described,), _) = hsm.keys.describe(made.user, key, {}, 0, 0)
        assert described.sharing.users == ("cu2",)
        other = hsm.users.login("cu2", PASSWORDS["cu2"])
        for session in (made.user, other):
            with pytest.raises(KeyQuorumFailed):
                hsm.crypto.encrypt(session, key, "AES_GCM", None, b"")
