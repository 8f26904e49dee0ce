"""REPEAT over both carriers: it does what the whole request does, and stops when that may not be done any more."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.carriers.client import Client
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from hsmcore import Hsm, errors
from hsmcore.sessions.usage_counts import TURNS
from tests.bridge.conftest import Carrier

REPEAT = 34
_P256 = bytes.fromhex("06082a8648ce3d030107")
"""The curve's object identifier in DER."""
NOT_REPEATED = errors.NotRepeated.code
_KEYS = {"AES_GCM": "AES_KEY_GEN", "AES_CBC_PAD": "AES_KEY_GEN", "HMAC_SHA256": "GENERIC_SECRET_KEY_GEN"}


def _key(client: Client, mechanism: str) -> int:
    (record,) = client.call("GENERATE_KEY", mechanism, {"SIZE": 256, "TOKEN": False})
    assert isinstance(record, dict)
    handle = record["HANDLE"]
    assert isinstance(handle, int)
    return handle


def _in_full(client: Client, name: str, *fields: object) -> tuple[int, list[object]]:
    """Do an operation with the request id 0; return the number that repeats it, and the results."""
    frame = client.channel.exchange(codec.encode_request(NUMBERS[name], client.session, 0, fields))
    status, session, number = codec.decode_header(frame)
    assert (status, session) == (0, client.session)
    return number, codec.decode_values(frame)


def _repeat(
    client: Client, number: int, first: bytes, rest: bytes, session: int | None = None
) -> tuple[int, bytes, bytes]:
    """Return status, what the HSM chose, and the result."""
    body = struct.pack(">QI", number, len(first)) + first + rest
    token = client.session if session is None else session
    frame = client.channel.exchange(codec.encode_frame(REPEAT, token, 41, body))
    status, answered, request = codec.decode_header(frame)
    assert (answered, request) == (token, 41)
    if status:
        return status, b"", b""
    return 0, frame[25 : 25 + frame[24]], frame[25 + frame[24] :]


def test_gcm(client: Client) -> None:
    key = _key(client, "AES_KEY_GEN")
    number, (_, chosen) = _in_full(client, "ENCRYPT", key, "AES_GCM", None, b"first")
    assert number
    ivs = {bytes(chosen["iv"])} if isinstance(chosen, dict) else set()
    for data in (b"", b"x", os.urandom(100_000)):
        status, iv, sealed = _repeat(client, number, b"", data)
        assert (status, len(iv)) == (0, 12)
        ivs.add(iv)
        back, (plain,) = _in_full(client, "DECRYPT", key, "AES_GCM", {"iv": iv}, sealed)
        assert plain == data
        assert _repeat(client, back, iv, sealed) == (0, b"", data)
        assert _repeat(client, back, iv, sealed[:-1] + bytes([sealed[-1] ^ 1]))[0] == NOT_REPEATED
        assert _repeat(client, back, iv[1:], sealed)[0] == NOT_REPEATED
        assert _repeat(client, back, iv, sealed) == (0, b"", data), "a use that failed takes no number away"
    assert len(ivs) == 4
    # As in the whole request: an IV that the caller chose is not used.
    assert _repeat(client, number, bytes(12), b"data")[1] != bytes(12)


def test_an_iv_of_the_caller(client: Client) -> None:
    key = _key(client, "AES_KEY_GEN")
    number, _ = _in_full(client, "ENCRYPT", key, "AES_CBC_PAD", {"iv": bytes(16)}, b"first")
    for iv in (os.urandom(16), bytes(16)):
        _, (expected, _) = _in_full(client, "ENCRYPT", key, "AES_CBC_PAD", {"iv": iv}, b"a secret")
        assert _repeat(client, number, iv, b"a secret") == (0, iv, expected)
    assert len(_repeat(client, number, b"", b"a secret")[1]) == 16
    assert _repeat(client, number, bytes(15), b"a secret")[0] == NOT_REPEATED


def test_signatures(client: Client) -> None:
    public, private = client.call("GENERATE_KEY_PAIR", "EC_KEY_PAIR_GEN", {"EC_PARAMS": _P256}, {})
    assert isinstance(public, dict)
    assert isinstance(private, dict)
    sign, (signature,) = _in_full(client, "SIGN", private["HANDLE"], "ECDSA_SHA256", None, bytes(32))
    assert isinstance(signature, bytes)
    verify, (holds,) = _in_full(client, "VERIFY", public["HANDLE"], "ECDSA_SHA256", None, bytes(32), signature)
    assert holds is True
    status, _, other = _repeat(client, sign, b"", b"d" * 32)
    assert status == 0
    assert _repeat(client, verify, b"d" * 32, other) == (0, b"", b"\1")
    assert _repeat(client, verify, bytes(32), other) == (0, b"", b"\0")
    assert _repeat(client, verify, b"d" * 32, b"no signature") == (0, b"", b"\0")
    assert _repeat(client, sign, b"", b"no digest")[0] == NOT_REPEATED


