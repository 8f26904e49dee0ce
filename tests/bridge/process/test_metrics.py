"""Monitoring of an HSM: metrics, health and the daemon's log."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import stat
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.carriers.client import Client
from bridge.process import logs, metrics
from bridge.protocol import codec, repeat
from bridge.protocol.operations import NUMBERS
from bridge.pytest_plugin import USER, fresh_hsm
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm
from hsmcore.audit.log import AuditLog
from hsmcore.errors import (
    AccountLocked,
    AttributeInvalid,
    AuthenticationFailed,
    KeyNotFound,
    StateError,
    TagMismatch,
    WrappedKeyInvalid,
)
from hsmcore.sessions.usage_counts import TURNS
from tests.bridge.conftest import PASSWORD
from tests.certificates import Authority


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[Hsm]:
    with fresh_hsm(tmp_path / "hsm", PASSWORD) as hsm:
        yield hsm


def _get(port: int | None, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _samples(port: int | None) -> dict[tuple[str, ...], float]:
    status, text = _get(port, "/metrics")
    assert status == 200
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_names_of_cloudhsm_and_our_own(hsm: Hsm) -> None:
    with metrics.served(hsm, 0) as port:
        user = hsm.users.login(USER, PASSWORD.encode())
        hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True})
        key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
        hsm.crypto.begin(user, "encrypt", key, "AES_CBC", None)
        for _ in range(5):
            with pytest.raises(AuthenticationFailed):
                hsm.users.login("cu1", b"wrong-guess-01")
        with pytest.raises(AuthenticationFailed):
            hsm.users.login("cu1", b"wrong-guess-01")
        with pytest.raises(AccountLocked):
            hsm.users.login("cu1", b"wrong-guess-01")
        found = _samples(port)
    expected = {
        ("HsmUnhealthy",): 0, ("HsmKeysSessionOccupied",): 1, ("HsmKeysTokenOccupied",): 1, ("HsmSessionCount",): 1,
        ("HsmUsersMax",): 1024, ("HsmUsersAvailable",): 1022, ("hsmbridge_multipart_operations",): 1,
        ("hsmbridge_keys", "SECRET_KEY", "AES", "token"): 1, ("hsmbridge_sessions", "crypto-user"): 1,
        ("hsmbridge_users", "true", "crypto-user"): 1, ("hsmbridge_users", "false", "admin"): 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["hsmbridge_audit_entries",] > 10
    assert USER not in {word for name in found for word in name}


@pytest.mark.parametrize("count", [1, 5, TURNS + 10])
def test_every_use_is_counted_whichever_way_it_goes(hsm: Hsm, count: int) -> None:
    connection = Dispatcher(hsm).connect()
    user = hsm.users.login(USER, PASSWORD.encode())
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    whole = codec.encode_request(NUMBERS["ENCRYPT"], user.token, 0, (key, "AES_GCM", None, b"text"))
    request = whole
    with metrics.served(hsm, 0) as port:
        for _ in range(count):
            status, _, number = codec.decode_header(connection.answer(request))
            if status:
                status, _, number = codec.decode_header(connection.answer(whole))
            assert status == 0
            if number:
                body = struct.pack(">QI", number, 0) + b"text"
                request = codec.encode_frame(repeat.REPEAT, user.token, 0, body)
        name = ("hsmbridge_operations_total", "AES_GCM", "encrypt")
        assert _samples(port)[name] == count
        timed = _samples(port)["hsmbridge_operation_seconds_count", "AES_GCM", "encrypt"]
        assert timed == 1 + (count - 1) // (TURNS + 1)
        hsm.keys.set_attributes(user, key, {"LABEL": "other"})
        assert _samples(port)[name] == count, "what a forgotten shortcut has counted stays"
        hsm.users.logout(user)
        assert _samples(port)[name] == count


def test_wrapping_and_deriving_are_uses(hsm: Hsm) -> None:
    user = hsm.users.login(USER, PASSWORD.encode())
    key = hsm.keys.generate(user, "AES_KEY_GEN", {"DERIVE": True}).handle
    wrapping, deriving = "AES_KEY_WRAP_NO_PAD", "AES_CMAC_KDF"
    parameters = {"counter_bits": 8, "prefix": b"prefix", "suffix": b"suffix"}
    kind = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}
    for turn in range(3):
        wrapped, _ = hsm.keys.wrap(user, key, wrapping, None, key)
        hsm.keys.unwrap(user, key, wrapping, None, wrapped, kind)
        hsm.keys.derive(user, key, deriving, parameters, {"KEY_TYPE": "AES", "SIZE": 256})
        if turn:
            with pytest.raises(KeyNotFound):
                hsm.keys.wrap(user, key, wrapping, None, 4711)
            with pytest.raises(WrappedKeyInvalid):
                hsm.keys.unwrap(user, key, wrapping, None, bytes(24), kind)
            with pytest.raises(AttributeInvalid):
                hsm.keys.derive(user, key, deriving, parameters, {})
    with metrics.served(hsm, 0) as port:
        found = _samples(port)
    for name, mechanism in (("wrap", wrapping), ("unwrap", wrapping), ("derive", deriving)):
        assert found["hsmbridge_operations_total", mechanism, name] == 3
        assert found["hsmbridge_operation_seconds_count", mechanism, name] == 3
    for error, name in (("KeyNotFound", "wrap"), ("WrappedKeyInvalid", "unwrap"), ("AttributeInvalid", "derive")):
        assert found["hsmbridge_operation_failures_total", error, name] == 2


def test_failures_are_counted_by_kind(hsm: Hsm) -> None:
    user = hsm.users.login(USER, PASSWORD.encode())
    key = hsm.keys.generate(user, "AES_KEY_GEN", {}).handle
    for _ in range(3):
        with pytest.raises(TagMismatch):
            hsm.crypto.decrypt(user, key, "AES_GCM", {"iv": bytes(12)}, bytes(32))
    with metrics.served(hsm, 0) as port:
        assert _samples(port)["hsmbridge_operation_failures_total", "TagMismatch", "decrypt"] == 3


def test_health(hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    with metrics.served(hsm, 0) as port, Client.local(hsm) as client:
        assert _get(port, "/healthz") == (200, "ok\n")
        assert client.call("STATUS")[0]["healthy"] is True
        monkeypatch.setattr(AuditLog, "trouble", "the disk is full")
        assert _get(port, "/healthz") == (503, "the disk is full\n")
        assert client.call("STATUS")[0]["healthy"] is False
        assert _samples(port)["HsmUnhealthy",] == 1
        assert _get(port, "/")[0] == 404


def test_health_waits_for_no_command(hsm: Hsm) -> None:
    with metrics.served(hsm, 0) as port, hsm._core.lock:
        assert _get(port, "/healthz") == (200, "ok\n")


def test_silent_peers_hold_up_nobody_and_are_left(hsm: Hsm) -> None:
    with metrics.served(hsm, 0) as port, contextlib.ExitStack() as stack:
        assert port is not None
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(8)]
        for peer in silent:
            peer.sendall(b"GET /metr")
        assert _get(port, "/healthz") == (200, "ok\n")
        assert silent[0].recv(1) == b""


def test_no_versions_are_told(hsm: Hsm) -> None:
    with metrics.served(hsm, 0) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as told:
        assert told.headers.get_all("Server") == ["hsmbridge"]


def test_a_removed_anchor_is_no_good_health(hsm: Hsm) -> None:
    home = Path(str(hsm.status()["home"]))
    hsm.close()
    (home / "audit.anchor").unlink()
    with Hsm.open(home) as again:
        assert any("anchor" in trouble for trouble in again.statistics().troubles)
    with Hsm.open(home) as later:
        assert later.statistics().troubles == []


def test_only_where_asked_for(hsm: Hsm) -> None:
    with metrics.served(hsm, None) as port:
        assert port is None
    with metrics.served(hsm, 0) as port, pytest.raises(StateError, match=str(port)), metrics.served(hsm, port):
        pass


def test_the_log_is_json_of_mode_0600_and_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 2000)
    path = tmp_path / "hsm.log"
    with logs.logging_to(path, "warn"):
        for number in range(100):
            logging.getLogger("hsmbridge.test").warning("number %d \ud800", number)
            logging.getLogger("hsmbridge.test").info("left out")
    files = sorted(tmp_path.iterdir())
    assert len(files) == logs.KEPT + 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert {line["level"] for line in lines} == {"warning"}
    assert {line["logger"] for line in lines} == {"hsmbridge.test"}
    assert "number 99" in json.loads(path.read_text().splitlines()[-1])["message"]


def test_the_end_of_the_certificate_is_announced(hsm: Hsm) -> None:
    authority = Authority()
    with metrics.served(hsm, 0) as port:
        assert ("hsmbridge_tls_certificate_end_seconds",) not in _samples(port)
        hsm.tls.initialize(authority.sign(hsm.tls.request(["127.0.0.2"]), 86400), authority.certificate)
        facts = hsm.tls.certificate()
        assert facts is not None
        assert _samples(port)["hsmbridge_tls_certificate_end_seconds",] == facts.not_after
        # Nothing to say where nobody connects over TLS.
        assert _get(port, "/healthz") == (200, "ok\n")
        hsm.set_address("127.0.0.2:2223")
        status, said = _get(port, "/healthz")
        assert status == 200
        assert said.startswith("ok\nthe TLS certificate is valid until ")
    with Client.local(hsm) as client:
        (state,) = client.call("STATUS")
        assert isinstance(state, dict)
        assert state["warnings"] == hsm.warnings()
