"""The in-process channel without a JVM: a plain buffer in the place of Java's direct one."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator

import pytest

from bridge.carriers.inprocess import Channel, InProcess, exchange
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from bridge.pytest_plugin import USER
from hsmcore import Hsm, errors
from tests.bridge.conftest import PASSWORD


@pytest.fixture
def carrier(core: Hsm) -> Iterator[InProcess]:
    carrier = InProcess(core)
    yield carrier
    carrier.close()


class Java:
    """The operations of a Java thread on its channel."""

    def __init__(self, carrier: InProcess, size: int = 4096) -> None:
        self.buffer = bytearray(size)
        self.channel: Channel = carrier.attach(self.buffer)

    def raw(self, frame: bytes) -> bytes:
        self.buffer[: len(frame)] = frame
        length = exchange(0, 0, self.channel.number)
        if length > len(self.buffer):
            self.buffer = bytearray(length)
            self.channel.grow(self.buffer)
        return bytes(self.buffer[:length])

    def call(self, name: str, session: int, *fields: object) -> tuple[int, list[object]]:
        response = self.raw(codec.encode_request(NUMBERS[name], session, 3, fields))
        status, _, request = codec.decode_header(response)
        assert request == 3
        return status, codec.decode_values(response)


def _login(java: Java) -> int:
    status, (token,) = java.call("LOGIN", 0, USER, PASSWORD.encode(), "crypto-user")
    assert status == 0
    assert isinstance(token, int)
    return token


def test_requests_and_answers_share_the_buffer(carrier: InProcess) -> None:
    java = Java(carrier)
    status, (state,) = java.call("STATUS", 0)
    assert status == 0
    assert isinstance(state, dict)


def test_an_answer_that_does_not_fit_waits_for_a_larger_buffer(carrier: InProcess) -> None:
    java = Java(carrier, 256)
    token = _login(java)
    attributes = {"SIZE": 256, "ENCRYPT": True, "DECRYPT": True, "TOKEN": False}
    _, (record,) = java.call("GENERATE_KEY", token, "AES_KEY_GEN", attributes)
    assert isinstance(record, dict)
    assert len(java.buffer) > 256
    assert java.call("GET_KEY", token, record["HANDLE"]) == (0, [record])


def test_threads_share_sessions(carrier: InProcess) -> None:
    token = _login(Java(carrier))
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(Java(carrier).call("FIND_KEYS", token, {}, 0, None)[0]))
    thread.start()
    thread.join(20)
    assert found == [0]


def test_damaged_requests_are_answered(carrier: InProcess) -> None:
    java = Java(carrier)
    for damaged in (b"\xff\xff\xff\xff", bytes(24), struct.pack(">I", 4097), bytes(range(64))):
        java.buffer[:] = bytes(len(java.buffer))
        assert codec.decode_header(java.raw(damaged))[0] in (
            errors.MalformedRequest.code,
            errors.UnsupportedVersion.code,
        )
    assert java.call("STATUS", 0)[0] == 0


def test_a_closed_carrier_has_no_sessions(core: Hsm) -> None:
    carrier = InProcess(core)
    java = Java(carrier)
    token = _login(java)
    carrier.close()
    assert java.call("FIND_KEYS", token, {}, 0, None)[0] == errors.Unauthenticated.code


def test_a_python_threads_state_is_not_kept(carrier: InProcess) -> None:
    """It is Python's own to delete; releasing the channel must leave the thread as it is."""
    java = Java(carrier)
    java.call("STATUS", 0)
    java.channel.release()
    assert java.call("STATUS", 0)[0] == 0
