"""Aliases: their validity, the keys that they name, and the rules for setting them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hsmcore.errors import KeyAmbiguous, KeyNotFound, KeyStoreEntry
from hsmcore.keys.records import KeyRecord
from keystore import file as key_store_file
from keystore.entries import Kind
from keystore.store import NO_KEY
from tests.keystore.bench import Bench

Certify = Callable[[KeyRecord], bytes]


def test_new_store_is_empty(bench: Bench) -> None:
    store = bench.store()
    assert store.aliases() == []
    assert store.is_key("nothing") is None
    assert store.get_key("nothing") is None


def test_aliases_are_file_entries_then_labels(bench: Bench, certify: Certify, root: bytes) -> None:
    bench.secret("Secret")
    bench.pair("x:Public", "x:Private")
    store = bench.store()
    store.set_certificate("zz-root", root)
    assert store.aliases() == ["zz-root", "Secret", "x:Private", "x:Public"]


def test_alias_keeps_its_case(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "MixedCase Ümläut/%41 \U0001f511")
    store = bench.store()
    alias = "MixedCase Ümläut/%41 \U0001f511"
    store.set_key(alias, key.handle, [certify(key)])
    assert bench.store(store.save("changeit"), "changeit").aliases() == [alias]


def test_key_without_entry_in_the_file(bench: Bench) -> None:
    key = bench.secret("only-in-hsm")
    assert bench.store().is_key("only-in-hsm") is True
    assert bench.store().get_key("only-in-hsm") == key


def test_label_of_a_public_key(bench: Bench) -> None:
    bench.pair("x:Public", "x:Private")
    store = bench.store()
    assert store.is_key("x:Public") is True
    found = store.get_key("x:Public")
    assert found is not None
    assert found.attributes["OBJECT_CLASS"] == "PUBLIC_KEY"


def test_pair_with_one_label_is_not_ambiguous(bench: Bench) -> None:
    key = bench.pair("both", "both")
    store = bench.store()
    assert store.get_key("both") == key
    assert store.is_key("both") is True
    assert store.aliases() == ["both"]


def test_label_of_several_keys(bench: Bench) -> None:
    bench.secret("twice")
    bench.secret("twice")
    store = bench.store()
    assert store.aliases() == ["twice"]
    assert store.is_key("twice") is False
    with pytest.raises(
        KeyAmbiguous, match=re.escape("KeyStore should return only one key for the provided alias twice")
    ):
        store.get_key("twice")


def test_set_key_that_has_the_label(bench: Bench, certify: Certify, root: bytes) -> None:
    key = bench.pair("x:Public", "x:Private")
    store = bench.store()
    leaf = certify(key)
    before = int(time.time() * 1000)
    store.set_key("x:Private", key.handle, [leaf, root])
    entry = store.entries["x:Private"]
    assert (entry.kind, entry.chain, entry.key) == (Kind.KEY, (leaf, root), None)
    assert before <= entry.created <= time.time() * 1000
    assert store.is_key("x:Private") is True


def test_set_key_again_with_longer_chain(bench: Bench, certify: Certify, root: bytes) -> None:
    key = bench.pair(None, "renewed")
    store = bench.store()
    store.set_key("renewed", key.handle, [certify(key)])
    store = bench.store(store.save("changeit"), "changeit")
    signed = certify(key)
    store.set_key("renewed", key.handle, [signed, root])
    assert store.chain("renewed") == (signed, root)


def test_set_key_that_another_key_has(bench: Bench, certify: Certify) -> None:
    bench.secret("taken")
    key = bench.pair()
    store = bench.store()
    with pytest.raises(KeyStoreEntry, match="taken"):
        store.set_key("taken", key.handle, [certify(key)])
    assert store.entries == {}
    assert not bench.record(key.handle).attributes.get("LABEL")


def test_set_key_over_a_certificate(bench: Bench, certify: Certify, root: bytes) -> None:
    key = bench.pair()
    store = bench.store()
    store.set_certificate("root", root)
    with pytest.raises(KeyStoreEntry):
        store.set_key("root", key.handle, [certify(key)])


def test_set_private_key_without_chain(bench: Bench) -> None:
    key = bench.pair(None, "bare")
    with pytest.raises(KeyStoreEntry, match="chain"):
        bench.store().set_key("bare", key.handle, [])


def test_set_key_with_another_keys_certificate(bench: Bench, certify: Certify) -> None:
    key, other = bench.pair(None, "mine"), bench.pair(None, "other")
    store = bench.store()
    with pytest.raises(KeyStoreEntry, match="another key"):
        store.set_key("mine", key.handle, [certify(other)])
    assert store.entries == {}


def test_set_key_with_broken_certificate(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "mine")
    with pytest.raises(KeyStoreEntry, match="certificate 1"):
        bench.store().set_key("mine", key.handle, [certify(key), b"no certificate"])


def test_set_key_that_is_gone(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "gone")
    leaf = certify(key)
    bench.hsm.keys.destroy(bench.session, key.handle)
    with pytest.raises(KeyNotFound):
        bench.store().set_key("gone", key.handle, [leaf])


def test_set_key_labels_both_halves(bench: Bench, certify: Certify) -> None:
    key = bench.pair()
    store = bench.store()
    store.set_key("named", key.handle, [certify(key)])
    labelled = bench.hsm.keys.find(bench.session, {"LABEL": "named"})
    assert {record.attributes["OBJECT_CLASS"] for record in labelled} == {"PRIVATE_KEY", "PUBLIC_KEY"}
    assert store.get_key("named") == bench.record(key.handle)
    store.save("changeit")
    bench.relogin()
    kept = bench.hsm.keys.find(bench.session, {"LABEL": "named"})
    assert len(kept) == 2
    assert all(record.attributes["TOKEN"] for record in kept)


def test_set_key_under_an_alias_that_is_not_its_label(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "label")
    store = bench.store()
    store.set_key("alias", key.handle, [certify(key)])
    assert store.get_key("alias") == bench.record(key.handle)
    assert bench.record(key.handle).attributes["LABEL"] == "label"
    again = bench.store(store.save("changeit"), "changeit")
    found = again.get_key("alias")
    assert found is not None
    assert found.attributes["LABEL"] == "label"


def test_save_makes_keys_persistent_and_nothing_before(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "kept")
    store = bench.store()
    store.set_key("kept", key.handle, [certify(key)])
    assert bench.record(key.handle).attributes["TOKEN"] is False
    file = store.save("changeit")
    assert bench.record(key.handle).attributes["TOKEN"] is True
    bench.relogin()
    found = bench.store(file, "changeit").get_key("kept")
    assert found is not None
    assert found.public_key_info == key.public_key_info


def test_key_that_is_not_saved_ends_with_its_session(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "lost")
    bench.store().set_key("lost", key.handle, [certify(key)])
    bench.relogin()
    assert bench.store().aliases() == []


def test_import_secret_key(bench: Bench) -> None:
    store = bench.store()
    attributes = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}
    record = store.import_key("aes", attributes, bytes(range(32)), [])
    assert record.attributes["LABEL"] == "aes"
    assert record.attributes["TOKEN"] is False
    assert record.attributes["EXTRACTABLE"] is True
    assert store.is_key("aes") is True
    assert store.entries == {}
    store.save("changeit")
    bench.relogin()
    found = bench.store().get_key("aes")
    assert found is not None
    assert found.attributes["SIZE"] == 256


def test_import_private_key(bench: Bench, authority: ec.EllipticCurvePrivateKey, root: bytes) -> None:
    store = bench.store()
    material = authority.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    attributes = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"}
    store.import_key("ca", attributes, material, [root])
    file = store.save("changeit")
    bench.relogin()
    store = bench.store(file, "changeit")
    key = store.get_key("ca")
    assert key is not None
    assert store.chain("ca") == (root,)
    assert bench.hsm.crypto.sign(bench.session, key.handle, "ECDSA_SHA256", None, bytes(32))


def test_import_with_foreign_certificate_leaves_no_key(
    bench: Bench, certify: Certify, authority: ec.EllipticCurvePrivateKey
) -> None:
    material = authority.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    attributes = {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "EC"}
    foreign = certify(bench.pair())
    with pytest.raises(KeyStoreEntry, match="another key"):
        bench.store().import_key("ca", attributes, material, [foreign])
    assert bench.store().is_key("ca") is None


def test_import_does_not_overwrite(bench: Bench) -> None:
    key = bench.secret("taken")
    attributes = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}
    with pytest.raises(KeyStoreEntry, match="taken"):
        bench.store().import_key("taken", attributes, bytes(32), [])
    assert bench.store().get_key("taken") == key


def test_certificate_entry(bench: Bench, root: bytes) -> None:
    store = bench.store()
    store.set_certificate("root", root)
    assert (store.entries["root"].kind, store.chain("root")) == (Kind.TRUSTED, (root,))
    assert store.is_key("root") is False
    assert store.get_key("root") is None


@pytest.mark.parametrize("taken", ["certificate", "key"])
def test_certificate_over_something_else(bench: Bench, root: bytes, taken: str) -> None:
    store = bench.store()
    store.set_certificate("certificate", root)
    bench.secret("key")
    with pytest.raises(KeyStoreEntry, match=taken):
        store.set_certificate(taken, root)


def test_delete_leaves_the_hsms_keys(bench: Bench, certify: Certify, root: bytes) -> None:
    key = bench.pair(None, "key")
    store = bench.store()
    store.set_key("key", key.handle, [certify(key)])
    store.set_certificate("root", root)
    for alias in ("key", "root", "never there"):
        store.delete(alias)
    assert store.aliases() == ["key"]
    assert store.chain("key") == ()
    assert bench.record(key.handle)


def test_chain_whose_key_was_destroyed(bench: Bench, certify: Certify) -> None:
    key = bench.pair(None, "gone")
    store = bench.store()
    store.set_key("gone", key.handle, [certify(key)])
    bench.hsm.keys.destroy(bench.session, key.handle)
    assert store.chain("gone")
    assert store.is_key("gone") is True
    assert store.get_key("gone") is None


def test_empty_alias(bench: Bench, root: bytes) -> None:
    with pytest.raises(KeyStoreEntry, match="alias"):
        bench.store().set_certificate("", root)


def test_a_session_key_that_is_gone_is_not_saved_silently(bench: Bench, certify: Certify) -> None:
    lost, kept = bench.pair(None, "lost"), bench.pair(None, "kept")
    store = bench.store()
    for key in (kept, lost):
        store.set_key(str(key.attributes["LABEL"]), key.handle, [certify(key)])
    bench.hsm.keys.destroy(bench.session, lost.handle)
    with pytest.raises(KeyStoreEntry, match="key of alias lost"):
        store.save("changeit")
    assert bench.record(kept.handle).attributes["TOKEN"] is False
    store.delete("lost")
    store.save("changeit")
    assert bench.record(kept.handle).attributes["TOKEN"] is True


def test_a_public_half_that_is_gone_does_not_keep_its_key_from_being_saved(bench: Bench, certify: Certify) -> None:
    key = bench.pair()
    assert key.public_key_info is not None
    store = bench.store()
    store.set_key("named", key.handle, [certify(key)])
    for half in bench.hsm.keys.find_pair(bench.session, key.public_key_info):
        if half.attributes["OBJECT_CLASS"] == "PUBLIC_KEY":
            bench.hsm.keys.destroy(bench.session, half.handle)
    store.save("changeit")
    assert bench.record(key.handle).attributes["TOKEN"] is True


def test_all_entries_at_once_are_those_one_by_one(bench: Bench, certify: Certify, root: bytes) -> None:
    store = bench.store()
    pair = bench.pair(public="pair", private="pair")
    store.set_key("pair", pair.handle, [certify(pair)])
    linked = bench.pair(private="another label")
    store.set_key("linked", linked.handle, [certify(linked)])
    gone = bench.pair(private="gone")
    store.set_key("gone", gone.handle, [certify(gone)])
    bench.hsm.keys.destroy(bench.session, gone.handle)
    store.set_certificate("root", root)
    for label in ("one", "twice", "twice", ""):
        bench.secret(label)
    for label in ("public", "publics", "publics"):
        bench.pair(public=label)
    # A label in the HSM that the file has too, and one of two keys beside a chain.
    bench.secret("root")
    bench.secret("pair")
    for opened in (store, bench.store(key_store_file.encode(store.entries, "changeit"), "changeit")):
        listing = opened.listing()
        assert {alias: bool(name) for alias, name in listing.items()} == {
            alias: opened.is_key(alias) for alias in opened.aliases()
        }
        for alias, name in listing.items():
            if name:
                record = opened.get_key(alias)
                assert name == (record.attributes["OBJECT_CLASS"] if record else NO_KEY)
        assert {"", "PRIVATE_KEY", "SECRET_KEY"} <= set(listing.values())
