"""AES, DESede and HMAC: against ``openssl`` and the standard library, in parts, and with what does not fit."""

from __future__ import annotations

import hmac
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmcore import Hsm
from hsmcore.crypto.streams import MAX_AGE
from hsmcore.errors import (
    DataLengthInvalid,
    KeyFunctionNotPermitted,
    KeyTypeInconsistent,
    MechanismInvalid,
    MechanismParameterInvalid,
    OperationNotFound,
    PaddingInvalid,
    TagMismatch,
)
from hsmcore.tables.mechanisms import MECHANISMS, Mechanism
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS, Site
from tests.hsmcore.judge import cmac, encrypted
from tests.hsmcore.making import take_secret

_BLOCKS = [row for row in MECHANISMS.values() if row.family == "block_cipher"]
_MACS = [row for row in MECHANISMS.values() if row.family == "mac" and row.hash]
_FEW = settings(settings.get_profile("core"), max_examples=6)
_MANY = settings(settings.get_profile("core"), max_examples=40)
_KEYS = {16: bytes(range(32)), 8: bytes(range(1, 25))}


def _named(rows: list[Mechanism]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def _key(site: Site, row: Mechanism, material: bytes | None = None) -> int:
    """Return the handle of a session key for a block cipher, made once a value."""
    kind, value = ("AES" if row.block == 16 else "DESEDE"), material or _KEYS[row.block]
    found = site.hsm.keys.find(site.user, {"LABEL": f"{kind} {len(value)}"})
    return (found or [take_secret(site.hsm, site.user, kind, value, LABEL=f"{kind} {len(value)}")])[0].handle


def _fitting(row: Mechanism, data: bytes) -> bytes:
    return data if row.padded or row.mode == "CTR" else data[: len(data) // row.block * row.block]


def _given_iv(row: Mechanism, iv: bytes) -> dict[str, object] | None:
    return {"iv": iv[: row.iv]} if row.iv else None


@_named(_BLOCKS)
@_FEW
@given(data=st.binary(max_size=200), iv=st.binary(min_size=16, max_size=16), size=st.sampled_from([16, 24, 32]))
def test_block_ciphers_agree_with_openssl(site: Site, row: Mechanism, data: bytes, iv: bytes, size: int) -> None:
    value = _KEYS[row.block][:size] if row.block == 16 else _KEYS[8]
    key, data = _key(site, row, value), _fitting(row, data)
    ciphertext, chosen = site.hsm.crypto.encrypt(site.user, key, row.name, _given_iv(row, iv), data)
    assert chosen == _given_iv(row, iv)
    assert ciphertext == encrypted(row, value, iv[: row.iv], data)
    if data or row.padded:
        assert site.hsm.crypto.decrypt(site.user, key, row.name, chosen, ciphertext) == data


@_named(_BLOCKS)
@_MANY
@given(parts=st.lists(st.binary(max_size=50), max_size=8), iv=st.binary(min_size=16, max_size=16))
def test_ciphers_in_parts_are_as_at_once(site: Site, row: Mechanism, parts: list[bytes], iv: bytes) -> None:
    whole = b"".join(parts)
    if whole != _fitting(row, whole):
        parts = [*parts, bytes(-len(whole) % row.block)]
        whole = b"".join(parts)
    key, parameters = _key(site, row), _given_iv(row, iv)
    ciphertext, _ = site.hsm.crypto.encrypt(site.user, key, row.name, parameters, whole)
    assert _in_parts(site, "encrypt", key, row, parameters, parts) == ciphertext
    if ciphertext:
        cuts = sorted({0, len(ciphertext), *(len(part) for part in parts)})
        pieces = [ciphertext[a:b] for a, b in pairwise(cuts)]
        assert _in_parts(site, "decrypt", key, row, parameters, pieces) == whole


def _in_parts(
    site: Site, kind: str, key: int, row: Mechanism, parameters: dict[str, object] | None, parts: list[bytes]
) -> bytes:
    """Do a multi-part operation; its last part goes with its end."""
    operation, _ = site.hsm.crypto.begin(site.user, kind, key, row.name, parameters)
    out = [site.hsm.crypto.update(site.user, operation, part) for part in parts[:-1]]
    out.append(site.hsm.crypto.finish(site.user, operation, parts[-1] if parts else b""))
    with pytest.raises(OperationNotFound):
        site.hsm.crypto.update(site.user, operation, b"")
    return b"".join(out)


@_named([row for row in _BLOCKS if row.iv])
def test_without_an_iv_each_encryption_draws_one(site: Site, row: Mechanism) -> None:
    key = _key(site, row)
    seen = set()
    for _ in range(20):
        ciphertext, chosen = site.hsm.crypto.encrypt(site.user, key, row.name, None, bytes(row.block))
        assert chosen is not None
        assert site.hsm.crypto.decrypt(site.user, key, row.name, chosen, ciphertext) == bytes(row.block)
        seen.add(bytes(chosen["iv"]))  # type: ignore[call-overload]
    assert {len(iv) for iv in seen} == {row.iv}
    assert len(seen) == 20
    with pytest.raises(MechanismParameterInvalid):
        site.hsm.crypto.decrypt(site.user, key, row.name, None, bytes(row.block))
    for wrong in (b"", bytes(row.iv - 1), bytes(row.iv + 1), "text", 7):
        with pytest.raises(MechanismParameterInvalid):
            site.hsm.crypto.encrypt(site.user, key, row.name, {"iv": wrong}, bytes(row.block))
        with pytest.raises(MechanismParameterInvalid):
            site.hsm.crypto.begin(site.user, "decrypt", key, row.name, {"iv": wrong})


@_named(_BLOCKS)
def test_data_that_is_not_whole_blocks(site: Site, row: Mechanism) -> None:
    key, iv = _key(site, row), _given_iv(row, bytes(16))
    data = bytes(2 * row.block)
    good, _ = site.hsm.crypto.encrypt(site.user, key, row.name, iv, data)
    for length in (1, row.block - 1, row.block + 1):
        if row.mode == "CTR":
            assert len(site.hsm.crypto.decrypt(site.user, key, row.name, iv, good[:length])) == length
            continue
        with pytest.raises(DataLengthInvalid):
            site.hsm.crypto.decrypt(site.user, key, row.name, iv, good[:length])
        operation, _ = site.hsm.crypto.begin(site.user, "decrypt", key, row.name, iv)
        site.hsm.crypto.update(site.user, operation, good[:length])
        with pytest.raises(DataLengthInvalid):
            site.hsm.crypto.finish(site.user, operation, b"")
        if not row.padded:
            with pytest.raises(DataLengthInvalid):
                site.hsm.crypto.encrypt(site.user, key, row.name, iv, data[:length])
    if row.padded:
        with pytest.raises(DataLengthInvalid):
            site.hsm.crypto.decrypt(site.user, key, row.name, iv, b"")
        _wrong_padding(site, row, key, iv)
    assert site.hsm.crypto.decrypt(site.user, key, row.name, iv, good) == data


def _wrong_padding(site: Site, row: Mechanism, key: int, iv: dict[str, object] | None) -> None:
    for last in (0, row.block + 1, 255):
        bare = MECHANISMS[row.name.removesuffix("_PAD")]
        ciphertext, _ = site.hsm.crypto.encrypt(site.user, key, bare.name, iv, bytes(row.block - 1) + bytes([last]))
        with pytest.raises(PaddingInvalid):
            site.hsm.crypto.decrypt(site.user, key, row.name, iv, ciphertext)
        operation, _ = site.hsm.crypto.begin(site.user, "decrypt", key, row.name, iv)
        with pytest.raises(PaddingInvalid):
            site.hsm.crypto.finish(site.user, operation, ciphertext)


@_MANY
@given(data=st.binary(max_size=100), aad=st.none() | st.binary(max_size=40), size=st.sampled_from([16, 24, 32]))
def test_gcm_agrees_with_another_api(site: Site, data: bytes, aad: bytes | None, size: int) -> None:
    row, value = MECHANISMS["AES_CBC"], _KEYS[16][:size]
    key = _key(site, row, value)
    sealed, chosen = site.hsm.crypto.encrypt(site.user, key, "AES_GCM", {"aad": aad}, data)
    assert chosen is not None
    judge = Cipher(algorithms.AES(value), modes.GCM(chosen["iv"])).encryptor()  # type: ignore[arg-type]
    judge.authenticate_additional_data(aad or b"")
    assert sealed == judge.update(data) + judge.finalize() + judge.tag
    assert site.hsm.crypto.decrypt(site.user, key, "AES_GCM", chosen | {"aad": aad}, sealed) == data


@_MANY
@given(data=st.binary(max_size=40), place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_gcm_opens_nothing_that_was_changed(site: Site, data: bytes, place: int, change: int) -> None:
    hsm, user, key = site.hsm, site.user, _key(site, MECHANISMS["AES_CBC"])
    sealed, chosen = hsm.crypto.encrypt(user, key, "AES_GCM", {"aad": b"bound"}, data)
    assert chosen is not None
    iv, aad = bytes(chosen["iv"]), b"bound"  # type: ignore[call-overload]
    good = {"iv": iv, "aad": aad}
    for parameters, ciphertext in (
        (good, _changed(sealed, place, change)),
        ({"iv": _changed(iv, place, change), "aad": aad}, sealed),
        ({"iv": iv, "aad": _changed(aad, place, change)}, sealed),
        ({"iv": iv}, sealed),
        (good, sealed + b"\0"),
    ):
        with pytest.raises(TagMismatch):
            hsm.crypto.decrypt(user, key, "AES_GCM", parameters, ciphertext)
    with pytest.raises((TagMismatch, DataLengthInvalid)):
        hsm.crypto.decrypt(user, key, "AES_GCM", good, sealed[: place % len(sealed)])
    assert hsm.crypto.decrypt(user, key, "AES_GCM", good, sealed) == data


def _changed(data: bytes, place: int, change: int) -> bytes:
    place %= len(data)
    return bytes([*data[:place], data[place] ^ change, *data[place + 1 :]])


def test_gcm_parameters(site: Site) -> None:
    hsm, user, key = site.hsm, site.user, _key(site, MECHANISMS["AES_CBC"])
    sealed, chosen = hsm.crypto.encrypt(user, key, "AES_GCM", {"iv": bytes(12), "unknown": 1}, b"data")
    assert chosen != {"iv": bytes(12)}
    for parameters in (None, {}, *({"iv": iv} for iv in (b"", bytes(11), bytes(16), "x" * 12, 12))):
        with pytest.raises(MechanismParameterInvalid):
            hsm.crypto.decrypt(user, key, "AES_GCM", parameters, sealed)
    for aad in ("text", 1, True, [b""]):
        with pytest.raises(MechanismParameterInvalid):
            hsm.crypto.encrypt(user, key, "AES_GCM", {"aad": aad}, b"data")
    for length in range(16):
        with pytest.raises(DataLengthInvalid):
            hsm.crypto.decrypt(user, key, "AES_GCM", chosen, bytes(length))
    for kind in ("encrypt", "decrypt"):
        with pytest.raises(MechanismInvalid):
            hsm.crypto.begin(user, kind, key, "AES_GCM", chosen)
    assert hsm.crypto.decrypt(user, key, "AES_GCM", chosen, sealed) == b"data"


@_named(_MACS)
@_MANY
@given(value=st.binary(min_size=1, max_size=300), parts=st.lists(st.binary(max_size=300), max_size=6))
def test_macs_agree_with_the_standard_library(site: Site, row: Mechanism, value: bytes, parts: list[bytes]) -> None:
    hsm, user, data = site.hsm, site.user, b"".join(parts)
    key = take_secret(hsm, user, "GENERIC_SECRET", value).handle
    mac = hsm.crypto.sign(user, key, row.name, None, data)
    assert mac == hmac.digest(value, data, row.hash.replace("-", "").lower())
    assert hsm.crypto.verify(user, key, row.name, None, data, mac)
    for wrong in (b"", mac[:-1], mac + b"\0", _changed(mac, len(data), 1)):
        assert not hsm.crypto.verify(user, key, row.name, None, data, wrong)
    assert not hsm.crypto.verify(user, key, row.name, None, data + b"\0", mac)
    assert _in_parts(site, "sign", key, row, None, parts) == mac
    hsm.keys.destroy(user, key)


@_named(_MACS)
def test_keys_for_macs(site: Site, row: Mechanism) -> None:
    hsm, user = site.hsm, site.user
    aes = _key(site, MECHANISMS["AES_CBC"])
    assert hsm.crypto.sign(user, aes, row.name, None, b"data") == hmac.digest(
        _KEYS[16], b"data", row.hash.replace("-", "").lower()
    )
    longest, longer = (take_secret(hsm, user, "GENERIC_SECRET", bytes(size)).handle for size in (800, 801))
    assert hsm.crypto.sign(user, longest, row.name, None, b"")
    for call in (
        lambda: hsm.crypto.sign(user, longer, row.name, None, b""),
        lambda: hsm.crypto.verify(user, longer, row.name, None, b"", b""),
        lambda: hsm.crypto.begin(user, "sign", longer, row.name, None),
    ):
        with pytest.raises(KeyFunctionNotPermitted):
            call()


@_MANY
@given(size=st.sampled_from([16, 24, 32]), parts=st.lists(st.binary(max_size=70), max_size=4))
def test_cmac_agrees_with_openssl(site: Site, size: int, parts: list[bytes]) -> None:
    hsm, user, data, row = site.hsm, site.user, b"".join(parts), MECHANISMS["AES_CMAC"]
    key = _key(site, MECHANISMS["AES_CBC"], _KEYS[16][:size])
    mac = hsm.crypto.sign(user, key, row.name, None, data)
    assert mac == cmac(_KEYS[16][:size], data)
    assert hsm.crypto.verify(user, key, row.name, None, data, mac)
    for wrong in (b"", mac[:-1], mac + b"\0", _changed(mac, len(data), 1)):
        assert not hsm.crypto.verify(user, key, row.name, None, data, wrong)
    assert _in_parts(site, "sign", key, row, None, parts) == mac


def test_cmac_is_for_aes_keys(site: Site) -> None:
    for kind in ("GENERIC_SECRET", "DESEDE"):
        key = take_secret(site.hsm, site.user, kind, _KEYS[8]).handle
        with pytest.raises(KeyTypeInconsistent):
            site.hsm.crypto.sign(site.user, key, "AES_CMAC", None, b"data")


def test_multi_part_operations_belong_to_their_session(site: Site) -> None:
    hsm, key = site.hsm, _key(site, MECHANISMS["AES_CBC"])
    operation, _ = hsm.crypto.begin(site.user, "encrypt", key, "AES_CBC", None)
    second = hsm.users.login("cu1", PASSWORDS["cu1"])
    for session in (second, site.other):
        for call in (hsm.crypto.update, hsm.crypto.finish):
            with pytest.raises(OperationNotFound):
                call(session, operation, bytes(16))
        with pytest.raises(OperationNotFound):
            hsm.crypto.abort(session, operation)
    hsm.users.logout(second)
    assert hsm.crypto.update(site.user, operation, bytes(16))
    hsm.crypto.abort(site.user, operation)
    with pytest.raises(OperationNotFound):
        hsm.crypto.finish(site.user, operation, b"")


@pytest.mark.parametrize("length", [8, 12, 13, 14, 15, 16])
def test_a_tag_that_was_cut_still_authenticates(site: Site, length: int) -> None:
    hsm, user = site.hsm, site.user
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    sealed, chosen = hsm.crypto.encrypt(user, key, "AES_GCM", {"aad": b"seen"}, b"some text")
    assert chosen is not None
    parameters = {**chosen, "aad": b"seen", "tag_length": length}
    cut = sealed[: len(sealed) - 16 + length]
    assert hsm.crypto.decrypt(user, key, "AES_GCM", parameters, cut) == b"some text"
    for broken in (cut[:-1] + bytes([cut[-1] ^ 1]), bytes([cut[0] ^ 1]) + cut[1:], cut[: length - 1]):
        with pytest.raises((TagMismatch, DataLengthInvalid)):
            hsm.crypto.decrypt(user, key, "AES_GCM", parameters, broken)
    for refused in (1, 4, 7, 9, 17):
        with pytest.raises(MechanismParameterInvalid):
            hsm.crypto.decrypt(user, key, "AES_GCM", parameters | {"tag_length": refused}, cut)
    hsm.keys.destroy(user, key)


def test_a_multi_part_operation_expires_without_messages(tmp_path: Path) -> None:
    now = [0.0]
    with Hsm.initialize(tmp_path / "hsm", admin_password=ADMIN_PASSWORD, clock=lambda: now[0]) as hsm:
        hsm.users.create(hsm.users.login("admin", ADMIN_PASSWORD, "admin"), "cu1", "crypto-user", PASSWORDS["cu1"])
        user = hsm.users.login("cu1", PASSWORDS["cu1"])
        key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
        used, unused = (hsm.crypto.begin(user, "sign", key, "AES_CMAC", None)[0] for _ in range(2))
        now[0] += MAX_AGE
        hsm.crypto.update(user, used, b"just in time")
        now[0] += 1
        with pytest.raises(OperationNotFound):
            hsm.crypto.update(user, unused, b"too late")
        now[0] += MAX_AGE - 1
        assert hsm.crypto.finish(user, used, b"") == hsm.crypto.sign(user, key, "AES_CMAC", None, b"just in time")
