"""Every mechanism through the library, against the ``cryptography`` library with keys that were imported."""

from __future__ import annotations

import hashlib
import hmac
import struct
from ctypes import c_char, c_ulong

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import cmac, hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, aead, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from bridge.cryptoki.mechanisms import ROWS, Use
from tests.native import cryptoki as ck
from tests.native.cryptoki import Cryptoki, CryptokiError, Mechanism, with_parameter
from tests.native.proxy import Proxy

SECRET, PUBLIC, PRIVATE = 4, 2, 3
AES_TYPE, DES_TYPE, GENERIC, RSA, EC = 0x1F, 0x15, 0x10, 0x0, 0x3
_ALL = [(0x104, True), (0x105, True), (0x106, True), (0x107, True)]
_SIGNS: list[ck.Pair] = [(0x108, True), (0x10A, True)]
AES_KEY, DES_KEY = bytes(range(32)), bytes(range(24))
DATA = bytes(range(256)) * 2 + b"the rest"
HASHES = {
    "SHA1": (hashes.SHA1, 0x220, 1), "SHA224": (hashes.SHA224, 0x255, 5), "SHA256": (hashes.SHA256, 0x250, 2),
    "SHA384": (hashes.SHA384, 0x260, 3), "SHA512": (hashes.SHA512, 0x270, 4),
}  # fmt: skip
RSA_SHA = {"SHA1": (0x06, 0x0E), "SHA224": (0x46, 0x47), "SHA256": (0x40, 0x43), "SHA384": (0x41, 0x44),
           "SHA512": (0x42, 0x45)}  # fmt: skip
CURVES = {
    "secp224r1": ("06052b81040021", ec.SECP224R1()), "secp256r1": ("06082a8648ce3d030107", ec.SECP256R1()),
    "secp256k1": ("06052b8104000a", ec.SECP256K1()), "secp384r1": ("06052b81040022", ec.SECP384R1()),
    "secp521r1": ("06052b81040023", ec.SECP521R1()),
}  # fmt: skip


def _secret(cryptoki: Cryptoki, session: int, key_type: int, value: bytes, *more: ck.Pair) -> int:
    usages = _ALL if key_type != GENERIC else []
    return cryptoki.create(
        session, [(0, SECRET), (0x100, key_type), (0x11, value), *usages, *_SIGNS, (0x10C, True), *more]
    )


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class RsaPair:
    """An RSA pair in the HSM and outside."""

    def __init__(self, cryptoki: Cryptoki, session: int) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        numbers = self.key.private_numbers()
        n, e, d = (_number(one) for one in (numbers.public_numbers.n, numbers.public_numbers.e, numbers.d))
        self.public = cryptoki.create(
            session,
            [(0, PUBLIC), (0x100, RSA), (0x120, n), (0x122, e), (0x104, True), (0x10A, True), (0x106, True)],
        )
        self.private = cryptoki.create(
            session,
            [(0, PRIVATE), (0x100, RSA), (0x120, n), (0x122, e), (0x123, d), (0x105, True), (0x108, True),
             (0x107, True)],
        )  # fmt: skip


@pytest.fixture
def pair(cryptoki: Cryptoki, session: int) -> RsaPair:
    return RsaPair(cryptoki, session)


def _cipher(cipher: Cipher[modes.Mode], data: bytes) -> bytes:
    encryptor = cipher.encryptor()
    return encryptor.update(data) + encryptor.finalize()


_BLOCKS = {
    0x1081: ("AES", modes.ECB(), None), 0x1082: ("AES", modes.CBC(bytes(16)), bytes(16)),
    0x1086: ("AES", modes.CTR(bytes(16)), struct.pack("@L16s", 128, bytes(16))), 0x132: ("DES", modes.ECB(), None),
    0x133: ("DES", modes.CBC(bytes(8)), bytes(8)), 0x1085: ("AES", modes.CBC(bytes(16)), bytes(16)),
    0x136: ("DES", modes.CBC(bytes(8)), bytes(8)),
}  # fmt: skip


