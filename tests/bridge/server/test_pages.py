"""Lists that are longer than a frame come in pages, each key once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.carriers.client import Client
from bridge.protocol import codec
from bridge.server import pages
from hsmcore import Hsm
from hsmcore.errors import AttributeInvalid, MalformedRequest
from hsmcore.tables.attributes import MAX_BYTES, MAX_LABEL
from tests.bridge.conftest import ADMIN_PASSWORD, FRIEND, PASSWORD, Carrier

LONGEST = {
    "LABEL": "\U0001f512" * MAX_LABEL,
    "ID": bytes(MAX_BYTES),
    "PUBLIC_EXPONENT": b"\x01" * MAX_BYTES,
    "EC_PARAMS": bytes(MAX_BYTES),
    "OBJECT_CLASS": "\U0001f512" * MAX_BYTES,
    "KEY_TYPE": "\U0001f512" * MAX_BYTES,
    "PARAMETER_SET": "\U0001f512" * MAX_BYTES,
}
"""A template with the longest value of each attribute."""
TEMPLATE = {"LABEL": "long", "ID": bytes(MAX_BYTES), "WRAP_TEMPLATE": LONGEST, "UNWRAP_TEMPLATE": LONGEST}


@pytest.fixture(scope="module")
def keys(core: Hsm) -> Iterator[list[int]]:
    """The handles of more keys of another user, shared with the one who lists them, than a frame has room for."""
    owner = core.users.login(FRIEND, PASSWORD.encode())
    key = core.keys.generate(owner, "AES_KEY_GEN", TEMPLATE)
    count = codec.MAX_FRAME // len(codec.encode_values([key.fields()])) + 2
    handles = [key.handle] + [core.keys.generate(owner, "AES_KEY_GEN", TEMPLATE).handle for _ in range(count - 1)]
    for handle in handles:
        core.keys.share(owner, handle, "cu1")
    yield handles
    core.users.logout(owner)


def _listed(client: Client, attributes: dict[str, object], limit: int) -> list[int]:
    found: list[int] = []
    first: object = 0
    while first is not None:
        page, _, first = client.call("LIST_KEYS", None, attributes, first, limit, False)
        assert isinstance(page, list)
        found += [key["HANDLE"] for key in page]
    return found


@pytest.mark.parametrize(
    "carrier", ["tls", *(pytest.param(name, marks=pytest.mark.long) for name in ("local", "socket"))], indirect=True
)
def test_keys_that_fill_more_than_a_frame_are_found_and_listed(carrier: Carrier, keys: list[int]) -> None:
    with carrier.user() as client:
        assert [key["HANDLE"] for key in client.found_keys({"LABEL": "long"})] == keys
        assert _listed(client, {"LABEL": "long"}, 0) == keys
        page, count, following = client.call("LIST_KEYS", None, {"LABEL": "long"}, 0, len(keys), True)
        assert 0 < len(page) == following < count == len(keys)
        assert len(codec.encode_values([page])) < 2 * pages.MAX_BYTES


def test_pages_by_number(client: Client) -> None:
    made = [client.call("GENERATE_KEY", "AES_KEY_GEN", {"ID": b"few"})[0]["HANDLE"] for _ in range(5)]
    for limit in (1, 2, 5, 100):
        assert _listed(client, {"ID": b"few"}, limit) == made
        page, _ = client.call("FIND_KEYS", {"ID": b"few"}, limit, None)
        assert [key["HANDLE"] for key in page] == made[:limit]


@pytest.mark.parametrize("position", [b"", bytes(15), b"\xff" * 16, bytes(17)])
def test_a_position_that_no_answer_had(client: Client, position: bytes) -> None:
    with pytest.raises(MalformedRequest):
        client.call("FIND_KEYS", {}, 0, position)


def test_labels_come_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"{number:02}".ljust(MAX_LABEL, "x") for number in range(20)]
    for label in labels:
        client.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": label})
    monkeypatch.setattr(pages, "MAX_BYTES", 10 * MAX_LABEL)
    entries = {labels[7]: {"kind": "key", "chain": [], "created": 1, "key": None}}
    listed: list[str] = []
    after: object = None
    rounds = 0
    while rounds == 0 or after is not None:
        page, after = client.call("STORE_LIST", entries, after)
        assert page[0][1][0] == labels[7]
        listed += [alias for _, aliases in page for alias in aliases][1:]
        rounds += 1
    assert rounds > 2
    assert [label for label in listed if label != "long"] == [*labels[:7], *labels[8:]]


def test_entries_of_the_audit_log_come_in_pages(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    with carrier.client() as admin:
        admin.call("LOGIN", "admin", ADMIN_PASSWORD, "admin")
        (whole,) = admin.call("AUDIT_LIST", 0, 20)
        for size, limit in ((3 * len(codec.encode_values([whole[0]])), 4), (1, 1)):
            monkeypatch.setattr(pages, "MAX_BYTES", size)
            (page,) = admin.call("AUDIT_LIST", 0, 20)
            assert 0 < len(page) <= limit
            assert page == whole[: len(page)]


@pytest.mark.parametrize("name", ["PUBLIC_EXPONENT", "EC_PARAMS", "ID", "OBJECT_CLASS", "KEY_TYPE", "PARAMETER_SET"])
def test_every_attribute_has_a_longest_value(client: Client, name: str) -> None:
    """Inside a template too, where the HSM does not compare it with the key."""
    value = LONGEST[name] + LONGEST[name][:1]
    with pytest.raises(AttributeInvalid, match="at most 4096"):
        client.call("GENERATE_KEY", "AES_KEY_GEN", {"WRAP_TEMPLATE": {name: value}})
