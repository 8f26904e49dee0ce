"""Key stores of other programs as bytes: what is found in them, and what damaged ones and wrong passwords get."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.carriers import jvm
from hsmcore.errors import ForeignKeyPassword, ForeignKeyUnreadable, ForeignStoreDamaged, ForeignStorePassword, HsmError
from keystore.foreign import Found, OwnKey, format_of, write_pkcs12
from tests import jdk
from tests.keystore.foreign.conftest import PASSWORD, entries_of, jks_of, needs_pyjks, run

pytestmark = pytest.mark.usefixtures("hsm_jvm")

DATA = Path(__file__).parent / "data"
TOO_MANY_ROUNDS = 1_000_001
"""Iterations beyond the bound for Bouncy Castle's files, few enough that a reader without the bound ends in seconds."""


def found(file: Path | bytes, password: str = PASSWORD) -> dict[str, Found]:
    return {entry.alias: entry for entry in entries_of(file, password)}


def opened(entry: Found, password: str = PASSWORD) -> bytes:
    assert entry.open is not None
    return entry.open(password).material


def belongs(entry: Found, password: str = PASSWORD) -> bool:
    """Tell whether the private key is that of the first certificate."""
    key = load_der_private_key(opened(entry, password), None, unsafe_skip_rsa_key_validation=True)
    return key.public_key() == x509.load_der_x509_certificate(entry.chain[0]).public_key()


def test_jks(stores: Path) -> None:
    entries = found(stores / "all.jks")
    assert set(entries) == {"release", "own-password", "small", "dsa", "root"}
    assert all(belongs(entries[alias]) for alias in ("release", "small"))
    assert opened(entries["dsa"])
    assert belongs(entries["own-password"], "another-password")
    assert entries["root"].open is None
    assert entries["root"].chain == entries["release"].chain


def test_jceks(stores: Path) -> None:
    entries = found(stores / "all.jceks")
    assert belongs(entries["pair"])
    sizes = {alias: len(opened(entries[alias])) for alias in ("data", "old", "tokens")}
    assert sizes == {"data": 32, "old": 24, "tokens": 32}
    names = {entry.open(PASSWORD).algorithm for entry in entries.values() if entry.open is not None}
    assert names == {"", "AES", "DESede", "HmacSHA256"}


def test_pkcs12_with_several_keys_of_all_kinds(stores: Path) -> None:
    entries = found(stores / "all.p12")
    assert set(entries) == {"server", "client", "data", "tokens", "trusted"}
    assert belongs(entries["server"])
    assert belongs(entries["client"])
    assert (len(opened(entries["data"])), len(opened(entries["tokens"]))) == (16, 64)
    assert entries["trusted"].open is None


@pytest.mark.parametrize("name", ["v1.bks", "v2.bks", "bc.p12"])
def test_bouncy_castle(name: str) -> None:
    needs_pyjks(name)
    entries = found(DATA / name)
    assert belongs(entries["Release"])
    assert entries["root-ca"].open is None
    if name.endswith("bks"):
        assert len(opened(entries["data"])) == 32
    if name == "v2.bks":
        with pytest.raises(ForeignKeyPassword):
            opened(entries["other"])
        assert belongs(entries["other"], "another-password")


def test_uber_where_its_cipher_loads() -> None:
    needs_pyjks("bc.uber")
    try:
        import twofish  # noqa: F401 - asks what the reader asks
    except ImportError:
        with pytest.raises(ForeignStoreDamaged, match="twofish does not load"):
            found(DATA / "bc.uber")
    else:
        assert belongs(found(DATA / "bc.uber")["Release"])


@pytest.mark.parametrize(
    "options",
    [
        ("-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-macalg", "SHA1"),
        ("-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-2DES", "-macalg", "SHA384"),
        ("-certpbe", "AES-128-CBC", "-keypbe", "DES-EDE3-CBC", "-macalg", "SHA512"),
        ("-certpbe", "AES-192-CBC", "-keypbe", "AES-256-CBC", "-macalg", "SHA256"),
        ("-certpbe", "NONE", "-keypbe", "NONE", "-nomac"),
    ],
)
def test_pkcs12_of_openssl(tmp_path: Path, options: tuple[str, ...]) -> None:
    key, certificate, file = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "o.p12"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=o",
        "-keyout", key, "-out", certificate)  # fmt: skip
    run("openssl", "pkcs12", "-export", "-legacy", *options, "-inkey", key, "-in", certificate, "-name", "Ünï code",
        "-out", file, "-passout", f"pass:{PASSWORD}")  # fmt: skip
    (entry,) = found(file).values()
    assert entry.alias == "Ünï code"
    assert belongs(entry)
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    mine = load_der_private_key(opened(entry), None)
    assert isinstance(mine, ec.EllipticCurvePrivateKey)
    assert mine.private_numbers() == loaded.private_numbers()