@pytest.mark.parametrize("number", _BLOCKS, ids=hex)
def test_block_ciphers_in_one_call_and_in_parts(cryptoki: Cryptoki, session: int, number: int, proxy: Proxy) -> None:
    name, mode, parameter = _BLOCKS[number]
    algorithm = AES(AES_KEY) if name == "AES" else TripleDES(DES_KEY)
    key = _secret(cryptoki, session, AES_TYPE if name == "AES" else DES_TYPE, AES_KEY if name == "AES" else DES_KEY)
    block = algorithm.block_size // 8
    padded = number in {0x1085, 0x136}
    data = DATA if padded or number == 0x1086 else DATA[:512]
    filled = data + bytes([block - len(data) % block]) * (block - len(data) % block) if padded else data
    expected = _cipher(Cipher(algorithm, mode), filled)

    def mechanism() -> Mechanism | int:
        return number if parameter is None else with_parameter(number, parameter)

    for _ in range(3):
        assert cryptoki.run("Encrypt", session, mechanism(), key, data) == expected
        assert cryptoki.run("Decrypt", session, mechanism(), key, expected) == data
    proxy.count()
    assert cryptoki.run("Encrypt", session, mechanism(), key, data) == expected
    assert proxy.count() == 1
    for kind, whole, result in (("Encrypt", data, expected), ("Decrypt", expected, data)):
        assert cryptoki.begin(kind, session, mechanism(), key) == ck.OK
        out = b""
        for start in range(0, len(whole), 100):
            part = whole[start : start + 100]
            out += cryptoki.output(f"C_{kind}Update", session, part, len(part))
        assert out + cryptoki.output(f"C_{kind}Final", session) == result


