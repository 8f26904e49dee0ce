"""Random lives of an HSM, step by step beside a plain model of what it should do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from hsmcore import Hsm
from hsmcore.errors import (
    AttributeInvalid,
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    KeyTypeInconsistent,
    PermissionDenied,
    SharingInvalid,
    Unauthenticated,
)
from hsmcore.keys.records import KeyRecord, Sharing
from hsmcore.sessions.session import Session
from tests.conftest import repeated

from .conftest import ADMIN_PASSWORD, PASSWORDS, make_site
from .making import ec_key, take_pair

_Kind = type[HsmError] | None
_BOOLEANS = ("TOKEN", "DESTROYABLE", "MODIFIABLE", "ENCRYPT", "DECRYPT", "SIGN", "VERIFY")
_LABELS = st.sampled_from(["", "red", "blue"])
_USERS = st.sets(st.sampled_from(list(PASSWORDS)), max_size=1)
_FLAGS = st.dictionaries(st.sampled_from(("TOKEN", "DESTROYABLE", "ENCRYPT", "SIGN")), st.booleans(), max_size=3)
_CHANGES = st.dictionaries(st.sampled_from(_BOOLEANS), st.booleans(), max_size=3)
_DATA = b"what is protected with these keys"
_DIGEST = bytes(range(32))


@dataclass(eq=False)
class _Login:
    user: str
    real: Session
    alive: bool = True


@dataclass(eq=False)
class _Key:
    record: KeyRecord
    owner: str
    maker: _Login
    attributes: dict[str, object]
    there: bool = True
    shared: set[str] = field(default_factory=set)
    outputs: list[tuple[str, bytes, dict[str, object] | None]] = field(default_factory=list)

    def seen_by(self, login: _Login) -> bool:
        if not self.there or not login.alive:
            return False
        if login.user in self.shared:
            return True
        if not self.attributes["TOKEN"]:
            return login is self.maker
        return login.user == self.owner or self.attributes["OBJECT_CLASS"] == "PUBLIC_KEY"

    def sharing_told(self, login: _Login) -> set[str]:
        """Return with whom a user who sees the key is told that it is shared."""
        return self.shared if login.user == self.owner else self.shared & {login.user}

    def fits(self, name: str) -> bool:
        """Tell whether a usage goes with the key's class and type (AES or EC)."""
        names = {"SECRET_KEY": "ENCRYPT DECRYPT SIGN VERIFY", "PUBLIC_KEY": "VERIFY", "PRIVATE_KEY": "SIGN"}
        return name in names[str(self.attributes["OBJECT_CLASS"])].split()


