"""Frames that no client sends: each gets an error, changes nothing, and what serves them lives on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.carriers.client import Client
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS, OPERATIONS, Operation
from bridge.protocol.repeat import REPEAT
from hsmcore import Hsm, errors
from tests.bridge.conftest import Carrier

_QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
_SAMPLES: dict[type, object] = {
    type(None): None, bool: True, int: 1, bytes: b"x", str: "x", list: [b"x"], dict: {"LABEL": "x"},
}  # fmt: skip
_KNOWN = {*NUMBERS.values(), REPEAT}
_HARMLESS = [row for row in OPERATIONS if row.name not in ("LOGIN", "LOGOUT", "GENERATE_KEY_PAIR")]


@pytest.fixture
def unchanged(core: Hsm, client: Client) -> Iterator[None]:
    """Hold that the test leaves keys and sessions as they were and the connection usable."""
    before = client.call("FIND_KEYS", {}, 0, None), core.status()["keys"]
    yield
    assert (client.call("FIND_KEYS", {}, 0, None), core.status()["keys"]) == before


def _status(response: bytes) -> int:
    return codec.decode_header(response)[0]


def _exchange(client: Client, frame: bytes) -> int:
    """Send bytes over the client's own connection and return the response's status."""
    return _status(client.channel.exchange(frame))


def _frame(operation: int, session: int, body: bytes) -> bytes:
    return codec.encode_frame(operation, session, 77, body)


def _name(row: Operation) -> str:
    return row.name


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("row", OPERATIONS, ids=_name)
def test_bodies_cut_at_each_boundary(client: Client, row: Operation) -> None:
    body = codec.encode_values([_SAMPLES[field.types[-1]] for field in row.fields])
    for end in range(len(body)):
        status = _exchange(client, _frame(row.number, client.session, body[:end]))
        assert status == errors.MalformedRequest.code


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("row", OPERATIONS, ids=_name)
def test_fields_of_the_wrong_type_number_or_order(client: Client, row: Operation) -> None:
    good = [_SAMPLES[field.types[0]] for field in row.fields]
    wrong = [[*good, None]]
    if good:
        wrong.append(good[:-1])
    for at, kind in product(range(len(good)), _SAMPLES):
        if kind not in row.fields[at].types:
            wrong.append([*good[:at], _SAMPLES[kind], *good[at + 1 :]])
    for fields in wrong:
        with pytest.raises(errors.MalformedRequest, match=row.name):
            client.call(row.name, *fields)


@pytest.mark.usefixtures("unchanged")
@given(number=st.integers(0, 65535).filter(lambda number: number not in _KNOWN), body=st.binary(max_size=50))
@_QUICK
def test_unknown_operations(client: Client, number: int, body: bytes) -> None:
    assert _exchange(client, _frame(number, client.session, body)) == errors.UnknownOperation.code


@pytest.mark.usefixtures("unchanged")
@given(row=st.sampled_from(OPERATIONS), body=st.binary(min_size=1, max_size=200))
@_QUICK
def test_random_bodies(client: Client, row: Operation, body: bytes) -> None:
    try:
        fields = codec.decode_values(_frame(0, 0, body))
    except errors.MalformedRequest:
        fields = None
    if fields is None or tuple(map(type, fields)) not in row.signatures():
        assert _exchange(client, _frame(row.number, client.session, body)) == errors.MalformedRequest.code


@pytest.mark.usefixtures("unchanged")
@given(row=st.sampled_from(_HARMLESS), data=st.data())
@_QUICK
def test_nonsense_of_the_right_types(client: Client, row: Operation, data: st.DataObject) -> None:
    """Any fields get a status of the table as their answer, never a defect, and the connection stays open."""
    words = st.one_of(st.text(max_size=8), st.sampled_from(["AES_GCM", "AES_KEY_GEN", "encrypt", "LABEL", "ENCRYPT"]))
    scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=8), words)
    values: dict[type, st.SearchStrategy[object]] = {
        type(None): st.none(), bool: st.booleans(), int: st.integers(-(2**63), 2**63 - 1),
        bytes: st.binary(max_size=40), str: words, list: st.lists(scalars, max_size=3),
        dict: st.dictionaries(words, st.one_of(scalars, st.lists(scalars)), max_size=3),
    }  # fmt: skip
    fields = [data.draw(values[data.draw(st.sampled_from(field.types))]) for field in row.fields]
    status = _exchange(client, _frame(row.number, client.session, codec.encode_values(fields)))
    assert status != errors.HsmError.code, f"{row.name}{fields} is answered as a defect"
    _undo(client, row, status)


def _undo(client: Client, row: Operation, status: int) -> None:
    """A request that happens to be a good one may make a key: it is no part of what the test holds."""
    if status == 0 and row.name in ("GENERATE_KEY", "IMPORT_KEY", "STORE_IMPORT_KEY"):
        records = client.found_keys({})
        assert isinstance(records, list)
        for record in records:
            client.call("DESTROY_KEY", record["HANDLE"])


@pytest.mark.usefixtures("unchanged")
def test_deep_nesting(client: Client) -> None:
    for opening in (b"\x06\x00\x00\x00\x01", b"\x07\x00\x00\x00\x01\x00\x00\x00\x01a"):
        body = opening * 200_000 + b"\x00"
        assert _exchange(client, _frame(NUMBERS["FIND_KEYS"], client.session, body)) == errors.MalformedRequest.code


@pytest.mark.usefixtures("unchanged")
def test_attributes_that_are_lists_or_maps(client: Client) -> None:
    for name, value in (("LABEL", [1]), ("WRAP_TEMPLATE", {"LABEL": [1]}), ("WRAP_TEMPLATE", {"LABEL": {}})):
        with pytest.raises(errors.MalformedRequest):
            client.call("GENERATE_KEY", "AES_KEY_GEN", {name: value, "SIZE": 256})
    for name, value in (("LABEL", {"a": 1}), ("WRAP_TEMPLATE", {"a": 1}), ("WRAP_TEMPLATE", {"TOKEN": 1})):
        with pytest.raises(errors.AttributeInvalid):
            client.call("GENERATE_KEY", "AES_KEY_GEN", {name: value, "SIZE": 256})


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param(struct.pack(">IBBHQQ", 20, 2, 0, 4, 0, 5), 2, id="version 2"),
        pytest.param(struct.pack(">IBBHQQ", 20, 0, 0, 4, 0, 5), 2, id="version 0"),
        pytest.param(struct.pack(">IBBHQQ", 20, 1, 9, 4, 0, 5), 1, id="reserved byte"),
    ],
)
def test_damaged_headers_are_answered(carrier: Carrier, header: bytes, code: int) -> None:
    channel = carrier.channel()
    response = channel.exchange(header)
    assert codec.decode_header(response) == (code, 0, 5)
    channel.close()


def test_a_defect_is_answered_and_logged_without_secrets(
    client: Client, core: Hsm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> object:
        raise ValueError(f"the secret is {4710 + 1}")

    monkeypatch.setattr(type(core.keys), "get", broken)
    with pytest.raises(errors.HsmError, match="internal") as caught:
        client.call("GET_KEY", 12345678)
    assert type(caught.value) is errors.HsmError
    monkeypatch.undo()
    assert client.call("FIND_KEYS", {}, 1, None)
    assert "in broken" in caplog.text
    assert "ValueError" in caplog.text
    assert "4711" not in caplog.text
