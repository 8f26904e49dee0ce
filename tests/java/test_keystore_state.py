"""A loaded key store does not depend on a login or a session: the HSM stores nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.carriers import jvm
from bridge.pytest_plugin import USER, HsmUnderTest, provider_of
from hsmcore import Hsm
from tests import jca
from tests.jca import java

_UNAUTHENTICATED = "com.amazonaws.cloudhsm.jce.jni.exception.AuthenticationException"
_IO = "java.io.IOException"
_WORD = "changeit"
Certify = Callable[[Any], bytes]


def _chars(text: str | None) -> Any:
    return None if text is None else java("java.lang.String")(text).toCharArray()


def _empty() -> Any:
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    return store


def _loaded(file: bytes, password: str | None = _WORD, kind: str = "CloudHSM") -> Any:
    store = java("java.security.KeyStore").getInstance(kind)
    store.load(java("java.io.ByteArrayInputStream")(file), _chars(password))
    return store


def _file(store: Any, password: str | None = _WORD) -> bytes:
    out = java("java.io.ByteArrayOutputStream")()
    store.store(out, _chars(password))
    return bytes(out.toByteArray())


def _certificate(der: bytes) -> Any:
    factory = java("java.security.cert.CertificateFactory").getInstance("X.509")
    return factory.generateCertificate(java("java.io.ByteArrayInputStream")(der))


def _chain(*ders: bytes) -> Any:
    return java("java.security.cert.Certificate")[:]([_certificate(der) for der in ders])


def _aliases(store: Any) -> list[str]:
    return [str(alias) for alias in java("java.util.Collections").list(store.aliases())]


def _token_pair(label: str) -> Any:
    generator = java("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
    curve = java(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256
    public = jca.attribute_map(EC_PARAMS=curve, TOKEN=True)
    generator.initialize(jca.pair_map(public, jca.attribute_map(LABEL=label, TOKEN=True)))
    return generator.generateKeyPair()


@pytest.fixture
def file(hsm: HsmUnderTest, certify: Certify, root: bytes) -> bytes:
    """A key store file with the token key ``pair`` and the trusted certificate ``root``."""
    store, pair = _empty(), _token_pair("pair")
    store.setKeyEntry("pair", pair.getPrivate(), None, _chain(certify(pair.getPublic()), root))
    store.setCertificateEntry("root", _certificate(root))
    return _file(store)


def test_a_new_key_store_is_loaded_before_any_login(hsm: HsmUnderTest, root: bytes) -> None:
    hsm.provider.logout()
    store = _empty()
    assert store.getCertificate("root") is None
    assert store.getCertificateAlias(_certificate(root)) is None
    with pytest.raises(java(_UNAUTHENTICATED)):
        store.aliases()
    jvm.login(hsm.provider, hsm.user, hsm.password)
    assert _aliases(store) == []
    store.setCertificateEntry("root", _certificate(root))
    assert _aliases(store) == ["root"]


def test_the_public_data_of_a_file_takes_no_login(hsm: HsmUnderTest, file: bytes, root: bytes) -> None:
    hsm.provider.logout()
    store = _loaded(file)
    assert store.containsAlias("root")
    assert store.isCertificateEntry("root")
    assert not store.isKeyEntry("root")
    assert store.getKey("root", None) is None
    assert store.getCertificateChain("root") is None
    assert bytes(store.getCertificate("root").getEncoded()) == root
    assert store.getCertificateAlias(_certificate(root)) == "root"
    assert store.containsAlias("pair")
    assert not store.isCertificateEntry("pair")
    assert len(store.getCertificateChain("pair")) == 2
    assert store.getCreationDate("pair") is not None
    assert store.getCreationDate("nothing") is None
    entry = java("java.security.KeyStore$TrustedCertificateEntry")
    assert isinstance(store.getEntry("root", None), entry)
    store.deleteEntry("pair")
    again = _loaded(_file(store))
    assert again.containsAlias("root")
    assert again.getCertificate("pair") is None
    for question in (
        store.aliases,
        store.size,
        lambda: store.containsAlias("other"),
        lambda: store.getKey("pair", None),
    ):
        with pytest.raises(java(_UNAUTHENTICATED)):
            question()


def test_a_key_store_works_after_logout_and_login(hsm: HsmUnderTest, file: bytes) -> None:
    store = _loaded(file)
    hsm.provider.logout()
    jvm.login(hsm.provider, hsm.user, hsm.password)
    assert _aliases(store) == ["pair", "root"]
    signed = jca.sign("SHA256withECDSA", store.getKey("pair", None), b"text")
    assert jca.verify("SHA256withECDSA", store.getCertificate("pair").getPublicKey(), b"text", signed, None)


def test_another_users_login_between_sees_that_users_keys(
    hsm_jvm: None, tmp_path: Path, certify: Certify, root: bytes
) -> None:
    with Hsm.initialize(tmp_path / "hsm", admin_password=b"administrator") as core:
        admin = core.users.login("admin", b"administrator", "admin")
        for user in (USER, "cu2"):
            core.users.create(admin, user, "crypto-user", b"some-password")
        with provider_of(core, "some-password") as provider:
            store, pair = _empty(), _token_pair("pair")
            store.setKeyEntry("pair", pair.getPrivate(), None, _chain(certify(pair.getPublic()), root))
            store = _loaded(_file(store))
            theirs = core.users.login("cu2", b"some-password")
            core.keys.generate(theirs, "AES_KEY_GEN", {"LABEL": "theirs", "TOKEN": True})
            provider.logout()
            jvm.login(provider, "cu2", "some-password")
            assert store.getKey("pair", None) is None
            assert _aliases(store) == ["pair", "theirs"]
            provider.logout()
            jvm.login(provider, USER, "some-password")
            assert store.getKey("pair", None).handle() == pair.getPrivate().handle()
            assert _aliases(store) == ["pair"]


def test_a_session_key_that_was_lost_is_not_stored_silently(hsm: HsmUnderTest) -> None:
    store = _empty()
    store.setKeyEntry("lost", jca.generated(SIZE=256), None, None)
    hsm.provider.logout()
    jvm.login(hsm.provider, hsm.user, hsm.password)
    with pytest.raises(java(_IO), match="key of alias lost"):
        _file(store)
    store.deleteEntry("lost")
    assert _file(store)


def test_any_number_of_key_stores_is_loaded(hsm: HsmUnderTest, root: bytes) -> None:
    one = _empty()
    one.setCertificateEntry("root", _certificate(root))
    file = _file(one, None)
    jca.imported_secret(bytes(16), alias="secret")
    stores = [_loaded(file, None) for _ in range(1500)]
    for store in (one, stores[0], stores[749], stores[-1]):
        assert _aliases(store) == ["root", "secret"]
        assert store.getKey("secret", None) is not None


@pytest.mark.parametrize("password", [None, ""])
def test_no_password_and_an_empty_one(hsm: HsmUnderTest, root: bytes, password: str | None) -> None:
    store = _empty()
    store.setCertificateEntry("root", _certificate(root))
    file = _file(store, password)
    for kind in ("CloudHSM", "PKCS12"):
        for read in (None, ""):
            opened = _loaded(file, read, kind)
            assert opened.getCertificateAlias(_certificate(root)) is not None
        with pytest.raises(java(_IO)):
            _loaded(file, "changeit", kind)


def test_a_file_of_the_jdks_own_key_store_is_loaded(hsm: HsmUnderTest, certify: Certify, root: bytes) -> None:
    theirs = java("java.security.KeyStore").getInstance("PKCS12")
    theirs.load(None, None)
    theirs.setCertificateEntry("root", _certificate(root))
    store = _loaded(_file(theirs))
    assert _aliases(store) == ["root"]
    assert store.isCertificateEntry("root")
    assert _aliases(_loaded(_file(store))) == ["root"]
    pair = jca.key_pair("EC", 256, None)
    theirs.setKeyEntry("pair", pair.getPrivate(), _chars("changeit"), _chain(certify(pair.getPublic()), root))
    store = _loaded(_file(theirs))
    assert _aliases(store) == ["pair", "root"]
    assert len(store.getCertificateChain("pair")) == 2
    # The private key in the file is neither used nor imported.
    assert store.getKey("pair", _chars("changeit")) is None
    assert hsm.hsm.keys.find(hsm.session, {}) == []
    with pytest.raises(java(_IO), match="hsm keystore import"):
        _file(store)
    mine = jca.imported_secret(bytes(16), alias="pair")
    assert store.getKey("pair", None).handle() == mine.handle()


def test_a_wrong_password_and_a_cut_file_leave_the_entries(hsm: HsmUnderTest, file: bytes) -> None:
    store = _loaded(file)
    stream = java("java.io.ByteArrayInputStream")
    with pytest.raises(java(_IO)) as wrong:
        store.load(stream(file), _chars("another"))
    assert isinstance(wrong.value.getCause(), java("java.security.UnrecoverableKeyException"))
    for cut in (file[:1], file[: len(file) // 2], file[:-1], file + b"\0"):
        with pytest.raises(java(_IO)):
            store.load(stream(cut), _chars("changeit"))
    assert _aliases(store) == ["pair", "root"]


def test_loaded_twice_it_has_the_second_files_entries(hsm: HsmUnderTest, file: bytes, root: bytes) -> None:
    store = _loaded(file)
    store.setCertificateEntry("more", _certificate(root))
    assert store.size() == 3
    store.load(java("java.io.ByteArrayInputStream")(file), _chars("changeit"))
    assert _aliases(store) == ["pair", "root"]
    store.load(None, None)
    assert not store.containsAlias("root")
    assert _aliases(store) == ["pair"]


def test_loaded_without_the_password_it_is_not_stored(hsm: HsmUnderTest, file: bytes) -> None:
    store = _loaded(file, None)
    assert not store.containsAlias("root")
    with pytest.raises(java(_IO), match="without its password"):
        _file(store)


def test_entries_keep_their_order_and_dates(hsm: HsmUnderTest, file: bytes, root: bytes) -> None:
    store = _loaded(file)
    store.setCertificateEntry("a", _certificate(root))
    store.deleteEntry("root")
    store.setCertificateEntry("root", _certificate(root))
    again = _loaded(_file(store))
    assert _aliases(again) == _aliases(store) == ["pair", "a", "root"]
    for alias in _aliases(store):
        assert again.getCreationDate(alias) == store.getCreationDate(alias)
    assert store.getCertificateAlias(_certificate(root)) == "a"


def test_a_key_whose_label_is_another_alias(hsm: HsmUnderTest) -> None:
    store = _empty()
    key = jca.generated(SIZE=256, LABEL="label")
    store.setKeyEntry("alias", key, None, None)
    assert store.getKey("alias", None).handle() == key.handle()
    assert sorted(_aliases(store)) == ["alias", "label"]
    assert store.isKeyEntry("alias")
    assert store.size() == 2
    store.deleteEntry("alias")
    assert _aliases(store) == ["label"]


def test_entries_that_are_refused(hsm: HsmUnderTest, file: bytes, root: bytes) -> None:
    store = _loaded(file)
    refused = java("java.security.KeyStoreException")
    private = store.getKey("pair", None)
    with pytest.raises(java("java.lang.IllegalArgumentException")):
        store.setKeyEntry("pair", private, None, None)
    for alias, chain in (("pair", _chain(root)), ("root", _chain(root)), ("", _chain(root))):
        with pytest.raises(refused):
            store.setKeyEntry(alias, private, None, chain)
    for alias in ("pair", "root", ""):
        with pytest.raises(refused):
            store.setCertificateEntry(alias, _certificate(root))
    assert len(store.getCertificateChain("pair")) == 2
    with pytest.raises(java("java.lang.NullPointerException")):
        store.containsAlias(None)