def test_chain_of_a_pkcs12_in_any_order(tmp_path: Path) -> None:
    authority, store = tmp_path / "ca.p12", tmp_path / "leaf.p12"
    from tests.keystore.foreign.conftest import generate, keytool

    generate(authority, "PKCS12", "ca", "-keyalg", "EC", "-groupname", "secp256r1", "-ext", "bc:c")
    generate(store, "PKCS12", "leaf", "-keyalg", "EC", "-groupname", "secp256r1")
    request, signed, root = tmp_path / "r", tmp_path / "s", tmp_path / "root"
    keytool("-certreq", "-alias", "leaf", "-file", request, "-keystore", store, "-storepass", PASSWORD)
    keytool("-gencert", "-alias", "ca", "-infile", request, "-outfile", signed, "-keystore", authority,
            "-storepass", PASSWORD)  # fmt: skip
    keytool("-exportcert", "-alias", "ca", "-file", root, "-keystore", authority, "-storepass", PASSWORD)
    for alias, file in (("ca", root), ("leaf", signed)):
        keytool("-importcert", "-noprompt", "-alias", alias, "-file", file, "-keystore", store, "-storepass", PASSWORD)
    entries = found(store)
    assert entries["leaf"].chain == (signed.read_bytes(), root.read_bytes())
    assert entries["ca"].chain == (root.read_bytes(),)


@pytest.mark.parametrize("name", ["all.jks", "all.jceks", "all.p12", "v1.bks", "v2.bks", "bc.p12"])
def test_wrong_password(stores: Path, name: str) -> None:
    needs_pyjks(name)
    file = stores / name if (stores / name).exists() else DATA / name
    for password in ("wrong-password", "", "ünïcode"):
        with pytest.raises(ForeignStorePassword):
            found(file, password)


@pytest.mark.parametrize("data", [b"", b"\xfe\xed", b"PK\x03\x04" + bytes(40), b"-----BEGIN CERTIFICATE-----\n" * 3])
def test_what_is_no_key_store(data: bytes) -> None:
    with pytest.raises(ForeignStoreDamaged):
        entries_of(data)


def test_empty_stores() -> None:
    assert entries_of(jks_of({})) == []


