"""Copies of keys and users between an HSM and its clones, and nobody else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.errors import (
    AccountLocked,
    AuthenticationFailed,
    KeyNotFound,
    KeyQuorumFailed,
    KeyUnextractable,
    MaskedObjectForeign,
    MaskedObjectInvalid,
    PermissionDenied,
    ReplicaDiffers,
    UserNotFound,
)
from hsmcore.sessions.session import Session
from tests.hsmcore.backup.conftest import restored
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site, make_site
from tests.hsmcore.secrets_found import assert_absent, known_secrets, take_all

ENGINES = ("sqlite",)


@dataclass(frozen=True)
class Clone:
    """An HSM, one that was restored from its backup, and sessions of each."""

    site: Site
    hsm: Hsm
    admin: Session
    user: Session
    other: Session


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    site = make_site(tmp_path_factory.mktemp("pair") / "hsm")
    with site.hsm as hsm:
        file = Path(hsm.backups.create(site.admin).info.path)
        with restored(file, site.home.parent / "clone", site) as clone:
            admin = clone.users.login("admin", ADMIN_PASSWORD, "admin")
            users = [clone.users.login(name, password) for name, password in PASSWORDS.items()]
            yield Clone(site, clone, admin, *users)


def _key(site: Site, **attributes: object) -> int:
    return site.hsm.keys.generate(site.user, "AES_KEY_GEN", {"TOKEN": True, **attributes}).handle


def test_a_key_keeps_handle_owner_sharing_and_attributes(pair: Clone) -> None:
    hsm = pair.site.hsm
    handle = _key(pair.site, LABEL="copied", EXTRACTABLE=False)
    hsm.keys.share(pair.site.user, handle, "cu2")
    hsm.keys.set_quorum(pair.site.user, handle, 0, 2)
    masked = hsm.clones.extract_key(pair.site.user, handle)
    record = pair.hsm.clones.insert_key(pair.user, masked)
    assert record == hsm.keys.get(pair.site.user, handle)
    (there,), _ = pair.hsm.keys.describe(pair.user, handle, {}, 0, 1)
    (here,), _ = hsm.keys.describe(pair.site.user, handle, {}, 0, 1)
    assert there == here
    assert pair.hsm.keys.get(pair.other, handle).handle == handle
    with pytest.raises(KeyQuorumFailed):
        pair.hsm.crypto.encrypt(pair.user, handle, "AES_GCM", None, b"text")
    assert pair.hsm.clones.insert_key(pair.admin, masked).attributes == {"LABEL": "copied"}, "the same again"
    opcodes = [entry.opcode for entry in pair.hsm.audit.entries(pair.admin, 0)]
    assert opcodes[-2:] == ["CN_INSERT_MASKED_OBJECT_USER"] * 2
    assert not pair.hsm.audit.verify(pair.admin).findings


def test_a_copied_key_is_the_same_key(pair: Clone) -> None:
    handle = _key(pair.site, LABEL="same", EXTRACTABLE=False)
    text, parameters = pair.site.hsm.crypto.encrypt(pair.site.user, handle, "AES_GCM", None, b"text")
    pair.hsm.clones.insert_key(pair.admin, pair.site.hsm.clones.extract_key(pair.site.admin, handle))
    assert pair.hsm.crypto.decrypt(pair.user, handle, "AES_GCM", parameters, text) == b"text"
    wrapping = pair.hsm.keys.generate(pair.user, "AES_KEY_GEN", {"WRAP": True}).handle
    with pytest.raises(KeyUnextractable):
        pair.hsm.keys.wrap(pair.user, wrapping, "AES_KEY_WRAP_ZERO_PAD", None, handle)


def test_a_different_key_with_the_handle_is_not_replaced(pair: Clone) -> None:
    handle = _key(pair.site, LABEL="first")
    old = pair.site.hsm.clones.extract_key(pair.site.user, handle)
    pair.hsm.clones.insert_key(pair.user, old)
    pair.site.hsm.keys.set_attributes(pair.site.user, handle, {"LABEL": "second"})
    with pytest.raises(ReplicaDiffers, match="delete the unwanted one"):
        pair.hsm.clones.insert_key(pair.user, pair.site.hsm.clones.extract_key(pair.site.user, handle))
    assert pair.hsm.keys.get(pair.user, handle).attributes["LABEL"] == "first"
    pair.hsm.keys.destroy(pair.user, handle)
    pair.hsm.clones.insert_key(pair.user, pair.site.hsm.clones.extract_key(pair.site.user, handle))
    assert pair.hsm.keys.get(pair.user, handle).attributes["LABEL"] == "second"
    assert not pair.hsm.audit.verify(pair.admin).findings


def test_only_the_owner_and_an_admin_copy_a_key(pair: Clone) -> None:
    hsm = pair.site.hsm
    handle = _key(pair.site)
    with pytest.raises(KeyNotFound):
        hsm.clones.extract_key(pair.site.other, handle)
    hsm.keys.share(pair.site.user, handle, "cu2")
    with pytest.raises(PermissionDenied):
        hsm.clones.extract_key(pair.site.other, handle)
    session_key = hsm.keys.generate(pair.site.user, "AES_KEY_GEN", {}).handle
    with pytest.raises(KeyNotFound, match="session key"):
        hsm.clones.extract_key(pair.site.user, session_key)
    masked = hsm.clones.extract_key(pair.site.user, handle)
    with pytest.raises(PermissionDenied):
        pair.hsm.clones.insert_key(pair.other, masked)
    managed = _key(pair.site)
    hsm.keys.share(pair.site.user, managed, "cu2")
    hsm.keys.set_quorum(pair.site.user, managed, 2, 0)
    with pytest.raises(KeyQuorumFailed):
        hsm.clones.extract_key(pair.site.user, managed)


def test_a_user_keeps_password_and_lock(pair: Clone) -> None:
    hsm, admin = pair.site.hsm, pair.site.admin
    for name in ("new_one", "locked"):
        hsm.users.create(admin, name, "crypto-user", b"their-pass-001")
    for _ in range(6):
        with pytest.raises(AuthenticationFailed):
            hsm.users.login("locked", b"a-wrong-one-1")
    masked = hsm.clones.extract_user(admin, "New_One", "crypto-user")
    assert pair.hsm.clones.insert_user(pair.admin, masked).username == "new_one"
    assert pair.hsm.clones.insert_user(pair.admin, masked).username == "new_one", "the same again"
    session = pair.hsm.users.login("new_one", b"their-pass-001")
    assert session.alive
    pair.hsm.users.logout(session)
    assert pair.hsm.clones.insert_user(pair.admin, hsm.clones.extract_user(admin, "locked", "crypto-user")).locked
    with pytest.raises(AccountLocked):
        pair.hsm.users.login("locked", b"their-pass-001")
    pair.hsm.users.change_password(pair.admin, "locked", "crypto-user", b"their-pass-002")
    with pytest.raises(ReplicaDiffers):
        pair.hsm.clones.insert_user(pair.admin, hsm.clones.extract_user(admin, "locked", "crypto-user"))
    for call in (
        lambda: hsm.clones.extract_user(pair.site.user, "cu2", "crypto-user"),
        lambda: pair.hsm.clones.insert_user(pair.user, masked),
    ):
        with pytest.raises(PermissionDenied):
            call()
    with pytest.raises(UserNotFound):
        hsm.clones.extract_user(admin, "nobody", "crypto-user")
    assert not pair.hsm.audit.verify(pair.admin).findings


def test_a_key_of_a_user_who_is_missing_is_not_copied(pair: Clone) -> None:
    hsm = pair.site.hsm
    hsm.users.create(pair.site.admin, "only_here", "crypto-user", b"their-pass-001")
    session = hsm.users.login("only_here", b"their-pass-001")
    owned = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
    shared = _key(pair.site)
    hsm.keys.share(pair.site.user, shared, "only_here")
    for handle in (owned, shared):
        with pytest.raises(UserNotFound):
            pair.hsm.clones.insert_key(pair.admin, hsm.clones.extract_key(pair.site.admin, handle))


def test_an_unrelated_hsm_takes_nothing_and_says_why(pair: Clone, tmp_path: Path) -> None:
    stranger = make_site(tmp_path / "stranger")
    hsm = pair.site.hsm
    key = hsm.clones.extract_key(pair.site.user, _key(pair.site))
    user = hsm.clones.extract_user(pair.site.admin, "cu1", "crypto-user")
    with stranger.hsm as other:
        with pytest.raises(MaskedObjectForeign, match="security domain"):
            other.clones.insert_key(stranger.user, key)
        with pytest.raises(MaskedObjectForeign, match="security domain"):
            other.clones.insert_user(stranger.admin, user)


def test_a_changed_object_is_refused(pair: Clone) -> None:
    hsm, chance = pair.site.hsm, random.Random(3)
    key = hsm.clones.extract_key(pair.site.user, _key(pair.site))
    user = hsm.clones.extract_user(pair.site.admin, "cu2", "crypto-user")
    for masked, insert, session in (
        (key, pair.hsm.clones.insert_key, pair.user),
        (user, pair.hsm.clones.insert_user, pair.admin),
    ):
        changed = [b"", masked[:-1], masked + b"\0", masked[:17], user if masked is key else key]
        changed += [b"hsmmask\1" + (b"U" if masked is key else b"K") + masked[9:], bytes(2_000_000)]
        for place in [*range(17), *(chance.randrange(17, len(masked)) for _ in range(30))]:
            edited = bytearray(masked)
            edited[place] ^= 1 << chance.randrange(8)
            changed.append(bytes(edited))
        for one in changed:
            with pytest.raises((MaskedObjectInvalid, MaskedObjectForeign)):
                insert(session, one)


def test_nothing_secret_is_readable_in_a_masked_object(pair: Clone) -> None:
    hsm = pair.site.hsm
    keys = take_all(hsm, pair.site.user, TOKEN=True)
    masked = [hsm.clones.extract_key(pair.site.user, key.handle) for key in keys]
    masked.append(hsm.clones.extract_user(pair.site.admin, "cu1", "crypto-user"))
    assert_absent([*known_secrets(), *PASSWORDS.values(), b"$argon2id$"], *masked)
