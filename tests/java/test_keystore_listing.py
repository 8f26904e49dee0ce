"""A listing answers for its aliases for a moment; what this JVM changes is seen at once."""

from __future__ import annotations

import pytest

from bridge.carriers import jvm
from bridge.pytest_plugin import HsmUnderTest
from bridge.server import pages
from tests import jca
from tests.jca import java


def test_changes_after_a_listing_are_seen(hsm: HsmUnderTest) -> None:
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    jca.imported_secret(bytes(16), alias="first")
    assert [str(alias) for alias in java("java.util.Collections").list(store.aliases())] == ["first"]
    assert store.containsAlias("first")
    jca.imported_secret(bytes(16), alias="second")
    assert store.containsAlias("second")
    assert store.size() == 2
    store.getKey("first", None).destroy()
    assert not store.containsAlias("first")
    assert not store.isKeyEntry("first")
    assert store.size() == 1


def test_keys_that_others_make_after_a_listing_are_seen(hsm: HsmUnderTest) -> None:
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    assert store.size() == 0
    hsm.hsm.keys.generate(hsm.session, "AES_KEY_GEN", {"LABEL": "elsewhere", "TOKEN": True})
    assert store.containsAlias("elsewhere")


def test_a_listing_ends_with_the_login(hsm: HsmUnderTest) -> None:
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    jca.generated(SIZE=256, LABEL="in the session")
    assert store.size() == 1
    hsm.provider.logout()
    with pytest.raises(java("com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException")):
        store.containsAlias("in the session")
    jvm.login(hsm.provider, hsm.user, hsm.password)
    store.load(None, None)
    assert not store.containsAlias("in the session")


def test_what_was_counted_is_listed_once(hsm: HsmUnderTest) -> None:
    """keytool asks for the number and then for the aliases, and shows both."""
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    jca.imported_secret(bytes(16), alias="first")
    assert store.size() == 1
    hsm.hsm.keys.generate(hsm.session, "AES_KEY_GEN", {"LABEL": "elsewhere", "TOKEN": True})
    listed = java("java.util.Collections").list
    assert [str(alias) for alias in listed(store.aliases())] == ["first"]
    assert sorted(str(alias) for alias in listed(store.aliases())) == ["elsewhere", "first"]
    assert store.size() == 2
    jca.imported_secret(bytes(16), alias="second")
    assert len(listed(store.aliases())) == 3


def test_lists_that_come_in_pages(hsm: HsmUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_KEYS", 3)
    monkeypatch.setattr(pages, "MAX_BYTES", 600)
    labels = [f"{number:02}".ljust(100, "x") for number in range(10)]
    for label in labels:
        jca.generated(SIZE=256, LABEL=label)
    store = java("com.amazonaws.cloudhsm.jce.provider.KeyStoreWithAttributes").getInstance("cloudhsm")
    store.load(None, None)
    assert [str(alias) for alias in java("java.util.Collections").list(store.aliases())] == labels
    found = store.getKeys(jca.attribute_map(SIZE=256))
    assert [str(key.attribute("LABEL")) for key in found] == labels
