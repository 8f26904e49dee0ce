"""Each operation over each carrier, and the table against the protocol's page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bridge
from bridge.carriers.client import Client
from bridge.protocol.codec import Value
from bridge.protocol.operations import OPERATIONS
from bridge.protocol.repeat import REPEAT
from bridge.pytest_plugin import USER
from hsmcore import errors
from tests.bridge.conftest import FRIEND, PASSWORD, Carrier

_PAGE = (Path(bridge.__file__).parent / "PROTOCOL.md").read_text()
_ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \|", re.MULTILINE)
_AES = {"LABEL": "contract", "SIZE": 256, "ENCRYPT": True, "DECRYPT": True}


def _handle(record: object) -> int:
    assert isinstance(record, dict)
    handle = record["HANDLE"]
    assert isinstance(handle, int)
    return handle


def _pair(client: Client) -> tuple[int, int, bytes]:
    curve = bytes.fromhex("06082a8648ce3d030107")
    public, private = client.call(
        "GENERATE_KEY_PAIR", "EC_KEY_PAIR_GEN", {"EC_PARAMS": curve, "VERIFY": True}, {"SIGN": True}
    )
    assert isinstance(private, dict)
    return _handle(public), _handle(private), private["PUBLIC_KEY_INFO"]


def test_the_table_is_the_protocols() -> None:
    operations, codes = _PAGE.split("## Error codes")
    written = [(int(number), name) for number, name in _ROW.findall(operations)]
    # The one operation without a row in the program's table: its body has no values.
    written.remove((REPEAT, "REPEAT"))
    assert written == [(row.number, row.name) for row in OPERATIONS]
    names = {int(number): name.replace("_", "") for number, name in _ROW.findall(codes)}
    kinds = {
        kind.code: kind.__name__.upper()
        for kind in vars(errors).values()
        if isinstance(kind, type) and "code" in vars(kind)
    }
    assert names.pop(9) == "INTERNAL"
    assert kinds.pop(9) == "HSMERROR"
    assert names == kinds


def test_hello_picks_the_version(carrier: Carrier) -> None:
    with carrier.client() as client:
        version, _, largest = client.call("HELLO", 0, 9, "test")
        assert (version, largest) == (1, 64 * 1024 * 1024)
        with pytest.raises(errors.UnsupportedVersion):
            client.call("HELLO", 2, 9, "test")


def test_status_needs_no_login(carrier: Carrier) -> None:
    with carrier.client() as client:
        (status,) = client.call("STATUS")
    assert isinstance(status, dict)
    assert {"pid", "version", "keys", "sessions", "home"} <= status.keys()


def test_wrong_credentials(carrier: Carrier) -> None:
    with carrier.client() as client:
        for user, password in ((USER, b"wrong-password"), ("nobody1", PASSWORD.encode()), (USER, b"\xff\x00")):
            with pytest.raises(errors.AuthenticationFailed):
                client.call("LOGIN", user, password, "crypto-user")
        assert client.call("LOGIN", USER, PASSWORD.encode(), "crypto-user") == (client.session,)


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if row.needs_session], ids=lambda row: row.name)
def test_everything_else_needs_a_session(carrier: Carrier, operation: object) -> None:
    samples = {bool: True, int: 1, bytes: b"x", str: "x", dict: {}, list: [], type(None): None}
    fields = [samples[field.types[0]] for field in operation.fields]
    with carrier.client() as client:
        for client.session in (0, 5):
            with pytest.raises(errors.Unauthenticated):
                client.call(operation.name, *fields)


def test_a_secret_key_lives(client: Client) -> None:
    (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES)
    handle = _handle(record)
    assert client.call("GET_KEY", handle) == (record,)
    assert client.call("FIND_KEYS", {"LABEL": "contract"}, 0, None) == ([record], None)
    sealed, parameters = client.call("ENCRYPT", handle, "AES_GCM", {"aad": b"seen"}, b"secret")
    assert isinstance(parameters, dict)
    assert client.call("DECRYPT", handle, "AES_GCM", parameters | {"aad": b"seen"}, sealed) == (b"secret",)
    with pytest.raises(errors.TagMismatch):
        client.call("DECRYPT", handle, "AES_GCM", parameters, sealed)
    assert client.call("CLEAR_VALUE", handle) == (None,)
    client.call("SET_ATTRIBUTES", handle, {"LABEL": "renamed"})
    assert client.call("FIND_KEYS", {"LABEL": "contract"}, 0, None) == ([], None)
    assert client.call("DESTROY_KEY", handle) == ()
    with pytest.raises(errors.KeyNotFound):
        client.call("GET_KEY", handle)
    with pytest.raises(errors.KeyNotFound):
        client.call("ENCRYPT", handle, "AES_GCM", None, b"secret")


def test_a_signature_is_verified_by_handle_and_by_public_key(client: Client) -> None:
    public, private, info = _pair(client)
    digest = bytes(range(32))
    (signature,) = client.call("SIGN", private, "ECDSA_SHA256", None, digest)
    for key in (public, info):
        assert client.call("VERIFY", key, "ECDSA_SHA256", None, digest, signature) == (True,)
        assert client.call("VERIFY", key, "ECDSA_SHA256", None, bytes(32), signature) == (False,)
    client.call("DESTROY_KEY", public)
    client.call("DESTROY_KEY", private)


def test_a_key_is_wrapped_and_unwrapped(client: Client) -> None:
    template: dict[str, Value] = {"EXTRACTABLE": True, "ID": b"\1"}
    (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES | {"UNWRAP_TEMPLATE": template})
    assert isinstance(record, dict)
    assert record["UNWRAP_TEMPLATE"] == template
    handle = _handle(record)
    wrapped, parameters = client.call("WRAP_KEY", handle, "AES_GCM", {"aad": b"bound"}, handle)
    assert isinstance(parameters, dict)
    wishes: dict[str, Value] = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES", "LABEL": "back"}
    (back,) = client.call("UNWRAP_KEY", handle, "AES_GCM", parameters | {"aad": b"bound"}, wrapped, wishes)
    assert isinstance(back, dict)
    assert [back[name] for name in ("LABEL", "ID", "SIZE", "LOCAL")] == ["back", b"\1", 256, False]
    for error, parameter, wish in (
        (errors.WrappedKeyInvalid, {}, {}),
        (errors.TemplateInconsistent, {"aad": b"bound"}, {"EXTRACTABLE": False}),
        (errors.MalformedRequest, {"aad": b"bound"}, {"WRAP_TEMPLATE": {"WRAP_TEMPLATE": {}}}),
        (errors.MalformedRequest, {"aad": b"bound"}, {"LABEL": ["back"]}),
    ):
        with pytest.raises(error):
            client.call("UNWRAP_KEY", handle, "AES_GCM", parameters | parameter, wrapped, wishes | wish)
    client.call("DESTROY_KEY", _handle(back))
    client.call("DESTROY_KEY", handle)


def test_a_key_derives_another(client: Client) -> None:
    (base,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES | {"DERIVE": True})
    parameters, wanted = {"counter_bits": 8, "prefix": None, "suffix": b"x"}, {"KEY_TYPE": "AES", "SIZE": 128}
    (derived,) = client.call("DERIVE_KEY", _handle(base), "AES_CMAC_KDF", parameters, wanted)
    assert isinstance(derived, dict)
    assert derived["SIZE"] == 128
    assert client.call("GET_KEY", _handle(derived)) == (derived,)
    with pytest.raises(errors.MechanismParameterInvalid):
        client.call("DERIVE_KEY", _handle(base), "AES_CMAC_KDF", None, wanted)
    with pytest.raises(errors.AttributeInvalid):
        client.call("DERIVE_KEY", _handle(base), "AES_CMAC_KDF", parameters, {"KEY_TYPE": "AES"})


def test_random_bytes(client: Client) -> None:
    first, second = (client.call("RANDOM", 32)[0] for _ in range(2))
    assert isinstance(first, bytes)
    assert len(first) == 32
    assert first != second
    for length in (-1, 65537):
        with pytest.raises(errors.DataLengthInvalid):
            client.call("RANDOM", length)


def test_a_multi_part_operation(client: Client) -> None:
    (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES)
    handle = _handle(record)
    operation, parameters = client.call("BEGIN", "encrypt", handle, "AES_CBC_PAD", None)
    (first,) = client.call("UPDATE", operation, b"x" * 100)
    (last,) = client.call("FINISH", operation, b"y")
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert client.call("DECRYPT", handle, "AES_CBC_PAD", parameters, first + last) == (b"x" * 100 + b"y",)
    with pytest.raises(errors.OperationNotFound):
        client.call("UPDATE", operation, b"z")
    operation, _ = client.call("BEGIN", "encrypt", handle, "AES_CBC_PAD", None)
    assert client.call("ABORT", operation) == ()
    with pytest.raises(errors.OperationNotFound):
        client.call("FINISH", operation, b"")
    client.call("DESTROY_KEY", handle)


def test_keys_are_shared_listed_and_described(carrier: Carrier) -> None:
    with carrier.user() as client, carrier.client() as other:
        other.call("LOGIN", FRIEND, PASSWORD.encode(), "crypto-user")
        (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES | {"SHARED_USERS": [FRIEND]})
        handle = _handle(record)
        (described,), count, more = client.call("LIST_KEYS", handle, {}, 0, 0, False)
        assert isinstance(record, dict)
        check = described["CHECK_VALUE"]
        derived = {"CHECK_VALUE": check, "KEY_LENGTH": 32, "OWNER": USER, "SHARED_USERS": [FRIEND]}
        assert (described, count, more) == (record | derived, 1, None)
        assert client.call("LIST_KEYS", None, {"CHECK_VALUE": check, "LABEL": "contract"}, 0, 1, False) == (
            [described],
            1,
            None,
        )
        assert client.call("LIST_KEYS", None, {"CHECK_VALUE": check}, 0, 1, True) == ([record], 1, None)
        assert client.call("LIST_KEYS", None, {"LABEL": "contract"}, 1, 1, False) == ([], 1, None)
        other.call("ENCRYPT", handle, "AES_GCM", None, b"data")
        assert client.call("UNSHARE_KEY", handle, FRIEND) == ()
        with pytest.raises(errors.KeyNotFound):
            other.call("ENCRYPT", handle, "AES_GCM", None, b"data")
        assert client.call("SHARE_KEY", handle, FRIEND) == ()
        with pytest.raises(errors.SharingInvalid):
            client.call("SHARE_KEY", handle, FRIEND)
        client.call("DESTROY_KEY", handle)
        for wrong in (3, [3], {"a": "b"}, "someone"):
            with pytest.raises(errors.MalformedRequest):
                client.call("GENERATE_KEY", "AES_KEY_GEN", _AES | {"SHARED_USERS": wrong})
        for first, limit in ((-1, 0), (0, -1)):
            with pytest.raises(errors.MalformedRequest):
                client.call("LIST_KEYS", None, {}, first, limit, False)


def test_the_modules_facts_need_no_login(carrier: Carrier) -> None:
    with carrier.client() as client:
        (info,) = client.call("HSM_INFO")
    assert isinstance(info, dict)
    assert all(isinstance(value, str) and value for value in info.values())


def test_a_crypto_user_administers_nobody(client: Client) -> None:
    with pytest.raises(errors.PermissionDenied):
        client.call("USER_CREATE", "cu2", "crypto-user", b"some-password")
    with pytest.raises(errors.PermissionDenied):
        client.call("USER_DELETE", USER, "crypto-user", False)


def test_the_client_has_the_entries_of_a_key_store(carrier: Carrier) -> None:
    with carrier.user() as client:
        (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES | {"LABEL": "in store"})
        handle = _handle(record)
        assert client.call("STORE_IS_KEY", "nothing", None) == (None,)
        assert client.call("STORE_GET_KEY", "nothing", None) == (None,)
        assert client.call("STORE_GET_KEY", "in store", None) == (record,)
        entry, handles = client.call("STORE_SET_KEY", "another", None, handle, [])
        assert entry == {"kind": "key", "chain": [], "created": entry["created"], "key": handle}
        assert client.call("STORE_GET_KEY", "another", entry) == (record,)
        assert client.call("STORE_LIST", {"another": entry}, None) == ([["SECRET_KEY", ["another", "in store"]]], None)
        client.call("STORE_PERSIST", {"another": handles})
        assert client.call("GET_KEY", handle)[0]["TOKEN"] is True
        client.call("DESTROY_KEY", handle)
        with pytest.raises(errors.KeyStoreEntry, match="alias another"):
            client.call("STORE_PERSIST", {"another": handles})


def test_a_key_store_file_takes_no_login(carrier: Carrier) -> None:
    with carrier.client() as client:
        (file,) = client.call("STORE_ENCODE", {}, "store-pass")
        assert client.call("STORE_DECODE", file, "store-pass") == ({}, None)
        with pytest.raises(errors.KeyStorePassword):
            client.call("STORE_DECODE", file, "wrong-pass")
        with pytest.raises(errors.KeyStoreDamaged):
            client.call("STORE_DECODE", b"no key store", "store-pass")
        for name, fields in (("STORE_LIST", ({}, None)), ("STORE_IS_KEY", ("x", None)), ("STORE_PERSIST", ({},))):
            with pytest.raises(errors.Unauthenticated):
                client.call(name, *fields)


_ENTRY: dict[str, Value] = {"kind": "trusted", "chain": [b"x"], "created": 1, "key": None}


@pytest.mark.parametrize(
    "entry",
    [
        1, {}, _ENTRY | {"kind": "other"}, _ENTRY | {"kind": 1}, _ENTRY | {"chain": []}, _ENTRY | {"chain": [1]},
        _ENTRY | {"chain": None}, _ENTRY | {"created": None}, _ENTRY | {"created": True}, _ENTRY | {"key": "1"},
    ],
)  # fmt: skip
def test_an_entry_that_is_none_is_a_malformed_request(client: Client, entry: Value) -> None:
    with pytest.raises(errors.MalformedRequest):
        client.call("STORE_ENCODE", {"alias": entry}, None)
    with pytest.raises(errors.MalformedRequest):
        client.call("STORE_GET_KEY", "alias", entry)


def test_what_is_no_certificate_or_handle_is_refused(client: Client) -> None:
    with pytest.raises(errors.KeyStoreEntry, match="certificate 0 of alias"):
        client.call("STORE_ENCODE", {"alias": _ENTRY}, None)
    for handles in (1, ["1"], None):
        with pytest.raises(errors.MalformedRequest):
            client.call("STORE_PERSIST", {"alias": handles})
    with pytest.raises(errors.MalformedRequest):
        client.call("STORE_SET_KEY", "alias", None, 1, [1])


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
def test_any_size_goes_through(client: Client, size: int) -> None:
    (record,) = client.call("GENERATE_KEY", "AES_KEY_GEN", _AES)
    handle = _handle(record)
    data = bytes(size)
    sealed, parameters = client.call("ENCRYPT", handle, "AES_GCM", None, data)
    assert client.call("DECRYPT", handle, "AES_GCM", parameters, sealed) == (data,)
    client.call("DESTROY_KEY", handle)
