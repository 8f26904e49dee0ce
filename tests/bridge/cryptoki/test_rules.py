"""The attribute rules of AWS CloudHSM for each function, and the codes of calls in a wrong order, without C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.carriers.client import Client
from hsmcore import Hsm
from tests.bridge.conftest import PASSWORD

Call = Callable[..., tuple[int, list[Any]]]

AES_KEY_GEN, RSA_PAIR_GEN, EC_PAIR_GEN, AES_ECB, SHA256 = 0x1080, 0x0, 0x1040, 0x1081, 0x250
P256 = bytes.fromhex("06082a8648ce3d030107")
OK, ATTRIBUTE_READ_ONLY, ATTRIBUTE_TYPE_INVALID, ATTRIBUTE_VALUE_INVALID = 0, 0x10, 0x12, 0x13
ATTRIBUTE_SENSITIVE, TEMPLATE_INCOMPLETE, TEMPLATE_INCONSISTENT = 0x11, 0xD0, 0xD1
VALUE_LEN, LABEL, LOCAL, PRIVATE, SENSITIVE, ENCRYPT, SIGN = 0x161, 0x3, 0x163, 0x2, 0x103, 0x104, 0x108


@pytest.fixture
def call(core: Hsm) -> Iterator[Call]:
    """Calls functions of an application that has logged in; the first argument of most is a session."""
    with Client.local(core) as client:
        (application,) = client.call("CRYPTOKI_OPEN", {})

        def call(function: str, *arguments: object) -> Any:
            return client.call("CRYPTOKI", application, function, list(arguments))

        yield call


@pytest.fixture
def session(call: Call) -> int:
    session = int(call("C_OpenSession", 6)[1][0])
    assert call("C_Login", session, 1, f"cu1:{PASSWORD}".encode())[0] == OK
    return session


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ([], TEMPLATE_INCOMPLETE),
        ([[VALUE_LEN, 32], [LOCAL, True]], ATTRIBUTE_READ_ONLY),
        ([[VALUE_LEN, 32], [0x120, b"modulus"]], TEMPLATE_INCONSISTENT),
        ([[VALUE_LEN, 32], [0x110, b"20260101"]], TEMPLATE_INCONSISTENT),
        ([[VALUE_LEN, 32], [0x12345678, b"x"]], ATTRIBUTE_TYPE_INVALID),
        ([[VALUE_LEN, 32], [PRIVATE, False]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, 32], [SENSITIVE, False]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, 32], [LABEL, b"\xff"]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, 32], [LABEL, b"a"], [LABEL, b"b"]], TEMPLATE_INCONSISTENT),
        ([[VALUE_LEN, b"\x20"]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, 33]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, -1]], ATTRIBUTE_VALUE_INVALID),
        ([[VALUE_LEN, 32], [0x0, 3]], TEMPLATE_INCONSISTENT),
        ([[VALUE_LEN, 32], [0x100, 0x15]], TEMPLATE_INCONSISTENT),
        ([[VALUE_LEN, 32], [0x86, True]], ATTRIBUTE_VALUE_INVALID),
    ],
)
def test_a_wrong_template_makes_no_key(call: Call, session: int, template: list[Any], code: int) -> None:
    assert call("C_GenerateKey", session, AES_KEY_GEN, [], template) == (code, [])
    call("C_FindObjectsInit", session, [])
    assert call("C_FindObjects", session, 10, False) == (OK, [[]])


def test_bits_of_the_modulus_in_the_private_template_are_inconsistent(call: Call, session: int) -> None:
    public = [[0x121, 2048], [0x122, b"\1\0\1"]]
    for attribute in public:
        made = call("C_GenerateKeyPair", session, RSA_PAIR_GEN, [], public, [attribute])
        assert made == (TEMPLATE_INCONSISTENT, [])
    assert call("C_GenerateKeyPair", session, RSA_PAIR_GEN, [], public[:1], []) == (TEMPLATE_INCOMPLETE, [])


def test_usages_are_false_by_default_but_sign_and_verify_of_a_generated_secret_key(call: Call, session: int) -> None:
    usages = [0x104, 0x105, 0x106, 0x107, 0x10C, 0x108, 0x10A]
    key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 32]])[1][0]
    expected = [False, False, False, False, False, True, True]
    assert call("C_GetAttributeValue", session, key, usages) == (OK, [expected, OK])
    public, private = call("C_GenerateKeyPair", session, EC_PAIR_GEN, [], [[0x180, P256]], [])[1]
    assert call("C_GetAttributeValue", session, public, [0x10A])[1] == [[False], OK]
    assert call("C_GetAttributeValue", session, private, [SIGN, 0x10C])[1] == [[False, False], OK]


def test_reading_tells_what_is_sensitive_and_what_the_key_does_not_have(call: Call, session: int) -> None:
    key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 16], [LABEL, b"k"]])[1][0]
    read = call("C_GetAttributeValue", session, key, [LABEL, 0x11, VALUE_LEN])
    assert read == (OK, [[b"k", None, 16], ATTRIBUTE_SENSITIVE])
    assert call("C_GetAttributeValue", session, key, [0x120, LABEL]) == (OK, [[None, b"k"], ATTRIBUTE_TYPE_INVALID])
    assert call("C_GetAttributeValue", session, key, [0x7FFFFFFF])[1] == [[None], ATTRIBUTE_TYPE_INVALID]
    assert call("C_GetAttributeValue", session, key + 1, [LABEL])[0] == 0x82


def test_calls_in_a_wrong_order_get_the_codes_of_the_standard(call: Call, session: int) -> None:
    active, missing = 0x90, 0x91
    key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 16], [ENCRYPT, True]])[1][0]
    assert call("C_Encrypt", session, bytes(16), 99, None)[0] == missing
    assert call("C_FindObjects", session, 1, False)[0] == missing
    assert call("C_FindObjectsFinal", session)[0] == missing
    assert call("C_EncryptInit", session, AES_ECB, [], key, None)[0] == OK
    assert call("C_EncryptInit", session, AES_ECB, [], key, None)[0] == active
    assert call("C_EncryptUpdate", session, bytes(8), 99, None) == (OK, [b"", 0, b""])
    assert call("C_Encrypt", session, bytes(16), 99, None)[0] == active
    assert call("C_EncryptUpdate", session, bytes(8), 99, None)[1][1] == 16
    assert call("C_EncryptFinal", session, 99, None) == (OK, [b"", 0, b""])
    assert call("C_EncryptFinal", session, 99, None)[0] == missing
    assert call("C_FindObjectsInit", session, [])[0] == OK
    assert call("C_FindObjectsInit", session, [])[0] == active


@pytest.mark.parametrize("validates", [True, False])
def test_the_key_is_checked_when_the_operation_begins_unless_that_is_off(core: Hsm, validates: bool) -> None:
    refused = 0x68
    with Client.local(core) as client:
        (application,) = client.call("CRYPTOKI_OPEN", {"disable_validate_key_at_init": not validates})

        def call(function: str, *arguments: object) -> Any:
            return client.call("CRYPTOKI", application, function, list(arguments))

        session = call("C_OpenSession", 6)[1][0]
        call("C_Login", session, 1, f"cu1:{PASSWORD}".encode())
        key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 16]])[1][0]
        assert call("C_EncryptInit", session, AES_ECB, [], key, None)[0] == (refused if validates else OK)
        assert call("C_Encrypt", session, bytes(16), 99, None)[0] == (0x91 if validates else refused)


def test_a_short_buffer_loses_no_output_of_a_part(call: Call, session: int) -> None:
    key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 16], [ENCRYPT, True]])[1][0]
    call("C_EncryptInit", session, AES_ECB, [], key, None)
    whole = call("C_Encrypt", session, bytes(48), 99, None)[1][0]
    call("C_EncryptInit", session, AES_ECB, [], key, None)
    assert call("C_EncryptUpdate", session, bytes(32), 31, None) == (0x150, [None, 32, b""])
    first = call("C_EncryptUpdate", session, bytes(32), 32, None)[1][0]
    second = call("C_EncryptUpdate", session, bytes(16), 32, None)[1][0]
    assert first + second == whole


def test_a_long_part_is_not_processed_for_a_short_buffer(call: Call, session: int) -> None:
    key = call("C_GenerateKey", session, AES_KEY_GEN, [], [[VALUE_LEN, 16], [ENCRYPT, True]])[1][0]
    data = bytes(1 << 20)
    assert call("C_EncryptInit", session, AES_ECB, [], key, None)[0] == OK
    assert call("C_EncryptUpdate", session, data, 100, None) == (0x150, [None, len(data), b""])
    assert call("C_EncryptUpdate", session, data, len(data), None)[1][1] == len(data)
    assert call("C_EncryptFinal", session, 99, None) == (OK, [b"", 0, b""])


def test_sessions_are_limited(call: Call) -> None:
    opened = 0
    while call("C_OpenSession", 6)[0] == OK:
        opened += 1
    assert opened == 1024
    assert call("C_OpenSession", 6)[0] == 0xB1
    assert call("C_CloseAllSessions")[0] == OK
    assert call("C_OpenSession", 6)[0] == OK


def test_login_is_one_for_all_sessions_and_ends_with_the_last(call: Call, session: int) -> None:
    other = call("C_OpenSession", 6)[1][0]
    assert call("C_GetSessionInfo", other)[1] == [3, 6]
    assert call("C_Login", other, 1, f"cu1:{PASSWORD}".encode())[0] == 0x100
    assert call("C_CloseSession", session)[0] == OK
    assert call("C_GetSessionInfo", other)[1][0] == 3
    assert call("C_CloseSession", other)[0] == OK
    again = call("C_OpenSession", 6)[1][0]
    assert call("C_GetSessionInfo", again)[1][0] == 2
    for pin, code in ((b"cu1:wrong-password", 0xA0), (b"cu1", 0xA0), (b"\xff:x", 0xA0), (None, 0x7)):
        assert call("C_Login", again, 1, pin)[0] == code
    assert call("C_Login", again, 0, b"cu1:x")[0] == 0x103
    assert call("C_GenerateRandom", again, 8)[0] == 0x101


def test_sessions_are_read_write(call: Call, session: int) -> None:
    assert call("C_OpenSession", 4)[0] == 0x6
    assert call("C_OpenSession", 2)[0] == 0xB4


def test_a_session_key_ends_with_the_session_that_made_it(call: Call, session: int) -> None:
    other = call("C_OpenSession", 6)[1][0]
    key = call("C_GenerateKey", other, AES_KEY_GEN, [], [[VALUE_LEN, 16], [ENCRYPT, True]])[1][0]
    assert call("C_Encrypt", session, bytes(16), 99, [AES_ECB, [], key])[0] == OK
    call("C_CloseSession", other)
    assert call("C_Encrypt", session, bytes(16), 99, [AES_ECB, [], key])[0] == 0x60


def test_a_digest_needs_no_login(call: Call) -> None:
    session = call("C_OpenSession", 6)[1][0]
    call("C_DigestInit", session, SHA256, [], 0, None)
    call("C_DigestUpdate", session, b"a", None)
    call("C_DigestUpdate", session, b"bc", None)
    digest = call("C_DigestFinal", session, 99, None)[1][0]
    assert digest.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_application_is_a_secret_and_ends(core: Hsm) -> None:
    with Client.local(core) as client:
        for number in (0, 1, 12345678901234):
            with pytest.raises(Exception, match="no such application"):
                client.call("CRYPTOKI", number, "C_OpenSession", [6])
        for _ in range(4):
            client.call("CRYPTOKI_OPEN", {})
        with pytest.raises(Exception, match="at most 4"):
            client.call("CRYPTOKI_OPEN", {})
