"""The way through the library: initialise, log in, make a key pair, find it, sign, read attributes."""

from __future__ import annotations

import hashlib
from ctypes import byref, c_ubyte, c_ulong

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.native import cryptoki as ck
from tests.native.conftest import PIN
from tests.native.cryptoki import Cryptoki
from tests.native.proxy import Proxy

EC_KEY_PAIR_GEN, ECDSA_SHA256 = 0x1040, 0x1044
CLASS, LABEL, SIGN, VERIFY, EC_PARAMS, EC_POINT = 0x0, 0x3, 0x108, 0x10A, 0x180, 0x181
BUFFER_TOO_SMALL, SIGNATURE_INVALID, NOT_INITIALIZED = 0x150, 0xC0, 0x190


def _pair(cryptoki: Cryptoki, session: int, label: bytes) -> list[int]:
    return cryptoki.generate_pair(
        session, EC_KEY_PAIR_GEN, [(EC_PARAMS, ck.P256), (VERIFY, True), (LABEL, label)], [(SIGN, True), (LABEL, label)]
    )


def test_a_key_pair_signs_and_is_found(cryptoki: Cryptoki, session: int) -> None:
    public, private = _pair(cryptoki, session, b"first")
    assert cryptoki.find(session, [(LABEL, b"first")], step=1) == [public, private]
    assert cryptoki.find(session, [(LABEL, b"first"), (CLASS, 3)]) == [private]
    signature = cryptoki.run("Sign", session, ECDSA_SHA256, private, b"hello")
    assert len(signature) == 64
    point = cryptoki.read(session, public, EC_POINT)
    assert point[:2] == b"\x04\x41"
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[2:])
    key.verify(_der(signature), b"hello", ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(_der(signature), b"hallo", ec.ECDSA(SHA256()))
    assert cryptoki.verify(session, ECDSA_SHA256, public, b"hello", signature) == ck.OK
    assert cryptoki.verify(session, ECDSA_SHA256, public, b"hallo", signature) == SIGNATURE_INVALID


def _der(signature: bytes) -> bytes:
    half = len(signature) // 2
    return encode_dss_signature(*(int.from_bytes(part, "big") for part in (signature[:half], signature[half:])))


def test_a_second_use_of_a_key_takes_one_request(cryptoki: Cryptoki, session: int, proxy: Proxy) -> None:
    public, private = _pair(cryptoki, session, b"counted")
    signature = cryptoki.run("Sign", session, ECDSA_SHA256, private, b"first")
    assert cryptoki.verify(session, ECDSA_SHA256, public, b"first", signature) == ck.OK
    proxy.count()
    for number in range(10):
        data = b"data %d" % number
        signature = cryptoki.run("Sign", session, ECDSA_SHA256, private, data)
        assert proxy.count() == 1
        assert cryptoki.verify(session, ECDSA_SHA256, public, data, signature) == ck.OK
        assert proxy.count() == 1


def test_the_length_is_told_without_a_request_and_a_short_buffer_leaves_the_operation(
    cryptoki: Cryptoki, session: int, proxy: Proxy
) -> None:
    _, private = _pair(cryptoki, session, b"lengths")
    for first in (True, False):
        proxy.count()
        assert cryptoki.begin("Sign", session, ECDSA_SHA256, private) == ck.OK
        length = c_ulong(0)
        assert cryptoki.call("C_Sign", session, b"data", 4, None, byref(length)) == ck.OK
        assert length.value == 64
        assert proxy.count() == (2 if first else 0)
        short, length = (c_ubyte * 63)(), c_ulong(63)
        assert cryptoki.call("C_Sign", session, b"data", 4, short, byref(length)) == BUFFER_TOO_SMALL
        assert length.value == 64
        assert len(cryptoki.once("Sign", session, b"data", room=64)) == 64


def test_parts_of_the_data_are_one_request_with_the_end(cryptoki: Cryptoki, session: int, proxy: Proxy) -> None:
    public, private = _pair(cryptoki, session, b"parts")

    def begin(kind: str, *parts: bytes, key: int | None) -> None:
        mechanism = 0x250 if key is None else ECDSA_SHA256
        assert cryptoki.begin(kind, session, mechanism, key) == ck.OK
        for part in parts:
            cryptoki.must(f"C_{kind}Update", session, part, len(part))

    for count in (2, 1, 1):
        proxy.count()
        begin("Sign", b"some ", b"", b"data", key=private)
        signature = cryptoki.output("C_SignFinal", session)
        assert proxy.count() == count
        begin("Verify", b"some data", key=public)
        cryptoki.must("C_VerifyFinal", session, signature, len(signature))
        assert proxy.count() == count
        begin("Digest", b"some ", b"data", key=None)
        assert cryptoki.output("C_DigestFinal", session) == hashlib.sha256(b"some data").digest()
        assert proxy.count() == count
    begin("Verify", b"other data", key=public)
    assert cryptoki.call("C_VerifyFinal", session, signature, len(signature)) == 0xC0
    # The length, a short buffer, and then the signature of all the same.
    begin("Sign", b"more", b" data", key=private)
    length, short = c_ulong(0), (c_ubyte * 63)()
    cryptoki.must("C_SignFinal", session, None, byref(length))
    assert length.value == 64
    length.value = 63
    assert cryptoki.call("C_SignFinal", session, short, byref(length)) == BUFFER_TOO_SMALL
    signature = cryptoki.output("C_SignFinal", session)
    assert cryptoki.verify(session, ECDSA_SHA256, public, b"more data", signature) == ck.OK
    # One call after a part, and a second beginning.
    begin("Sign", b"part", key=private)
    length.value = 64
    assert cryptoki.call("C_Sign", session, b"x", 1, (c_ubyte * 64)(), byref(length)) == 0x90
    assert cryptoki.begin("Sign", session, ECDSA_SHA256, private) == 0x90
    signature = cryptoki.output("C_SignFinal", session)
    assert cryptoki.verify(session, ECDSA_SHA256, public, b"part", signature) == ck.OK
    # A key that ends between the parts.
    begin("Sign", b"part", key=private)
    cryptoki.must("C_DestroyObject", session, private)
    assert cryptoki.call("C_SignFinal", session, (c_ubyte * 64)(), byref(length)) == 0x60


@pytest.mark.parametrize("size", [8192, 8193, 20_000])
def test_more_data_than_is_kept(cryptoki: Cryptoki, session: int, size: int) -> None:
    public, private = _pair(cryptoki, session, b"long")
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    for _ in range(2):
        for step in (1000, size):
            assert cryptoki.begin("Sign", session, ECDSA_SHA256, private) == ck.OK
            for start in range(0, size, step):
                part = data[start : start + step]
                cryptoki.must("C_SignUpdate", session, part, len(part))
            signature = cryptoki.output("C_SignFinal", session)
            assert cryptoki.verify(session, ECDSA_SHA256, public, data, signature) == ck.OK
            assert cryptoki.begin("Verify", session, ECDSA_SHA256, public) == ck.OK
            cryptoki.must("C_VerifyUpdate", session, data[:1], 1)
            cryptoki.must("C_VerifyUpdate", session, data[1:], size - 1)
            cryptoki.must("C_VerifyFinal", session, signature, len(signature))


def test_nothing_works_before_initialisation_and_after_the_end(cryptoki: Cryptoki, session: int) -> None:
    cryptoki.must("C_Finalize", None)
    try:
        assert cryptoki.call("C_Finalize", None) == NOT_INITIALIZED
        assert cryptoki.call("C_Logout", session) == NOT_INITIALIZED
        count = c_ulong()
        assert cryptoki.call("C_GetSlotList", c_ubyte(0), None, byref(count)) == NOT_INITIALIZED
    finally:
        cryptoki.must("C_Initialize", None)
    assert cryptoki.call("C_Initialize", None) == 0x191  # ALREADY_INITIALIZED
    assert cryptoki.call("C_Logout", session) == 0xB3  # SESSION_HANDLE_INVALID
    cryptoki.login(cryptoki.open(), PIN)