class Machine(RuleBasedStateMachine):
    """The rules. ``_expect`` does a call and compares whether, and how, it fails."""

    logins = Bundle("logins")
    keys = Bundle("keys")
    template: tempfile.TemporaryDirectory[str] | None = None

    @initialize(target=logins)
    def begin(self) -> object:
        """Open a copy of one HSM, since making users takes long."""
        if Machine.template is None:
            Machine.template = tempfile.TemporaryDirectory(prefix="hsm-model-")
            make_site(Path(Machine.template.name, "hsm")).hsm.close()
        self.folder = tempfile.TemporaryDirectory(prefix="hsm-run-")
        self.home = Path(self.folder.name, "hsm")
        shutil.copytree(Path(Machine.template.name, "hsm"), self.home)
        self.hsm = Hsm.open(self.home)
        self.all_logins: list[_Login] = []
        self.all_keys: list[_Key] = []
        return multiple(*map(self._logged_in, PASSWORDS))

    def teardown(self) -> None:
        self.hsm.close()
        self.folder.cleanup()

    def _expect(self, kind: _Kind, call: Callable[..., object], *arguments: object) -> object:
        if kind is None:
            return call(*arguments)
        with pytest.raises(kind) as caught:
            call(*arguments)
        assert caught.type is kind
        return None

    @rule(target=logins, user=st.sampled_from(list(PASSWORDS)))
    def login(self, user: str) -> _Login:
        return self._logged_in(user)

    def _logged_in(self, user: str) -> _Login:
        made = _Login(user, self.hsm.users.login(user, PASSWORDS[user]))
        self.all_logins.append(made)
        return made

    @rule(login=logins)
    def logout(self, login: _Login) -> None:
        self.hsm.users.logout(login.real)
        self._end(login)

    def _end(self, login: _Login) -> None:
        login.alive = False
        for key in self.all_keys:
            if key.maker is login and not key.attributes["TOKEN"]:
                key.there = False

    @rule()
    def reopen(self) -> None:
        self.hsm.close()
        for login in self.all_logins:
            self._end(login)
        self.hsm = Hsm.open(self.home)
        admin = self.hsm.users.login("admin", ADMIN_PASSWORD, "admin")
        known = {key.record.handle: key.attributes["LABEL"] for key in self.all_keys if key.there}
        assert {key.handle: key.attributes["LABEL"] for key in self.hsm.keys.find(admin, {})} == known
        self.hsm.users.logout(admin)

    def _took(self, login: _Login, record: KeyRecord, flags: dict[str, object]) -> _Key:
        key = _Key(record, login.user, login, dict(record.attributes))
        assert {name: record.attributes[name] for name in flags} == flags
        self.all_keys.append(key)
        return key

    @rule(target=keys, login=logins, label=_LABELS, flags=_FLAGS, users=_USERS)
    def generate(self, login: _Login, label: str, flags: dict[str, bool], users: set[str]) -> object:
        wishes = {"LABEL": label, **flags}
        kind = self._sharing_at_birth(login, users)
        made = self._expect(kind, self.hsm.keys.generate, login.real, "AES_KEY_GEN", wishes, Sharing((*users,)))
        if not isinstance(made, KeyRecord):
            return multiple()
        key = self._took(login, made, wishes)
        key.shared = set(users)
        return key

    @staticmethod
    def _sharing_at_birth(login: _Login, users: set[str]) -> _Kind:
        if not login.alive:
            return Unauthenticated
        return SharingInvalid if login.user in users else None

    @rule(target=keys, login=logins, label=_LABELS, token=st.booleans(), users=_USERS)
    def pair(self, login: _Login, label: str, token: bool, users: set[str]) -> object:
        wishes: dict[str, object] = {"LABEL": label, "TOKEN": token}
        kind = self._sharing_at_birth(login, users)
        sharing = Sharing((*users,))
        made = self._expect(kind, self.hsm.keys.generate_pair, login.real, "EC_KEY_PAIR_GEN", wishes, wishes, sharing)
        taken = self._took_both(login, made, wishes)
        if isinstance(made, tuple):
            self.all_keys[-1].shared = set(users)
        return taken

    @rule(login=logins, key=keys, user=st.sampled_from(list(PASSWORDS)))
    def share(self, login: _Login, key: _Key, user: str) -> None:
        kind = self._ownership(login, key)
        if kind is None and (key.attributes["OBJECT_CLASS"] == "PUBLIC_KEY" or user in {key.owner, *key.shared}):
            kind = SharingInvalid
        self._expect(kind, self.hsm.keys.share, login.real, key.record.handle, user)
        if kind is None:
            key.shared.add(user)

    @rule(login=logins, key=keys, user=st.sampled_from(list(PASSWORDS)))
    def unshare(self, login: _Login, key: _Key, user: str) -> None:
        kind = self._ownership(login, key)
        if kind is None and user not in key.shared:
            kind = SharingInvalid
        self._expect(kind, self.hsm.keys.unshare, login.real, key.record.handle, user)
        if kind is None:
            key.shared.remove(user)

    @rule(target=keys, login=logins, token=st.booleans())
    def take(self, login: _Login, token: bool) -> object:
        kind = None if login.alive else Unauthenticated
        made = self._expect(kind, lambda: take_pair(self.hsm, login.real, ec_key(), TOKEN=token))
        return self._took_both(login, made, {"TOKEN": token, "LOCAL": False})

    def _took_both(self, login: _Login, made: object, wishes: dict[str, object]) -> object:
        return (
            multiple(*(self._took(login, record, wishes) for record in made)) if isinstance(made, tuple) else multiple()
        )

    @rule(login=logins, wanted=st.fixed_dictionaries({}, optional={"LABEL": _LABELS, "TOKEN": st.booleans()}))
    def find(self, login: _Login, wanted: dict[str, object]) -> None:
        kind = None if login.alive else Unauthenticated
        found = self._expect(kind, self.hsm.keys.find, login.real, wanted)
        seen = [key for key in self.all_keys if key.seen_by(login) and wanted.items() <= key.attributes.items()]
        assert found is None or found == [key.record for key in seen]

    @rule(
        login=logins,
        wanted=st.fixed_dictionaries({}, optional={"LABEL": _LABELS, "TOKEN": st.booleans(), "SIGN": st.booleans()}),
        first=st.integers(0, 6),
        limit=st.integers(0, 4),
    )
    def page(self, login: _Login, wanted: dict[str, object], first: int, limit: int) -> None:
        kind = None if login.alive else Unauthenticated
        answer = self._expect(kind, self.hsm.keys.describe, login.real, None, wanted, first, limit)
        if isinstance(answer, tuple):
            seen = [key for key in self.all_keys if key.seen_by(login) and wanted.items() <= key.attributes.items()]
            expected = seen[first : first + limit if limit else None]
            told = [(one.record, one.owner, set(one.sharing.users)) for one in answer[0]]
            assert told == [(key.record, key.owner, key.sharing_told(login)) for key in expected]
            assert answer[1] == len(seen)

    def _access(self, login: _Login, key: _Key) -> _Kind:
        if not login.alive:
            return Unauthenticated
        return None if key.seen_by(login) else KeyNotFound

    def _ownership(self, login: _Login, key: _Key) -> _Kind:
        return self._access(login, key) or (None if login.user == key.owner else PermissionDenied)

    @rule(login=logins, key=keys, label=_LABELS, changes=_CHANGES)
    def set_some(self, login: _Login, key: _Key, label: str, changes: dict[str, bool]) -> None:
        wishes = {"LABEL": label, **changes}
        kind = self._ownership(login, key)
        if kind is None and not self._may_become(key, changes):
            kind = AttributeInvalid
        changed = self._expect(kind, self.hsm.keys.set_attributes, login.real, key.record.handle, wishes)
        if isinstance(changed, KeyRecord):
            key.record = changed
            key.attributes |= wishes

    def _may_become(self, key: _Key, changes: dict[str, bool]) -> bool:
        lost = key.attributes["TOKEN"] and changes.get("TOKEN") is False
        usages = [name for name, value in changes.items() if value and name not in _BOOLEANS[:3]]
        return bool(key.attributes["MODIFIABLE"]) and not lost and all(map(key.fits, usages))

    @rule(login=logins, key=keys)
    def destroy(self, login: _Login, key: _Key) -> None:
        kind = self._ownership(login, key)
        if kind is None and not key.attributes["DESTROYABLE"]:
            kind = KeyFunctionNotPermitted
        self._expect(kind, self.hsm.keys.destroy, login.real, key.record.handle)
        key.there = key.there and kind is not None

    def _use(self, login: _Login, key: _Key, usage: str) -> _Kind:
        denied = None if key.attributes[usage] else KeyFunctionNotPermitted
        return self._access(login, key) or (denied if key.fits(usage) else KeyTypeInconsistent)

    @rule(login=logins, key=keys)
    def protect(self, login: _Login, key: _Key) -> None:
        """Encrypt or sign, and keep what came of it."""
        handle = key.record.handle
        if key.attributes["KEY_TYPE"] == "AES":
            kind = self._use(login, key, "ENCRYPT")
            made = self._expect(kind, self.hsm.crypto.encrypt, login.real, handle, "AES_GCM", None, _DATA)
            if isinstance(made, tuple):
                key.outputs.append(("decrypt", *made))
            return
        kind = self._use(login, key, "SIGN")
        signature = self._expect(kind, self.hsm.crypto.sign, login.real, handle, "ECDSA_SHA256", None, _DIGEST)
        for other in self.all_keys if isinstance(signature, bytes) else []:
            is_public = other.attributes["OBJECT_CLASS"] == "PUBLIC_KEY"
            if is_public and other.record.public_key_info == key.record.public_key_info:
                other.outputs.append(("verify", signature, None))

    @rule(login=logins, key=keys)
    def check(self, login: _Login, key: _Key) -> None:
        """Decrypt or verify what the key, or its other half, made earlier."""
        handle = key.record.handle
        for name, made, parameters in key.outputs[-2:]:
            kind = self._use(login, key, name.upper())
            if name == "decrypt":
                plain = self._expect(kind, self.hsm.crypto.decrypt, login.real, handle, "AES_GCM", parameters, made)
                assert plain == (None if kind else _DATA)
            else:
                right = self._expect(
                    kind, self.hsm.crypto.verify, login.real, handle, "ECDSA_SHA256", None, _DIGEST, made
                )
                assert right is (None if kind else True)

    @invariant()
    def agrees(self) -> None:
        status = self.hsm.status()
        assert status["sessions"] == sum(login.alive for login in self.all_logins)
        assert status["keys"] == sum(key.there for key in self.all_keys)
        for login in self.all_logins:
            if login.alive:
                seen = [key for key in self.all_keys if key.seen_by(login)]
                assert self.hsm.keys.find(login.real, {}) == [key.record for key in seen]
                assert [dict(key.record.attributes) for key in seen] == [key.attributes for key in seen]


Machine.TestCase.settings = settings(deadline=None, max_examples=repeated(6, 15), stateful_step_count=30)
TestModel = Machine.TestCase
