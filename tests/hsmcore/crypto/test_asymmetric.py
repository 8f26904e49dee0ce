"""RSA and EC: each mechanism against ``openssl`` in both directions, and with what does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmcore import Settings
from hsmcore.errors import (
    DataLengthInvalid,
    KeyFunctionNotPermitted,
    KeyTypeInconsistent,
    MechanismInvalid,
    MechanismParameterInvalid,
    PaddingInvalid,
)
from hsmcore.tables.mechanisms import HASHES, MECHANISMS, KeyType, Mechanism, Operation
from tests.hsmcore.conftest import CURVES, Site, make_site
from tests.hsmcore.judge import KeyFiles
from tests.hsmcore.making import ec_key, public_info, rsa_key, take_pair

_SIGNATURES = [
    row
    for row in MECHANISMS.values()
    if row.key_types <= {KeyType.RSA, KeyType.EC} and Operation.SIGN in row.operations and row.family != "rsa_raw"
]
_RSA_SIGNATURES = [row for row in _SIGNATURES if KeyType.RSA in row.key_types]
_EC_SIGNATURES = [row for row in _SIGNATURES if KeyType.EC in row.key_types]
_CIPHERS = [row for row in MECHANISMS.values() if row.family in {"rsa_pkcs1", "rsa_oaep"}]
_FEW = settings(settings.get_profile("core"), max_examples=4)
_MANY = settings(settings.get_profile("core"), max_examples=25)


def _named(rows: list[Mechanism]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


class _Pair:
    """One key pair in the HSM and in files."""

    def __init__(self, site: Site, files: KeyFiles, handles: tuple[int, int]) -> None:
        self.site, self.files = site, files
        self.public, self.private = handles

    def sign(self, row: Mechanism, parameters: dict[str, object] | None, data: bytes) -> bytes:
        return self.site.hsm.crypto.sign(self.site.user, self.private, row.name, parameters, data)

    def verify(self, row: Mechanism, parameters: dict[str, object] | None, data: bytes, signature: bytes) -> bool:
        return self.site.hsm.crypto.verify(self.site.user, self.public, row.name, parameters, data, signature)


@pytest.fixture(scope="module")
def pair(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], _Pair]:
    """Give the pair of a name, ``RSA`` or a curve."""
    made: dict[str, _Pair] = {}

    def get(name: str) -> _Pair:
        if name not in made:
            key = rsa_key() if name == "RSA" else ec_key(name)
            public, private = take_pair(site.hsm, site.user, key)
            files = KeyFiles(tmp_path_factory.mktemp(name), key)
            made[name] = _Pair(site, files, (public.handle, private.handle))
        return made[name]

    return get


def _digest(row: Mechanism, data: bytes) -> bytes:
    return hashlib.new(row.hash.replace("SHA-", "SHA"), data).digest() if row.hash else data[:40]


def _options(row: Mechanism, hash_name: str) -> list[str]:
    """Return how ``openssl pkeyutl`` is told to do what the mechanism does."""
    options = [f"digest:{hash_name.replace('SHA-', 'SHA').lower()}"] if hash_name else []
    if row.family == "rsa_pss_signature":
        options += ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"]
    return [word for option in options for word in ("-pkeyopt", option)]


@_named(_RSA_SIGNATURES)
@_FEW
@given(data=st.binary(min_size=1, max_size=200), drawn=st.sampled_from(list(HASHES.values())))
def test_rsa_signatures_agree_with_openssl(
    pair: Callable[[str], _Pair], row: Mechanism, data: bytes, drawn: str
) -> None:
    rsa, any_hash = pair("RSA"), row.name == "RSA_PSS"
    name = drawn if any_hash else row.hash
    parameters = {"hash": name} if any_hash else None
    digest = hashlib.new(name.replace("SHA-", "SHA"), data).digest() if name else data
    signature = rsa.sign(row, parameters, digest)
    options = _options(row, name)
    assert rsa.files.verifies(digest, signature, *options)
    assert rsa.verify(row, parameters, digest, rsa.files.sign(digest, *options))
    if row.family != "rsa_pss_signature":
        assert rsa.files.sign(digest, *options) == signature


@_named([row for row in _EC_SIGNATURES if row.hash])
@pytest.mark.parametrize("curve", CURVES)
@settings(settings.get_profile("core"), max_examples=1)
@given(data=st.binary(max_size=200))
def test_ecdsa_agrees_with_openssl(pair: Callable[[str], _Pair], row: Mechanism, curve: str, data: bytes) -> None:
    ec, digest = pair(curve), _digest(row, data)
    width = (ec_key(curve).key_size + 7) // 8
    signature = ec.sign(row, None, digest)
    assert ec.verify(row, None, digest, signature)
    if row.mode == "P1363":
        assert len(signature) == 2 * width
        signature = encode_dss_signature(int.from_bytes(signature[:width]), int.from_bytes(signature[width:]))
    assert ec.files.verifies(digest, signature)
    theirs = ec.files.sign(digest)
    if row.mode == "P1363":
        theirs = b"".join(number.to_bytes(width) for number in decode_dss_signature(theirs))
    assert ec.verify(row, None, digest, theirs)


@_named([row for row in _EC_SIGNATURES if not row.hash])
@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa_of_a_digest_as_given(pair: Callable[[str], _Pair], row: Mechanism, curve: str) -> None:
    ec, named = pair(curve), MECHANISMS[row.name.replace("NONE", "SHA256")]
    for length in range(65):
        data = bytes(range(1, length + 1))
        assert ec.verify(row, None, data, ec.sign(row, None, data))
    digest = hashlib.sha256(b"data").digest()
    assert ec.verify(named, None, digest, ec.sign(row, None, digest))
    assert ec.verify(row, None, digest, ec.sign(named, None, digest))
    assert row.mode == "P1363" or ec.files.verifies(digest, ec.sign(row, None, digest))
    with pytest.raises(DataLengthInvalid):
        ec.sign(row, None, bytes(65))
    with pytest.raises(DataLengthInvalid):
        ec.verify(row, None, bytes(65), b"")


@_named(_SIGNATURES)
@_MANY
@given(data=st.binary(max_size=80), junk=st.binary(max_size=300), place=st.integers(0, 5000))
def test_other_signatures_do_not_hold(
    pair: Callable[[str], _Pair], row: Mechanism, data: bytes, junk: bytes, place: int
) -> None:
    keys = pair("RSA" if row in _RSA_SIGNATURES else "P-256")
    parameters = {"hash": "SHA-256"} if row.name == "RSA_PSS" else None
    digest = hashlib.sha256(data).digest() if parameters else _digest(row, data)
    signature = keys.sign(row, parameters, digest)
    assert keys.verify(row, parameters, digest, signature)
    place %= len(signature)
    flipped = bytes([*signature[:place], signature[place] ^ 1, *signature[place + 1 :]])
    for other in (junk, flipped, signature[:place], signature + b"\0", bytes(len(signature)), b"\xff" * len(signature)):
        assert not keys.verify(row, parameters, digest, other)
    if digest:
        assert not keys.verify(row, parameters, bytes([digest[0] ^ 1]) + digest[1:], signature)


@pytest.mark.parametrize("curve", CURVES)
def test_p1363_signatures_have_one_length(pair: Callable[[str], _Pair], curve: str) -> None:
    row, digest = MECHANISMS["ECDSA_P1363_SHA256"], bytes(range(32))
    signature = pair(curve).sign(row, None, digest)
    half = len(signature) // 2
    longer = b"\0" + signature[:half] + b"\0" + signature[half:]
    assert not pair(curve).verify(row, None, digest, longer)
    assert pair(curve).verify(row, None, digest, signature)


@_named([row for row in _SIGNATURES if row.hash])
def test_digests_of_the_wrong_length(pair: Callable[[str], _Pair], row: Mechanism) -> None:
    keys = pair("RSA" if row in _RSA_SIGNATURES else "P-256")
    digest = _digest(row, b"")
    for wrong in (b"", digest[:-1], digest + b"\0", bytes(1000)):
        with pytest.raises(DataLengthInvalid):
            keys.sign(row, None, wrong)
        with pytest.raises(DataLengthInvalid):
            keys.verify(row, None, wrong, b"")
    assert keys.verify(row, None, digest, keys.sign(row, None, digest))


def test_pkcs1_without_a_hash_takes_what_fits(pair: Callable[[str], _Pair]) -> None:
    row, rsa = MECHANISMS["RSA_PKCS1_NONE"], pair("RSA")
    assert rsa.verify(row, None, bytes(245), rsa.sign(row, None, bytes(245)))
    for call in (lambda: rsa.sign(row, None, bytes(246)), lambda: rsa.verify(row, None, bytes(246), bytes(256))):
        with pytest.raises(DataLengthInvalid):
            call()


def test_pss_parameters(pair: Callable[[str], _Pair]) -> None:
    rsa, fixed, free = pair("RSA"), MECHANISMS["RSA_PSS_SHA256"], MECHANISMS["RSA_PSS"]
    digest = hashlib.sha256(b"data").digest()
    for salt in (0, 1, 32, 222):
        given_salt = {"hash": "SHA-256", "salt_length": salt}
        signature = rsa.sign(free, given_salt, digest)
        for row in (free, fixed):
            assert rsa.verify(row, given_salt, digest, signature)
            assert rsa.verify(row, {"hash": "SHA-256"}, digest, signature) is (salt == 32)
    for parameters in (
        *({"salt_length": salt} for salt in (-1, 223, 2**40, True, "20", b"")),
        *({"hash": name} for name in ("SHA-1", "MD5", "", 256, b"SHA-256")),
        {"mgf_hash": "SHA-1"},
    ):
        for call in (lambda: rsa.sign(fixed, parameters, digest), lambda: rsa.verify(fixed, parameters, digest, b"")):  # noqa: B023
            with pytest.raises(MechanismParameterInvalid):
                call()
    for parameters in (None, {}, {"mgf_hash": "SHA-256"}):
        with pytest.raises(MechanismParameterInvalid):
            rsa.sign(free, parameters, digest)


def _longest(row: Mechanism) -> int:
    return 256 - 11 if row.family == "rsa_pkcs1" else 256 - 2 - 2 * len(_digest(row, b""))


def _padding(row: Mechanism, label: bytes | None) -> list[str]:
    if row.family == "rsa_pkcs1":
        return []
    digest = row.hash.replace("SHA-", "SHA").lower()
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}"]
    options += [f"rsa_oaep_label:{label.hex()}"] if label else []
    return [word for option in options for word in ("-pkeyopt", option)]


@_named(_CIPHERS)
@_FEW
@given(data=st.binary(max_size=126), label=st.none() | st.binary(min_size=1, max_size=20))
def test_rsa_encryption_agrees_with_openssl(
    site: Site, pair: Callable[[str], _Pair], row: Mechanism, data: bytes, label: bytes | None
) -> None:
    rsa, options = pair("RSA"), _padding(row, label)
    parameters = {"label": label} if label else None
    for key in (rsa.public, public_info(rsa_key())):
        ciphertext, chosen = site.hsm.crypto.encrypt(site.user, key, row.name, parameters, data)
        assert chosen is None
        assert rsa.files.decrypt(ciphertext, *options) == data
    ciphertext = rsa.files.encrypt(data, *options)
    assert site.hsm.crypto.decrypt(site.user, rsa.private, row.name, parameters, ciphertext) == data


@_named(_CIPHERS)
def test_rsa_encryption_of_what_does_not_fit(site: Site, pair: Callable[[str], _Pair], row: Mechanism) -> None:
    hsm, user, rsa = site.hsm, site.user, pair("RSA")
    longest = bytes(range(256))[: _longest(row)]
    ciphertext, _ = hsm.crypto.encrypt(user, rsa.public, row.name, None, longest)
    with pytest.raises(DataLengthInvalid):
        hsm.crypto.encrypt(user, rsa.public, row.name, None, longest + b"\0")
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0", b"\0" + ciphertext):
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.decrypt(user, rsa.private, row.name, None, wrong)
    with pytest.raises(PaddingInvalid):
        hsm.crypto.decrypt(user, rsa.private, row.name, None, b"\xff" * 256)
    changed = bytes([*ciphertext[:-1], ciphertext[-1] ^ 1])
    if row.family == "rsa_oaep":
        for parameters, data in ((None, changed), ({"label": b"other"}, ciphertext)):
            with pytest.raises(PaddingInvalid):
                hsm.crypto.decrypt(user, rsa.private, row.name, parameters, data)
        with pytest.raises(MechanismParameterInvalid):
            hsm.crypto.decrypt(user, rsa.private, row.name, {"label": "text"}, ciphertext)
    else:
        # Implicit rejection: the same wrong ciphertext gives the same random bytes, and no error to tell by.
        assert len({hsm.crypto.decrypt(user, rsa.private, row.name, None, changed) for _ in range(3)}) == 1
    assert hsm.crypto.decrypt(user, rsa.private, row.name, None, ciphertext) == longest


def test_rsa_without_padding(site: Site, pair: Callable[[str], _Pair]) -> None:
    hsm, user, rsa = site.hsm, site.user, pair("RSA")
    options = ("-pkeyopt", "rsa_padding_mode:none")
    for data in (b"", b"\1", b"short", bytes(range(256))):
        ciphertext, chosen = hsm.crypto.encrypt(user, rsa.public, "RSA_X_509", None, data)
        assert chosen is None
        assert ciphertext == rsa.files.encrypt(data.rjust(256, b"\0"), *options)
        assert rsa.files.decrypt(ciphertext, *options) == data.rjust(256, b"\0")
        assert hsm.crypto.decrypt(user, rsa.private, "RSA_X_509", None, ciphertext) == data.rjust(256, b"\0")
        signature = hsm.crypto.sign(user, rsa.private, "RSA_X_509", None, data)
        assert signature == rsa.files.decrypt(data.rjust(256, b"\0"), *options)
        assert hsm.crypto.verify(user, rsa.public, "RSA_X_509", None, data, signature)
        for wrong in (b"", b"\xff" * 256, bytes(256), signature[:-1], b"\0" + signature):
            assert not (data and hsm.crypto.verify(user, rsa.public, "RSA_X_509", None, data, wrong))
    for wrong in (b"\xff" * 256, bytes(257)):
        for run, key in ((hsm.crypto.encrypt, rsa.public), (hsm.crypto.decrypt, rsa.private),
                         (hsm.crypto.sign, rsa.private)):  # fmt: skip
            with pytest.raises(DataLengthInvalid):
                run(user, key, "RSA_X_509", None, wrong)


def test_an_hsm_of_strong_hashes(tmp_path: Path) -> None:
    """From Client SDK 5.16 on CloudHSM refuses a hash that is weaker than the key; here an HSM is made so."""
    made = make_site(tmp_path / "hsm", Settings(strong_hashes=True))
    bits = {"P-224": 224, "P-256": 256, "secp256k1": 256, "P-384": 384, "P-521": 512}
    with made.hsm as hsm:
        for curve, least in bits.items():
            public, private = take_pair(hsm, made.user, ec_key(curve))
            for name, hash_name in HASHES.items():
                digest = hashlib.new(hash_name.replace("SHA-", "SHA")).digest()
                for mechanism in (f"ECDSA_{name}", f"ECDSA_P1363_{name}"):
                    if 8 * len(digest) >= least:
                        signature = hsm.crypto.sign(made.user, private.handle, mechanism, None, digest)
                        assert hsm.crypto.verify(made.user, public.handle, mechanism, None, digest, signature)
                        continue
                    weak = rf"Digest security strength \({len(digest) * 4}\) is weaker .* strength \({least // 2}\)"
                    with pytest.raises(KeyFunctionNotPermitted, match=weak):
                        hsm.crypto.sign(made.user, private.handle, mechanism, None, digest)
                    assert not hsm.crypto.verify(made.user, public.handle, mechanism, None, digest, bytes(64))
            assert hsm.crypto.sign(made.user, private.handle, "ECDSA_NONE", None, bytes(20))
        _, rsa = take_pair(hsm, made.user, rsa_key())
        assert hsm.crypto.sign(made.user, rsa.handle, "RSA_PKCS1_SHA1", None, bytes(20))


@pytest.mark.parametrize("key", [b"", b"\x30\0", bytes(300)])
def test_a_public_key_from_outside_that_is_none(site: Site, key: bytes) -> None:
    with pytest.raises(KeyTypeInconsistent):
        site.hsm.crypto.verify(site.user, key, "ECDSA_SHA256", None, bytes(32), b"")
    info = public_info(ec_key())
    for mechanism, kind in (("RSA_PKCS1_SHA256", KeyTypeInconsistent), ("SHA256", MechanismInvalid)):
        with pytest.raises(kind):
            site.hsm.crypto.verify(site.user, info, mechanism, None, bytes(32), b"")
    with pytest.raises(KeyTypeInconsistent, match="does not sign"):
        site.hsm.crypto.sign(site.user, info, "ECDSA_SHA256", None, bytes(32))


def test_every_mechanism_with_a_key_has_its_test_here_or_with_the_symmetric_ones(site: Site) -> None:
    tested_elsewhere = {Operation.GENERATE, Operation.DIGEST, Operation.DERIVE, Operation.RANDOM}
    families = {row.family for row in MECHANISMS.values() if row.operations - tested_elsewhere}
    assert families == {row.family for row in _SIGNATURES + _CIPHERS} | {
        "block_cipher",
        "gcm",
        "mac",
        "eddsa",
        "ml_dsa",
        "rsa_raw",
        "aes_key_wrap",
        "tdea_key_wrap",
        "rsa_aes_key_wrap",
    }
    runs: dict[Operation, tuple[Callable[..., object], tuple[object, ...]]] = {
        Operation.ENCRYPT: (site.hsm.crypto.encrypt, (b"",)),
        Operation.DECRYPT: (site.hsm.crypto.decrypt, (b"",)),
        Operation.SIGN: (site.hsm.crypto.sign, (b"",)),
        Operation.VERIFY: (site.hsm.crypto.verify, (b"", b"")),
        Operation.WRAP: (site.hsm.keys.wrap, (1,)),
        Operation.UNWRAP: (site.hsm.keys.unwrap, (b"", {})),
    }
    for row in MECHANISMS.values():
        for operation in runs.keys() - row.operations:
            run, rest = runs[operation]
            with pytest.raises(MechanismInvalid):
                run(site.user, 1, row.name, None, *rest)
