"""The life of a program: its HSM and login, what becomes of its keys, and that the HSM has those of the model."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from jpype import JClass, JException

from bridge.carriers import jvm
from bridge.pytest_plugin import USER, fresh_hsm
from hsmcore import Hsm
from tests import jca

from .keys import USES, Handle, Key, sorted_items

_PASSWORD = "model-password-1"
PACKAGE = "com.amazonaws.cloudhsm.jce.provider"
KEY, PROVIDER = "java.security.InvalidKeyException", "java.security.ProviderException"
SIGNATURE, SPEC = "java.security.SignatureException", "java.security.spec.InvalidKeySpecException"
UNRECOVERABLE, STORE = "java.security.UnrecoverableKeyException", "java.security.KeyStoreException"


def _outcome(call: Callable[[], Any]) -> tuple[str | None, Any]:
    try:
        return None, call()
    except JException as refused:
        return str(refused.getClass().getName()), None


class Life(RuleBasedStateMachine):
    """State shared by the rules. ``agree`` makes a call and compares its outcome."""

    template: tempfile.TemporaryDirectory[str] | None = None
    steps: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        if Life.template is None:
            Life.template = tempfile.TemporaryDirectory(prefix="hsm-model-")
            fresh_hsm(Path(Life.template.name, "hsm"), _PASSWORD).close()
        self.folder = tempfile.TemporaryDirectory(prefix="hsm-run-")
        home = Path(self.folder.name, "hsm")
        shutil.copytree(Path(Life.template.name, "hsm"), home)
        self.core = Hsm.open(home)
        self.session = self.core.users.login(USER, _PASSWORD.encode())
        self.carrier = jvm.install(self.core)
        self.provider = jvm.add_provider()
        self.keys: list[Key] = []
        self.logins = 0
        self.store: Any = None
        self._login()

    def teardown(self) -> None:
        if hasattr(self, "provider"):
            jvm.remove_provider()
            self.carrier.close()
            self.core.close()
            self.folder.cleanup()

    def _login(self) -> None:
        jvm.login(self.provider, USER, _PASSWORD)
        self.store = JClass(f"{PACKAGE}.KeyStoreWithAttributes").getInstance("CloudHSM")
        self.store.load(None, None)
        self.unsaved: list[Key] = []
        self.logins += 1

    def agree(self, expected: str | None, call: Callable[[], Any]) -> Any:
        Life.steps["legal" if expected is None else "refused"] += 1
        said, result = _outcome(call)
        assert said == expected, f"{said}, not {expected}"
        return result

    def made(self, key: Key, java: Any) -> Handle:
        self.keys.append(key)
        return Handle(key, java)

    @rule()
    def logout_and_login(self) -> None:
        self.provider.logout()
        refused = f"{PACKAGE.removesuffix('.provider')}.jni.exception.AuthenticationException"
        generator = JClass("javax.crypto.KeyGenerator").getInstance("AES", jca.PROVIDER)
        self.agree(refused, generator.generateKey)
        self.agree("javax.security.auth.login.LoginException", self.provider.logout)
        for key in self.keys:
            key.there = key.there and key.may("TOKEN")
        self._login()

    def use(self, handle: Handle, use: str, *kinds: str, late: str = PROVIDER) -> str | None:
        if not handle.at_init(use, *kinds):
            return KEY
        return None if handle.key.there else late

    def labelled(self, label: str) -> list[Key]:
        """Return the keys that an alias means: private and secret ones, else public ones."""
        found = [key for key in self.keys if key.there and label and key.attributes["LABEL"] == label]
        return [key for key in found if key.is_class != "PUBLIC_KEY"] or found

    @invariant()
    def agrees(self) -> None:
        Life.steps["steps"] += 1
        there = [key for key in self.keys if key.there]
        assert self.core.status()["keys"] == len(there)
        names = {name for uses in USES.values() for name in uses.split()} | {"TOKEN", "LABEL", "OBJECT_CLASS"}
        records = self.core.keys.find(self.session, {})
        stored = [{name: record.attributes[name] for name in names} for record in records]
        modelled = [{name: key.attributes.get(name, False) for name in names} for key in there if key.may("TOKEN")]
        assert sorted(map(sorted_items, stored)) == sorted(map(sorted_items, modelled))
        labels = {str(key.attributes["LABEL"]) for key in there} - {""}
        assert {str(alias) for alias in JClass("java.util.Collections").list(self.store.aliases())} == labels
        assert self.store.size() == len(labels)
        assert self.store.getKeys(jca.attribute_map()).size() == len(there)
