"""A change that is sent again because its answer was lost is not made twice."""

from __future__ import annotations

import pytest

from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from bridge.server import changes
from hsmcore import errors
from tests.bridge.conftest import Carrier

_UNIQUE = 1 << 62


def _generate(carrier: Carrier, session: int, request: int, **attributes: object) -> tuple[int, object]:
    """Send a request over a connection of its own, and return the status and the first result."""
    fields = ("AES_KEY_GEN", {"SIZE": 256, "LABEL": "once", **attributes})
    frame = codec.encode_request(NUMBERS["GENERATE_KEY"], session, request, fields)
    channel = carrier.client().channel
    try:
        answer = channel.exchange(frame)
    finally:
        channel.close()
    return codec.decode_header(answer)[0], next(iter(codec.decode_values(answer)))


def test_the_same_id_has_the_same_answer(carrier: Carrier) -> None:
    with carrier.user() as client:
        first = _generate(carrier, client.session, _UNIQUE + 1)
        assert first[0] == 0
        assert _generate(carrier, client.session, _UNIQUE + 1) == first
        assert _generate(carrier, client.session, _UNIQUE + 2) != first
        # An id without the bit may be used by another request, as each connection counts its own.
        assert _generate(carrier, client.session, 3) != _generate(carrier, client.session, 3)
        assert len(client.found_keys({"LABEL": "once"})) == 4
    with carrier.user() as client:
        assert _generate(carrier, client.session, _UNIQUE + 1) != first


def test_a_failed_change_may_be_sent_again(carrier: Carrier) -> None:
    with carrier.user() as client:
        status, _ = _generate(carrier, client.session, _UNIQUE + 5, SIZE=17)
        assert status == errors.KeySizeInvalid.code
        assert _generate(carrier, client.session, _UNIQUE + 5)[0] == 0


def test_only_the_last_answers_are_kept(carrier: Carrier) -> None:
    with carrier.user() as client:
        first = _generate(carrier, client.session, _UNIQUE, TOKEN=False)
        for request in range(1, 34):
            _generate(carrier, client.session, _UNIQUE + request, TOKEN=False)
        assert _generate(carrier, client.session, _UNIQUE, TOKEN=False) != first


def test_an_answer_that_is_too_long_to_keep_is_refused_the_second_time(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_LARGEST", 8)
    with carrier.user() as client:
        assert _generate(carrier, client.session, _UNIQUE + 7)[0] == 0
        assert _generate(carrier, client.session, _UNIQUE + 7)[0] == errors.OperationLimit.code
        assert len(client.found_keys({"LABEL": "once"})) == 1