_SAMPLES = [path.read_bytes() for path in sorted(DATA.glob("v*.bks"))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_become_another_error(stores: Path, data: st.DataObject) -> None:
    files = [*_SAMPLES, *((stores / name).read_bytes() for name in ("all.jks", "all.jceks", "all.p12"))]
    sample = bytearray(data.draw(st.sampled_from(files)))
    if data.draw(st.booleans()):
        del sample[data.draw(st.integers(0, len(sample) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            sample[data.draw(st.integers(0, len(sample) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(HsmError):
        for entry in entries_of(bytes(sample)):
            assert entry.open is None or entry.open(PASSWORD)


def authentic_bks(entries: bytes) -> bytes:
    """Return a BKS file of version 2 with these entries."""
    from jks import rfc7292

    salt, rounds = bytes(20), 1
    key = rfc7292.derive_key(hashlib.sha1, rfc7292.PURPOSE_MAC_MATERIAL, PASSWORD, salt, rounds, 20)
    head = struct.pack(">II", 2, len(salt)) + salt + struct.pack(">I", rounds)
    return head + entries + hmac.digest(key, entries, "sha1")


def test_text_as_java_writes_it() -> None:
    """Java writes a character outside of the basic plane as two halves of three bytes each, and NUL as two bytes."""
    needs_pyjks("bks")
    certificate = found(DATA / "bc.p12")["root-ca"].chain[0]
    halves = b"".join(bytes([0xED, 0x80 | half >> 6 & 0x3F, 0x80 | half & 0x3F]) for half in (0xD83D, 0xDD11))
    alias = b"key " + halves
    entry = b"".join((b"\x01", struct.pack(">H", len(alias)), alias, bytes(8), bytes(4), b"\0\5X.509",
                      struct.pack(">I", len(certificate)), certificate, b"\0"))  # fmt: skip
    assert list(found(authentic_bks(entry))) == ["key \U0001f511"]


@pytest.mark.parametrize("name", ["v1.bks", "v2.bks", "bc.uber"])
def test_iterations_of_bouncy_castle_are_bounded(name: str) -> None:
    needs_pyjks(name)
    data = bytearray((DATA / name).read_bytes())
    data[28:32] = struct.pack(">I", TOO_MANY_ROUNDS)
    with pytest.raises(ForeignStoreDamaged, match=r"iterations|twofish does not load"):
        found(bytes(data))


def test_iterations_of_a_sealed_key_are_bounded() -> None:
    """The key's count stands in a file that is authentic otherwise."""
    needs_pyjks("bks")
    salt = bytes(20)
    sealed = struct.pack(">I", len(salt)) + salt + struct.pack(">I", TOO_MANY_ROUNDS) + bytes(64)
    entry = b"".join((b"\x04", b"\0\3key", bytes(8), bytes(4), struct.pack(">I", len(sealed)), sealed, b"\0"))
    key = found(authentic_bks(entry))["key"]
    with pytest.raises(ForeignKeyUnreadable, match="iterations"):
        opened(key)


def test_certificates_that_no_key_needs_and_java_passes_over(tmp_path: Path) -> None:
    """Openssl marks no certificate as trusted, so that Java lists none of them."""
    pem, file = tmp_path / "c.pem", tmp_path / "c.p12"
    for name in ("one", "Two"):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/CN={name}", "-keyout", tmp_path / "k.pem", "-out", tmp_path / name)  # fmt: skip
    pem.write_bytes((tmp_path / "one").read_bytes() + (tmp_path / "Two").read_bytes())
    run("openssl", "pkcs12", "-export", "-nokeys", "-in", pem, "-caname", "", "-caname", "Two", "-out", file,
        "-passout", f"pass:{PASSWORD}")  # fmt: skip
    subjects = {
        alias: x509.load_der_x509_certificate(entry.chain[0]).subject.rfc4514_string()
        for alias, entry in found(file).items()
    }
    assert subjects == {"1": "CN=one", "Two": "CN=Two"}


def test_a_password_that_java_refuses(tmp_path: Path) -> None:
    key, certificate, file = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "o.p12"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=o",
        "-keyout", key, "-out", certificate)  # fmt: skip
    run("openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate, "-name", "Own", "-out", file, "-passout",
        "pass:pässword")  # fmt: skip
    assert belongs(found(file, "pässword")["Own"], "pässword")
    with pytest.raises(ForeignKeyPassword):
        opened(found(file, "pässword")["Own"], PASSWORD)
    with pytest.raises(ForeignStorePassword):
        found(file)


def test_what_we_write_is_read_by_keytool_and_by_us(stores: Path, tmp_path: Path) -> None:
    source = found(stores / "all.p12")
    keys = [
        OwnKey("server", "RSA", opened(source["server"]), source["server"].chain),
        OwnKey("client", "EC", opened(source["client"]), source["client"].chain),
        OwnKey("data", "AES", opened(source["data"])),
        OwnKey("tokens", "GENERIC_SECRET", opened(source["tokens"])),
    ]
    file = tmp_path / "out.p12"
    file.write_bytes(write_pkcs12(keys, [("trusted", source["trusted"].chain[0])], PASSWORD, jvm.write_key_store))
    again = found(file)
    assert {alias: entry.chain for alias, entry in again.items()} == {a: e.chain for a, e in source.items()}
    assert belongs(again["server"])
    assert belongs(again["client"])
    assert {key.alias: opened(again[key.alias]) for key in keys[2:]} == {key.alias: key.material for key in keys[2:]}
    listed = run(*jdk.command("keytool"), "-list", "-keystore", file, "-storepass", PASSWORD)
    assert (listed.count("PrivateKeyEntry"), listed.count("SecretKeyEntry"), listed.count("trustedCertEntry")) == (
        2,
        2,
        1,
    )
    run("openssl", "pkcs12", "-in", file, "-passin", f"pass:{PASSWORD}", "-nodes", "-nokeys")
    assert format_of(file.read_bytes()).value == "PKCS #12"
