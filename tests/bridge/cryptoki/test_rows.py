"""Rows of the reference that are no attribute rules: sizes of keys, uses and parameters of mechanisms, users."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cryptoki.mechanisms import ROWS, Form, Row, Use
from tests.bridge.conftest import ADMIN_PASSWORD, PASSWORD
from tests.bridge.cryptoki.test_rules import Call, call, session

__all__ = ["call", "session"]

OK, MECHANISM_INVALID, PARAMETER_INVALID, NOT_SUPPORTED = 0x0, 0x70, 0x71, 0x54
VALUE_INVALID, KEY_SIZE_RANGE, PIN_INCORRECT, USER_TYPE_INVALID = 0x13, 0x62, 0xA0, 0x103
AES, RSA_PAIR, GENERIC, DES3 = 0x1080, 0x0, 0x350, 0x131
USAGES = [[number, True] for number in (0x104, 0x105, 0x106, 0x107)]
INIT = {
    Use.ENCRYPT: "C_EncryptInit", Use.DECRYPT: "C_DecryptInit", Use.SIGN: "C_SignInit", Use.VERIFY: "C_VerifyInit",
    Use.DIGEST: "C_DigestInit",
}  # fmt: skip
MASKS = {0x220: 1, 0x255: 5, 0x250: 2, 0x260: 3, 0x270: 4}
"""The mask generation function of each hash."""


@pytest.fixture
def key(call: Call, session: int) -> int:
    return int(call("C_GenerateKey", session, AES, [], [[0x161, 32], *USAGES])[1][0])


@pytest.fixture
def pair(call: Call, session: int) -> list[int]:
    public = [[0x121, 2048], [0x122, b"\1\0\1"], [0x104, True], [0x10A, True]]
    made: list[int] = call("C_GenerateKeyPair", session, 0xA, [], public, [[0x105, True], [0x108, True]])[1]
    return made


@pytest.mark.parametrize(
    ("mechanism", "right", "wrong"),
    [
        (AES, (16, 24, 32), (0, 8, 15, 17, 33, 64, 1 << 40)),
        (GENERIC, (1, 64, 800), (0, 801, 1 << 40)),
        (RSA_PAIR, (2048,), (0, 512, 1024, 2047, 2049, 2176, 4097, 4352, 1 << 40)),
    ],
    ids=["AES", "generic secret", "RSA"],
)
def test_sizes_of_keys(
    call: Call, session: int, mechanism: int, right: tuple[int, ...], wrong: tuple[int, ...]
) -> None:
    for size in right + wrong:
        if mechanism == RSA_PAIR:
            public = [[0x121, size], [0x122, b"\1\0\1"]]
            code = call("C_GenerateKeyPair", session, mechanism, [], public, [])[0]
        else:
            code = call("C_GenerateKey", session, mechanism, [], [[0x161, size]])[0]
        assert (code == OK) == (size in right), (size, hex(code))
        assert code in {OK, VALUE_INVALID, KEY_SIZE_RANGE}
    assert call("C_GenerateKey", session, DES3, [], [])[0] == OK


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_mechanism_has_the_uses_of_its_row(call: Call, session: int, key: int, row: Row) -> None:
    """Every other use is refused, whatever key and parameter there are."""
    for use, function in INIT.items():
        code = call(function, session, row.number, [], 0 if use is Use.DIGEST else key, None)[0]
        assert (code == MECHANISM_INVALID) == (not row.uses & use), function
    template = [[0x0, 4], [0x100, 0x1F]]
    for use, arguments in (
        (Use.GENERATE, ("C_GenerateKey", session, row.number, [], [[0x161, 16]])),
        (Use.GENERATE_KEY_PAIR, ("C_GenerateKeyPair", session, row.number, [], [], [])),
        (Use.WRAP, ("C_WrapKey", session, row.number, [], key, key, 99)),
        (Use.UNWRAP, ("C_UnwrapKey", session, row.number, [], key, bytes(24), template)),
        (Use.DERIVE, ("C_DeriveKey", session, row.number, [], key, [*template, [0x161, 16]])),
    ):
        code = call(*arguments)[0]
        assert row.uses & use or code == MECHANISM_INVALID, (arguments[0], hex(code))


@pytest.mark.parametrize(
    "row", [row for row in ROWS if not row.parts and row.uses & Use.SIGN], ids=lambda row: row.name
)
def test_signatures_in_one_call_only(call: Call, session: int, pair: list[int], row: Row) -> None:
    curve = [[0x180, bytes.fromhex("06082a8648ce3d030107")], [0x10A, True]]
    if row.core.startswith("ECDSA"):
        pair = call("C_GenerateKeyPair", session, 0x1040, [], curve, [[0x108, True]])[1]
    fields: list[Any] = [0x250, 2, 32] if row.form is Form.PSS else []
    for kind, own in (("Sign", pair[1]), ("Verify", pair[0])):
        assert call(f"C_{kind}Init", session, row.number, fields, own, None)[0] == OK
        assert call(f"C_{kind}Update", session, bytes(32), None)[0] == NOT_SUPPORTED
        # An error ends the operation.
        assert call(f"C_{kind}Init", session, row.number, fields, own, None)[0] == OK
        call(f"C_{kind}Update", session, bytes(32), None)


@pytest.mark.parametrize("digest", MASKS, ids=hex)
def test_a_mask_is_of_the_same_hash(call: Call, session: int, pair: list[int], digest: int) -> None:
    for mask in (*MASKS.values(), 0, 99):
        expected = OK if mask == MASKS[digest] else PARAMETER_INVALID
        codes = {
            call("C_EncryptInit", session, 0x9, [digest, mask, 1, b""], pair[0], None)[0],
            call("C_SignInit", session, 0xD, [digest, mask, 20], pair[1], None)[0],
        }
        assert codes == {expected}, (hex(digest), mask)
        for function in ("C_Encrypt", "C_Sign"):
            # The end of what was begun, right or wrong.
            call(function, session, b"x", 999, None)


@pytest.mark.parametrize(
    ("function", "mechanism", "fields", "code"),
    [
        ("C_EncryptInit", 0x1087, [bytes(12), b"", 128], OK),
        ("C_EncryptInit", 0x1087, [bytes(11) + b"\1", b"", 128], PARAMETER_INVALID),
        ("C_EncryptInit", 0x1087, [bytes(16), b"", 128], PARAMETER_INVALID),
        ("C_EncryptInit", 0x80001087, [b"", b"", 128], OK),
        ("C_EncryptInit", 0x80001087, [bytes(12), b"", 128], PARAMETER_INVALID),
        ("C_DecryptInit", 0x80001087, [bytes(12), b"", 128], PARAMETER_INVALID),
        ("C_WrapKey", 0x1087, [b"\1" * 12, b"", 128], PARAMETER_INVALID),
        ("C_WrapKey", 0x80001087, [b"", b"", 128], OK),
        *(("C_WrapKey", number, fields, code)
          for number in (0x80002109, 0x8000210A)
          for fields, code in (([], OK), ([b"\xa6" * 8], OK), ([b"\xa6" * 7], PARAMETER_INVALID),
                               ([bytes(8)], PARAMETER_INVALID), ([b"\xa6" * 9], PARAMETER_INVALID))),
        ("C_WrapKey", 0x8000216F, [], OK),
        ("C_WrapKey", 0x8000216F, [b"\xa6" * 8], PARAMETER_INVALID),
        ("C_EncryptInit", 0x1082, [bytes(15)], PARAMETER_INVALID),
        ("C_EncryptInit", 0x1086, [128, bytes(16)], OK),
    ],
)  # fmt: skip
def test_initial_values(
    call: Call, session: int, key: int, function: str, mechanism: int, fields: list[Any], code: int
) -> None:
    target = call("C_GenerateKey", session, AES, [], [[0x161, 16]])[1][0]
    rest = [key, target, 999] if function == "C_WrapKey" else [key, None]
    assert call(function, session, mechanism, fields, *rest)[0] == code


def test_only_crypto_users_log_in(call: Call) -> None:
    session = call("C_OpenSession", 6)[1][0]
    pin = f"cu1:{PASSWORD}".encode()
    for user_type in (0, 2, 3, -1):
        assert call("C_Login", session, user_type, pin)[0] == USER_TYPE_INVALID
    for wrong in (f"admin:{ADMIN_PASSWORD}".encode(), b"cu1", PASSWORD.encode(), b":" + pin):
        assert call("C_Login", session, 1, wrong)[0] == PIN_INCORRECT
    assert call("C_GenerateKey", session, AES, [], [[0x161, 16]])[0] == 0x101
    assert call("C_Login", session, 1, pin)[0] == OK


def test_what_an_unwrapping_key_says_is_added_and_never_contradicted(call: Call, session: int) -> None:
    fixed = [[0x162, False], [0x108, True]]
    key = call("C_GenerateKey", session, AES, [], [[0x161, 32], *USAGES, [0x40000212, fixed]])[1][0]
    target = call("C_GenerateKey", session, AES, [], [[0x161, 16]])[1][0]
    wrapped = call("C_WrapKey", session, 0x80002109, [], key, target, 99)[1][0]
    for given, code in (([], OK), ([[0x162, False]], OK), ([[0x162, True]], 0xD1), ([[0x108, False]], 0xD1)):
        template = [[0x0, 4], [0x100, 0x1F], *given]
        found, results = call("C_UnwrapKey", session, 0x80002109, [], key, wrapped, template)
        assert found == code, given
        if code == OK:
            assert call("C_GetAttributeValue", session, results[0], [0x162, 0x108])[1][0] == [False, True]


def test_a_key_for_trusted_wrapping_keys_is_wrapped_by_no_other(call: Call, session: int, key: int) -> None:
    target = call("C_GenerateKey", session, AES, [], [[0x161, 16], [0x210, True]])[1][0]
    assert call("C_WrapKey", session, 0x80002109, [], key, target, 99)[0] == 0x69
    unextractable = call("C_GenerateKey", session, AES, [], [[0x161, 16], [0x162, False]])[1][0]
    assert call("C_WrapKey", session, 0x80002109, [], key, unextractable, 99)[0] == 0x6A
