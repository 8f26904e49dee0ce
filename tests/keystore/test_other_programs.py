"""PKCS #12 files of the JDK's own key store and of others, loaded as a CloudHSM key store."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat, pkcs12

from hsmcore.errors import KeyStoreDamaged, KeyStoreEntry, KeyStoreError, KeyStorePassword
from keystore import file as key_store_file
from keystore import pkcs12 as own_pkcs12
from keystore.entries import Entry, Kind
from tests import jdk
from tests.keystore.bench import Bench

PASSWORD = "changeit"
Keytool = Callable[..., None]


@pytest.fixture
def keytool(tmp_path: Path) -> Keytool:
    """Run keytool on the file ``theirs.p12``."""

    def run(*arguments: str, options: Sequence[str] = ()) -> None:
        store = ["-storetype", "PKCS12", "-keystore", str(tmp_path / "theirs.p12"), "-storepass", PASSWORD]
        command = [*jdk.command("keytool"), *options, *arguments, *store]
        subprocess.run(command, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)

    return run


@pytest.fixture
def theirs(keytool: Keytool, tmp_path: Path, root: bytes) -> Path:
    """A file that keytool has written, with a trusted certificate."""
    (tmp_path / "root.crt").write_bytes(root)
    keytool("-importcert", "-noprompt", "-alias", "Trusted Root", "-file", str(tmp_path / "root.crt"))
    return tmp_path / "theirs.p12"


def test_trusted_certificates_are_entries(theirs: Path, root: bytes) -> None:
    decoded = key_store_file.decode(theirs.read_bytes(), PASSWORD)
    begins = x509.load_der_x509_certificate(root).not_valid_before_utc.timestamp() * 1000
    assert decoded.entries == {"Trusted Root": Entry(Kind.TRUSTED, (root,), int(begins))}
    assert decoded.loses is None
    with pytest.raises(KeyStorePassword):
        key_store_file.decode(theirs.read_bytes(), "another")


def test_a_keys_certificates_are_an_entry_and_the_key_stays_in_the_file(
    bench: Bench, theirs: Path, keytool: Keytool, tmp_path: Path, root: bytes
) -> None:
    before = int(time.time() * 1000)
    for alias in ("ca", "pair"):
        keytool("-genkeypair", "-keyalg", "EC", "-alias", alias, "-dname", f"CN={alias}", "-ext", "bc=ca:true")
    keytool("-certreq", "-alias", "pair", "-file", str(tmp_path / "pair.csr"))
    keytool("-gencert", "-alias", "ca", "-infile", str(tmp_path / "pair.csr"), "-outfile", str(tmp_path / "pair.crt"))
    keytool("-importcert", "-noprompt", "-alias", "pair", "-file", str(tmp_path / "pair.crt"))
    keytool("-genseckey", "-alias", "secret", "-keyalg", "AES", "-keysize", "256")
    decoded = key_store_file.decode(theirs.read_bytes(), PASSWORD)
    assert set(decoded.entries) == {"Trusted Root", "ca", "pair"}
    pair = decoded.entries["pair"]
    assert (pair.kind, pair.chain) == (Kind.KEY, ((tmp_path / "pair.crt").read_bytes(), *decoded.entries["ca"].chain))
    assert before <= pair.created <= time.time() * 1000
    assert "3 keys" in str(decoded.loses)
    store = bench.store(theirs.read_bytes(), PASSWORD)
    assert bench.hsm.keys.find(bench.session, {}) == []
    assert store.get_key("pair") is None
    labelled = bench.secret("pair")
    assert store.get_key("pair") == labelled


def test_a_key_whose_alias_the_file_has_folded_is_found_by_its_certificate(
    bench: Bench, certify: Callable[..., bytes]
) -> None:
    key = bench.pair(None, "MixedCase")
    store = bench.store()
    store.entries["mixedcase"] = Entry(Kind.KEY, (certify(key),), 1)
    assert store.get_key("mixedcase") == key


@pytest.mark.parametrize("password", [None, ""])
def test_a_file_that_java_wrote_without_a_password(tmp_path: Path, password: str | None) -> None:
    classes = str(jdk.classes(Path(__file__).with_name("Write.java")))
    command = [*jdk.command("java"), "-cp", classes, "Write", str(tmp_path / "theirs.p12")]
    subprocess.run(command, check=True, timeout=120)
    decoded = key_store_file.decode((tmp_path / "theirs.p12").read_bytes(), password)
    assert [entry.kind for entry in decoded.entries.values()] == [Kind.TRUSTED]
    assert decoded.loses is None


def test_old_encryption_is_refused_with_a_way_out(keytool: Keytool, tmp_path: Path, root: bytes) -> None:
    (tmp_path / "root.crt").write_bytes(root)
    arguments = ("-importcert", "-noprompt", "-alias", "root", "-file", str(tmp_path / "root.crt"))
    keytool(*arguments, options=("-J-Dkeystore.pkcs12.legacy",))
    with pytest.raises(KeyStoreDamaged, match="keytool -importkeystore"):
        key_store_file.decode((tmp_path / "theirs.p12").read_bytes(), PASSWORD)


def test_a_certificate_of_openssl_is_not_trusted(root: bytes, authority: ec.EllipticCurvePrivateKey) -> None:
    certificate = x509.load_der_x509_certificate(root)
    file = pkcs12.serialize_key_and_certificates(
        b"theirs", None, None, [pkcs12.PKCS12Certificate(certificate, b"one")], key_store_file.protection(PASSWORD)
    )
    decoded = key_store_file.decode(file, PASSWORD)
    assert decoded.entries == {}
    assert "1 keys or untrusted certificates" in str(decoded.loses)


def _asking_for(rounds: int, certificate: bytes) -> bytes:
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(rounds)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(PASSWORD.encode())
    )
    bag = pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(certificate), b"one")
    return pkcs12.serialize_java_truststore([bag], protection)


def _with_mac_rounds(file: bytes, integer: bytes) -> bytes:
    """Put another INTEGER in the place of the last value, and lengthen the sequences around it."""
    outer = file[4:].removesuffix(b"\x02\x02\x08\x00")
    mac_at = outer.rindex(b"\x30\x41\x30\x31")
    mac = outer[mac_at + 2 :] + integer
    content = outer[:mac_at] + b"\x30\x82" + len(mac).to_bytes(2) + mac
    return b"\x30\x82" + len(content).to_bytes(2) + content


def test_iterations_are_bounded_for_a_whole_file(root: bytes) -> None:
    assert key_store_file.decode(_asking_for(own_pkcs12.MAX_ROUNDS // 2, root), PASSWORD).entries
    with pytest.raises(KeyStoreDamaged, match="the limit is 100,000 for a whole file"):
        key_store_file.decode(_asking_for(own_pkcs12.MAX_ROUNDS, root), PASSWORD)
    many = _asking_for(1000, root)
    negative = many.removesuffix(b"\x02\x02\x08\x00") + b"\x02\x02\xff\xff"
    with pytest.raises(KeyStoreDamaged, match="asks for -1 iterations"):
        key_store_file.decode(negative, PASSWORD)
    huge = b"\x02\x82\x20\x00" + b"\x7f" * 0x2000
    with pytest.raises(KeyStoreDamaged, match="asks for too many iterations"):
        key_store_file.decode(_with_mac_rounds(many, huge), PASSWORD)


def test_iterations_of_the_authentication_code_are_bounded(keytool: Keytool, tmp_path: Path, root: bytes) -> None:
    (tmp_path / "root.crt").write_bytes(root)
    arguments = ("-importcert", "-noprompt", "-alias", "root", "-file", str(tmp_path / "root.crt"))
    keytool(*arguments, options=("-J-Dkeystore.pkcs12.macIterationCount=100001",))
    for password in (PASSWORD, None):
        with pytest.raises(KeyStoreDamaged, match="asks for 100001 iterations"):
            key_store_file.decode((tmp_path / "theirs.p12").read_bytes(), password)


def test_a_key_in_the_file_is_never_decrypted(root: bytes, authority: ec.EllipticCurvePrivateKey) -> None:
    """Its own count of iterations would be done by whatever decrypts it."""
    protection = BestAvailableEncryption(PASSWORD.encode())
    certificate = x509.load_der_x509_certificate(root)
    file = pkcs12.serialize_key_and_certificates(b"ca", authority, certificate, None, protection)
    decoded = key_store_file.decode(file, PASSWORD)
    assert decoded.entries["ca"].chain == (root,)
    assert "1 keys" in str(decoded.loses)


def test_changed_bytes_of_a_file_in_the_clear_are_errors_of_the_key_store(root: bytes) -> None:
    file = key_store_file.encode({"root": Entry(Kind.TRUSTED, (root,), 1)}, None)
    refused = 0
    for position in range(0, len(file), 3):
        changed = bytearray(file)
        changed[position] ^= 0x41
        try:
            key_store_file.decode(bytes(changed), None)
        except KeyStoreError:
            refused += 1
    assert refused > 0.1 * len(file) / 3


def test_the_number_of_certificates_is_bounded(root: bytes) -> None:
    most = own_pkcs12.MAX_BAGS
    entries = {f"alias {number}": Entry(Kind.TRUSTED, (root,), 1) for number in range(most - 1)}
    assert len(key_store_file.decode(key_store_file.encode(entries, None), None).entries) == most - 1
    with pytest.raises(KeyStoreEntry, match="fewer than 10,000 certificates"):
        key_store_file.encode(entries | {"more": Entry(Kind.TRUSTED, (root,), 1)}, None)
    bag = pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(root), b"one")
    file = pkcs12.serialize_java_truststore([bag] * (most + 1), key_store_file.protection(PASSWORD))
    with pytest.raises(KeyStoreDamaged, match="more than 10,000 values"):
        key_store_file.decode(file, PASSWORD)


def test_a_file_without_an_authentication_code_opens_without_a_password_only(
    keytool: Keytool, tmp_path: Path, root: bytes
) -> None:
    (tmp_path / "root.crt").write_bytes(root)
    none = ("-J-Dkeystore.pkcs12.macAlgorithm=NONE", "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE")
    keytool("-importcert", "-noprompt", "-alias", "one", "-file", str(tmp_path / "root.crt"), options=none)
    file = (tmp_path / "theirs.p12").read_bytes()
    with pytest.raises(KeyStorePassword, match="no authentication code"):
        key_store_file.decode(file, PASSWORD)
    for password in (None, ""):
        assert set(key_store_file.decode(file, password).entries) == {"one"}
