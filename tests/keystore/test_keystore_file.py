"""The key store file: what it holds, what it never holds, and what becomes of damaged ones."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st

from hsmcore.errors import KeyStoreDamaged, KeyStoreError, KeyStorePassword
from hsmcore.keys.records import KeyRecord
from keystore import file as key_store_file
from keystore.entries import Entry, Kind
from tests import jdk
from tests.keystore.bench import Bench

Certify = Callable[[KeyRecord], bytes]
PASSWORD = "pass wörd"


def _trusted(certificate: bytes) -> Entry:
    return Entry(Kind.TRUSTED, (certificate,), 1)


def test_round_trip(bench: Bench, certify: Certify, root: bytes) -> None:
    store = bench.store()
    for name in ("b", "a"):
        key = bench.pair(None, name)
        store.set_key(name, key.handle, [certify(key), root])
    store.set_certificate("root", root)
    again = bench.store(store.save(PASSWORD), PASSWORD)
    assert again.aliases() == ["b", "a", "root"]
    for alias in again.aliases():
        assert again.entries[alias] == store.entries[alias]


def test_empty_store(bench: Bench) -> None:
    assert bench.store(bench.store().save(PASSWORD), PASSWORD).aliases() == []


def test_wrong_password(bench: Bench) -> None:
    with pytest.raises(KeyStorePassword):
        bench.store(bench.store().save(PASSWORD), "wrong")


def test_without_password_only_the_form_is_checked(root: bytes) -> None:
    decoded = key_store_file.decode(key_store_file.encode({"root": _trusted(root)}, PASSWORD), None)
    assert decoded.entries == {}
    assert "without its password" in str(decoded.loses)


@pytest.mark.parametrize("written", [None, ""])
@pytest.mark.parametrize("read", [None, ""])
def test_no_password_and_the_empty_one_are_the_same(root: bytes, written: str | None, read: str | None) -> None:
    entries = {"root": _trusted(root)}
    file = key_store_file.encode(entries, written)
    assert key_store_file.decode(file, read) == key_store_file.Decoded(entries)
    with pytest.raises(KeyStorePassword):
        key_store_file.decode(file, "another")
    changed = file.replace(b"Root", b"Toor", 1)
    assert changed != file
    with pytest.raises(KeyStorePassword):
        key_store_file.decode(changed, "")


@pytest.mark.parametrize(
    "file", [b"", b"0", b"0\x80", b"plain text", bytes(100), b"0\x84\xff\xff\xff\xff", b"\x30\x03\x02\x01\x03"]
)
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_not_a_key_store(bench: Bench, file: bytes, password: str | None) -> None:
    with pytest.raises(KeyStoreDamaged):
        bench.store(file, password)


def test_every_truncation(bench: Bench, root: bytes) -> None:
    store = bench.store()
    store.set_certificate("root", root)
    file = store.save(PASSWORD)
    for length in range(len(file)):
        with pytest.raises(KeyStoreDamaged):
            key_store_file.decode(file[:length], PASSWORD)
    with pytest.raises(KeyStoreDamaged):
        key_store_file.decode(file + b"\0", PASSWORD)


@pytest.mark.filterwarnings("ignore:PKCS#12 bundle")
def test_changed_bytes(root: bytes) -> None:
    entries = {"root": _trusted(root)}
    file = key_store_file.encode(entries, PASSWORD)
    refused = 0
    for position in range(len(file)):
        changed = bytearray(file)
        changed[position] ^= 0x41
        try:
            # What the authentication code does not cover holds nothing of an entry.
            assert key_store_file.decode(bytes(changed), PASSWORD).entries == entries
        except KeyStoreError:
            refused += 1
    assert refused > 0.97 * len(file)


def test_an_entry_without_certificates_and_a_link_are_in_no_file(root: bytes) -> None:
    entries = {"secret": Entry(Kind.KEY, (), 1, key=7), "pair": Entry(Kind.KEY, (root,), 1, key=8)}
    decoded = key_store_file.decode(key_store_file.encode(entries, PASSWORD), PASSWORD)
    assert decoded.entries == {"pair": Entry(Kind.KEY, (root,), 1)}


def test_a_newer_format_is_refused(root: bytes) -> None:
    mark = key_store_file.MARK + b"2"
    certificate = pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(root), mark)
    newer = pkcs12.serialize_java_truststore([certificate], key_store_file.protection(PASSWORD))
    with pytest.raises(KeyStoreDamaged, match="format 2, which is newer"):
        key_store_file.decode(newer, PASSWORD)


def test_no_key_material_in_the_file(bench: Bench) -> None:
    material = bytes(range(100, 132))
    store = bench.store()
    store.import_key("aes", {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}, material, [])
    file = store.save(PASSWORD)
    content = pkcs12.load_pkcs12(file, PASSWORD.encode())
    assert content.key is None
    assert material not in file


def test_the_jdk_reads_the_file(bench: Bench, root: bytes, tmp_path: Path) -> None:
    store = bench.store()
    store.set_certificate("root", root)
    path = tmp_path / "certs.store"
    path.write_bytes(store.save("changeit"))
    command = [
        *jdk.command("keytool"),
        "-list",
        "-storetype",
        "PKCS12",
        "-keystore",
        str(path),
        "-storepass",
        "changeit",
    ]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "2 entries" in listed
    assert "/root, " in listed


@given(alias=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), created=st.integers(0, 2**53))
def test_any_alias(root: bytes, alias: str, created: int) -> None:
    entries = {alias: Entry(Kind.TRUSTED, (root,), created)}
    assert key_store_file.decode(key_store_file.encode(entries, PASSWORD), PASSWORD).entries == entries