@pytest.mark.parametrize("aad", [b"", b"header", b"another"])
def test_gcm_has_the_hsms_iv(cryptoki: Cryptoki, session: int, aad: bytes, proxy: Proxy) -> None:
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    seen = set()
    for number in range(4):
        iv = (c_char * 12)()
        proxy.count()
        sealed = cryptoki.run("Encrypt", session, ck.gcm(0x1087, iv, aad), key, b"plain")
        assert proxy.count() == (1 if number else 2)
        assert aead.AESGCM(AES_KEY).decrypt(iv.raw, sealed, aad) == b"plain"
        seen.add(iv.raw)
        opened = cryptoki.run("Decrypt", session, ck.gcm(0x1087, iv, aad), key, sealed)
        assert opened == b"plain"
        assert proxy.count() == (1 if number else 2)
        with pytest.raises(CryptokiError) as refused:
            cryptoki.run("Decrypt", session, ck.gcm(0x1087, iv, aad), key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        assert refused.value.rv == 0x40
    assert len(seen) == 4
    own = (c_char * 12).from_buffer_copy(b"\1" + bytes(11))
    assert cryptoki.begin("Encrypt", session, ck.gcm(0x1087, own), key) == 0x71


def test_vendor_gcm_has_the_iv_first(cryptoki: Cryptoki, session: int) -> None:
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    for _ in range(3):
        sealed = cryptoki.run("Encrypt", session, ck.gcm(0x80001087, None, b"aad"), key, b"plain")
        assert aead.AESGCM(AES_KEY).decrypt(sealed[:12], sealed[12:], b"aad") == b"plain"
        assert cryptoki.run("Decrypt", session, ck.gcm(0x80001087, None, b"aad"), key, sealed) == b"plain"


def test_gcm_is_not_done_in_parts(cryptoki: Cryptoki, session: int) -> None:
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    assert cryptoki.begin("Encrypt", session, ck.gcm(0x80001087, None), key) == ck.OK
    with pytest.raises(CryptokiError) as refused:
        cryptoki.output("C_EncryptUpdate", session, b"x", 1)
    assert refused.value.rv == 0x70


@pytest.mark.parametrize("name", HASHES)
def test_digests_and_hmacs(cryptoki: Cryptoki, session: int, name: str) -> None:
    _, number, _ = HASHES[name]
    expected = hashlib.new(name.lower(), DATA).digest()
    assert cryptoki.run("Digest", session, number, None, DATA) == expected
    assert cryptoki.run("Digest", session, number, None, DATA) == expected
    cryptoki.begin("Digest", session, number, None)
    for part in (DATA[:100], b"", DATA[100:]):
        cryptoki.must("C_DigestUpdate", session, part, len(part))
    assert cryptoki.output("C_DigestFinal", session) == expected
    key = _secret(cryptoki, session, GENERIC, b"a key of sixteen")
    mac = hmac.digest(b"a key of sixteen", DATA, name.lower())
    _check_signatures(cryptoki, session, number + 1, key, key, mac)


def _check_signatures(
    cryptoki: Cryptoki, session: int, number: int, private: int, public: int, expected: bytes
) -> None:
    """Sign and verify in one call and in parts, twice each, with a signature that is always the same."""
    for _ in range(2):
        assert cryptoki.run("Sign", session, number, private, DATA) == expected
        assert cryptoki.verify(session, number, public, DATA, expected) == ck.OK
        assert cryptoki.verify(session, number, public, DATA + b"x", expected) == 0xC0
        assert cryptoki.verify(session, number, public, DATA, expected[:-1]) == 0xC1
    cryptoki.begin("Sign", session, number, private)
    cryptoki.must("C_SignUpdate", session, DATA[:9], 9)
    cryptoki.must("C_SignUpdate", session, DATA[9:], len(DATA) - 9)
    assert cryptoki.output("C_SignFinal", session) == expected
    for signature, code in ((expected, ck.OK), (bytes(len(expected)), 0xC0)):
        cryptoki.begin("Verify", session, number, public)
        cryptoki.must("C_VerifyUpdate", session, DATA[:9], 9)
        cryptoki.must("C_VerifyUpdate", session, DATA[9:], len(DATA) - 9)
        assert cryptoki.call("C_VerifyFinal", session, signature, len(signature)) == code


def test_cmac(cryptoki: Cryptoki, session: int) -> None:
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    context = cmac.CMAC(AES(AES_KEY))
    context.update(DATA)
    _check_signatures(cryptoki, session, 0x108A, key, key, context.finalize())


def test_rsa_signatures(cryptoki: Cryptoki, session: int, pair: RsaPair) -> None:
    raw = cryptoki.run("Sign", session, 0x1, pair.private, b"a short text")
    assert raw == pair.key.sign(b"a short text", padding.PKCS1v15(), utils.NoDigestInfo())
    assert cryptoki.verify(session, 0x1, pair.public, b"a short text", raw) == ck.OK
    assert cryptoki.begin("Sign", session, 0x1, pair.private) == ck.OK
    assert cryptoki.call("C_SignUpdate", session, b"x", 1) == 0x54
    for name, (kind, mechanism, mask) in HASHES.items():
        pkcs1, pss = RSA_SHA[name]
        expected = pair.key.sign(DATA, padding.PKCS1v15(), kind())
        _check_signatures(cryptoki, session, pkcs1, pair.private, pair.public, expected)
        salted = struct.pack("@3L", mechanism, mask, 20)
        scheme = padding.PSS(padding.MGF1(kind()), 20)
        for _ in range(2):
            signature = cryptoki.run("Sign", session, with_parameter(pss, salted), pair.private, DATA)
            pair.key.public_key().verify(signature, DATA, scheme, kind())
            made = pair.key.sign(DATA, scheme, kind())
            assert cryptoki.verify(session, with_parameter(pss, salted), pair.public, DATA, made) == ck.OK
        digest = hashlib.new(name.lower(), DATA).digest()
        signature = cryptoki.run("Sign", session, with_parameter(0xD, salted), pair.private, digest)
        pair.key.public_key().verify(signature, DATA, scheme, kind())


def test_rsa_without_padding(cryptoki: Cryptoki, session: int, pair: RsaPair, proxy: Proxy) -> None:
    block = b"\0\1" + b"\xff" * 240 + b"\0" + b"a short text!"
    expected = pair.key.sign(b"a short text!", padding.PKCS1v15(), utils.NoDigestInfo())
    for number in range(3):
        proxy.count()
        assert cryptoki.run("Sign", session, 0x3, pair.private, block) == expected
        assert proxy.count() == (1 if number else 2)
        assert cryptoki.verify(session, 0x3, pair.public, block, expected) == ck.OK
        assert cryptoki.verify(session, 0x3, pair.public, block[:-1] + bytes([block[-1] ^ 1]), expected) == 0xC0
        sealed = cryptoki.run("Encrypt", session, 0x3, pair.public, b"number")
        assert cryptoki.run("Decrypt", session, 0x3, pair.private, sealed) == b"number".rjust(256, b"\0")
        for kind, key in (("Encrypt", pair.public), ("Decrypt", pair.private), ("Sign", pair.private)):
            for wrong in (b"\xff" * 256, bytes(257)):
                with pytest.raises(CryptokiError) as refused:
                    cryptoki.run(kind, session, 0x3, key, wrong)
                assert refused.value.rv in {0x21, 0x41}


def test_triple_des_key_wrap(cryptoki: Cryptoki, session: int) -> None:
    key = _secret(cryptoki, session, DES_TYPE, bytes.fromhex("12b84c663120c196f8fc17428bbaf10eebeb2ad9c5e37a7a"))
    target = _secret(cryptoki, session, GENERIC, bytes(20))
    wrapped = cryptoki.output("C_WrapKey", session, ck.byref(Mechanism(0x80008000)), key, target)
    assert len(wrapped) == 24
    attributes: list[ck.Pair] = [(0, SECRET), (0x100, GENERIC), *_SIGNS]
    back = cryptoki.made(
        "C_UnwrapKey", session, ck.byref(Mechanism(0x80008000)), key, wrapped, len(wrapped), attributes=attributes
    )
    mac = hmac.digest(bytes(20), DATA, "sha256")
    assert cryptoki.run("Sign", session, 0x251, back, DATA) == mac
    handle = ck.c_ulong()
    template, changed = ck.template(attributes), wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    assert cryptoki.call(
        "C_UnwrapKey", session, ck.byref(Mechanism(0x80008000)), key, changed, len(changed), template,
        len(attributes), ck.byref(handle),
    ) == 0x110  # fmt: skip


def test_two_lengths_of_salt_are_two_operations(cryptoki: Cryptoki, session: int, pair: RsaPair) -> None:
    for _ in range(3):
        for salt in (20, 32):
            parameter = with_parameter(0x43, struct.pack("@3L", 0x250, 2, salt))
            signature = cryptoki.run("Sign", session, parameter, pair.private, DATA)
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
            pair.key.public_key().verify(signature, DATA, scheme, hashes.SHA256())


def test_rsa_encryption(cryptoki: Cryptoki, session: int, pair: RsaPair) -> None:
    for _ in range(2):
        sealed = cryptoki.run("Encrypt", session, 0x1, pair.public, b"secret")
        assert pair.key.decrypt(sealed, padding.PKCS1v15()) == b"secret"
        assert cryptoki.run("Decrypt", session, 0x1, pair.private, sealed) == b"secret"
        for kind, mechanism, mask in HASHES.values():
            parameter = struct.pack("@3LPL", mechanism, mask, 1, 0, 0)
            scheme = padding.OAEP(padding.MGF1(kind()), kind(), None)
            sealed = cryptoki.run("Encrypt", session, with_parameter(0x9, parameter), pair.public, b"secret")
            assert pair.key.decrypt(sealed, scheme) == b"secret"
            sealed = pair.key.public_key().encrypt(b"secret", scheme)
            assert cryptoki.run("Decrypt", session, with_parameter(0x9, parameter), pair.private, sealed) == b"secret"
    mixed = struct.pack("@3LPL", 0x250, 1, 1, 0, 0)
    assert cryptoki.begin("Encrypt", session, with_parameter(0x9, mixed), pair.public) == 0x71


@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa_on_every_curve(cryptoki: Cryptoki, session: int, curve: str) -> None:
    oid, group = bytes.fromhex(CURVES[curve][0]), CURVES[curve][1]
    key = ec.generate_private_key(group)
    size = (group.key_size + 7) // 8
    numbers = key.private_numbers()
    private = cryptoki.create(
        session,
        [(0, PRIVATE), (0x100, EC), (0x180, oid), (0x11, numbers.private_value.to_bytes(size, "big")), (0x108, True)],
    )
    public_numbers = numbers.public_numbers
    point = b"\4" + public_numbers.x.to_bytes(size, "big") + public_numbers.y.to_bytes(size, "big")
    wrapped = b"\4" + (bytes([len(point)]) if len(point) < 128 else bytes([0x81, len(point)])) + point
    for form in (point, wrapped):
        public = cryptoki.create(session, [(0, PUBLIC), (0x100, EC), (0x180, oid), (0x181, form), (0x10A, True)])
        assert cryptoki.read(session, public, 0x181) == wrapped
    for number, kind in ((0x1042, hashes.SHA1), (0x1043, hashes.SHA224), (0x1044, hashes.SHA256),
                         (0x1045, hashes.SHA384), (0x1046, hashes.SHA512)):  # fmt: skip
        for _ in range(2):
            signature = cryptoki.run("Sign", session, number, private, DATA)
            r, s = (int.from_bytes(part, "big") for part in (signature[:size], signature[size:]))
            key.public_key().verify(utils.encode_dss_signature(r, s), DATA, ec.ECDSA(kind()))
            r, s = utils.decode_dss_signature(key.sign(DATA, ec.ECDSA(kind())))
            made = r.to_bytes(size, "big") + s.to_bytes(size, "big")
            assert cryptoki.verify(session, number, public, DATA, made) == ck.OK
    digest = hashlib.sha256(DATA).digest()
    signature = cryptoki.run("Sign", session, 0x1041, private, digest)
    assert cryptoki.verify(session, 0x1044, public, DATA, signature) == ck.OK


_WRAPS = {0x80002109: keywrap.aes_key_wrap, 0x8000216F: keywrap.aes_key_wrap_with_padding, 0x8000210A: None}


@pytest.mark.parametrize("number", _WRAPS, ids=hex)
def test_aes_key_wrap(cryptoki: Cryptoki, session: int, number: int) -> None:
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    target = _secret(cryptoki, session, AES_TYPE, bytes(16))
    wrapped = cryptoki.output("C_WrapKey", session, ck.byref(Mechanism(number)), key, target)
    outside = _WRAPS[number]
    expected = outside(AES_KEY, bytes(16)) if outside else keywrap.aes_key_wrap(AES_KEY, bytes(16) + b"\10" * 8)
    assert wrapped == expected
    with pytest.raises(CryptokiError) as refused:
        cryptoki.output("C_WrapKey", session, ck.byref(Mechanism(number)), key, target, room=len(wrapped) - 1)
    assert refused.value.rv == 0x150
    with_iv = with_parameter(number, b"\xa6" * 8)
    if number != 0x8000216F:
        assert cryptoki.output("C_WrapKey", session, ck.byref(with_iv), key, target) == wrapped
    template: list[ck.Pair] = [(0, SECRET), (0x100, AES_TYPE), (0x104, True), (0x105, True)]
    back = cryptoki.made("C_UnwrapKey", session, ck.byref(Mechanism(number)), key, wrapped, len(wrapped),
                         attributes=template)  # fmt: skip
    assert cryptoki.run("Encrypt", session, 0x1081, back, bytes(16)) == _cipher(
        Cipher(AES(bytes(16)), modes.ECB()), bytes(16)
    )
    with pytest.raises(CryptokiError) as refused:
        cryptoki.made("C_UnwrapKey", session, ck.byref(Mechanism(number)), key, bytes(len(wrapped)), len(wrapped),
                      attributes=template)  # fmt: skip
    assert refused.value.rv == 0x110


def test_wrapping_with_rsa_and_gcm_brings_a_private_key_back(cryptoki: Cryptoki, session: int, pair: RsaPair) -> None:
    oaep = struct.pack("@3LPL", 0x250, 2, 1, 0, 0)
    inner = (c_char * len(oaep)).from_buffer_copy(oaep)
    both = with_parameter(0x1054, struct.pack("@LP", 256, ck.ctypes.addressof(inner)))
    key = _secret(cryptoki, session, AES_TYPE, AES_KEY)
    template: list[ck.Pair] = [(0, PRIVATE), (0x100, RSA), (0x108, True)]
    expected = pair.key.sign(DATA, padding.PKCS1v15(), hashes.SHA256())
    iv = (c_char * 12)()
    for mechanism, wrapping, unwrapping in (
        (both, pair.public, pair.private),
        (ck.gcm(0x80001087, None), key, key),
        (ck.gcm(0x1087, iv), key, key),
    ):
        wrapped = cryptoki.output("C_WrapKey", session, ck.byref(mechanism), wrapping, pair.private)
        back = cryptoki.made("C_UnwrapKey", session, ck.byref(mechanism), unwrapping, wrapped, len(wrapped),
                             attributes=template)  # fmt: skip
        assert cryptoki.run("Sign", session, 0x40, back, DATA) == expected
    assert iv.raw != bytes(12)


def test_ecdh_with_a_kdf(cryptoki: Cryptoki, session: int) -> None:
    own, peer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    value = own.private_numbers().private_value.to_bytes(32, "big")
    base = cryptoki.create(session, [(0, PRIVATE), (0x100, EC), (0x180, ck.P256), (0x11, value), (0x10C, True)])
    numbers = peer.public_key().public_numbers()
    point = b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    shared = own.exchange(ec.ECDH(), peer.public_key())
    info = b"shared info"
    places = [(c_char * len(one)).from_buffer_copy(one) for one in (info, point)]
    template: list[ck.Pair] = [(0, SECRET), (0x100, AES_TYPE), (0x161, 16), (0x104, True)]
    for kdf in (0x6, 0x80000006):
        parameter = struct.pack("@LLPLP", kdf, len(info), ck.ctypes.addressof(places[0]), len(point),
                                ck.ctypes.addressof(places[1]))  # fmt: skip
        key = cryptoki.made("C_DeriveKey", session, ck.byref(with_parameter(0x1050, parameter)), base,
                            attributes=template)  # fmt: skip
        expected = hashlib.sha256(shared + b"\0\0\0\1" + info).digest()[:16]
        assert cryptoki.run("Encrypt", session, 0x1081, key, bytes(16)) == _cipher(
            Cipher(AES(expected), modes.ECB()), bytes(16)
        )
    plain = struct.pack("@LLPLP", 1, 0, 0, len(point), ck.ctypes.addressof(places[1]))
    with pytest.raises(CryptokiError) as refused:
        cryptoki.made("C_DeriveKey", session, ck.byref(with_parameter(0x1050, plain)), base, attributes=template)
    assert refused.value.rv == 0x71


def test_the_counter_mode_kdf(cryptoki: Cryptoki, session: int) -> None:
    base = _secret(cryptoki, session, GENERIC, b"key derivation key")
    counter, length = (c_ulong * 1)(32), (c_ulong * 2)(1, 32)
    label, context = (c_char * 5).from_buffer_copy(b"label"), (c_char * 7).from_buffer_copy(b"context")
    parts = ((4, counter), (7, length), (5, label), (6, context))
    array = (ck.Attribute * 4)(
        *(ck.Attribute(kind, ck.ctypes.addressof(part), ck.ctypes.sizeof(part)) for kind, part in parts)
    )
    parameter = struct.pack("@LLP", 0x251, 4, ck.ctypes.addressof(array))
    template: list[ck.Pair] = [(0, SECRET), (0x100, AES_TYPE), (0x161, 32), (0x104, True)]
    key = cryptoki.made("C_DeriveKey", session, ck.byref(with_parameter(0x80000001, parameter)), base,
                        attributes=template)  # fmt: skip
    expected = hmac.digest(b"key derivation key", b"\0\0\0\1label\0context\0\0\1\0", "sha256")
    assert cryptoki.run("Encrypt", session, 0x1081, key, bytes(16)) == _cipher(
        Cipher(AES(expected), modes.ECB()), bytes(16)
    )


def test_the_list_of_mechanisms_is_the_table(cryptoki: Cryptoki) -> None:
    count = c_ulong()
    cryptoki.must("C_GetMechanismList", 0, None, ck.byref(count))
    numbers = (c_ulong * count.value)()
    cryptoki.must("C_GetMechanismList", 0, numbers, ck.byref(count))
    listed = [row.number for row in ROWS if row.listed]
    assert list(numbers) == listed
    for row in ROWS:
        info = (c_ulong * 3)()
        cryptoki.must("C_GetMechanismInfo", 0, row.number, info)
        assert tuple(info[:2]) == row.keys.sizes
        assert info[2] & ~1 == row.uses
        assert bool(info[2] & 1) == (not row.uses & Use.DIGEST)
    short = c_ulong(3)
    assert cryptoki.call("C_GetMechanismList", 0, numbers, ck.byref(short)) == 0x150
    assert short.value == len(listed)
    assert cryptoki.call("C_GetMechanismInfo", 0, 0x7777, info) == 0x70