@pytest.mark.parametrize("mechanism", _KEYS)
def test_the_key_changes(core: Hsm, client: Client, mechanism: str) -> None:
    key = _key(client, _KEYS[mechanism])
    operation, permission = ("SIGN", "SIGN") if mechanism == "HMAC_SHA256" else ("ENCRYPT", "ENCRYPT")
    number, _ = _in_full(client, operation, key, mechanism, None, b"data")
    assert _repeat(client, number, b"", b"data")[0] == 0
    client.call("SET_ATTRIBUTES", key, {permission: False})
    assert _repeat(client, number, b"", b"data")[0] == NOT_REPEATED
    client.call("SET_ATTRIBUTES", key, {permission: True})
    assert _repeat(client, number, b"", b"data")[0] == NOT_REPEATED
    again, _ = _in_full(client, operation, key, mechanism, None, b"data")
    assert again > number
    client.call("DESTROY_KEY", key)
    assert _repeat(client, again, b"", b"data")[0] == NOT_REPEATED
    session = core.users.session(client.session)
    assert not session.shortcuts
    assert not session.brief, "what is forgotten takes no memory"


def test_a_number_belongs_to_its_session(carrier: Carrier) -> None:
    with carrier.user() as one, carrier.user() as other:
        number, _ = _in_full(one, "ENCRYPT", _key(one, "AES_KEY_GEN"), "AES_GCM", None, b"data")
        assert _repeat(other, number, b"", b"data")[0] == NOT_REPEATED
        assert _repeat(other, number, b"", b"data", 0)[0] == NOT_REPEATED
        token = one.session
        one.call("LOGOUT")
        assert _repeat(one, number, b"", b"data", token)[0] == NOT_REPEATED


def test_unsharing_ends_it(carrier: Carrier) -> None:
    with carrier.user() as owner, carrier.client() as friend:
        friend.call("LOGIN", "friend", b"contract-pass-1", "crypto-user")
        (record,) = owner.call("GENERATE_KEY", "AES_KEY_GEN", {"SIZE": 256, "TOKEN": True})
        assert isinstance(record, dict)
        key = record["HANDLE"]
        owner.call("SHARE_KEY", key, "friend")
        number, _ = _in_full(friend, "ENCRYPT", key, "AES_GCM", None, b"data")
        assert _repeat(friend, number, b"", b"data")[0] == 0
        owner.call("UNSHARE_KEY", key, "friend")
        assert _repeat(friend, number, b"", b"data")[0] == NOT_REPEATED
        owner.call("DESTROY_KEY", key)


def test_only_a_request_without_an_id_gets_a_number(client: Client) -> None:
    key = _key(client, "AES_KEY_GEN")
    frame = client.channel.exchange(
        codec.encode_request(NUMBERS["ENCRYPT"], client.session, 7, (key, "AES_GCM", None, b"data"))
    )
    assert codec.decode_header(frame)[2] == 7
    for parameters in ({"aad": b"seen"}, {}):
        assert _in_full(client, "ENCRYPT", key, "AES_GCM", parameters, b"data")[0] == 0


def test_one_in_4097_is_whole(client: Client) -> None:
    key = _key(client, "GENERIC_SECRET_KEY_GEN")
    number, (expected,) = _in_full(client, "SIGN", key, "HMAC_SHA256", None, b"data")
    assert _in_full(client, "SIGN", key, "HMAC_SHA256", None, b"data")[0] == number, "the number is good for both"
    for _ in range(TURNS):
        assert _repeat(client, number, b"", b"data") == (0, b"", expected)
    assert _repeat(client, number, b"", b"data")[0] == NOT_REPEATED
    assert _in_full(client, "SIGN", key, "HMAC_SHA256", None, b"data")[0] > number


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=40), first=st.sampled_from([0, 1, 2**31, 2**32 - 1]), right=st.booleans())
def test_hostile_bodies(client: Client, body: bytes, first: int, right: bool) -> None:
    number, _ = _in_full(client, "SIGN", _key(client, "GENERIC_SECRET_KEY_GEN"), "HMAC_SHA256", None, b"data")
    damaged = (struct.pack(">QI", number, first) if right else b"") + body
    frame = client.channel.exchange(codec.encode_frame(REPEAT, client.session, 5, damaged))
    status = codec.decode_header(frame)[0]
    assert status in ((0, NOT_REPEATED) if right and first <= len(body) else (NOT_REPEATED,))
    assert _repeat(client, number, b"", b"data")[0] == 0
