"""A session lives as long as a connection that used it, and not longer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from bridge.carriers.client import Client
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from bridge.pytest_plugin import USER
from bridge.server import connections
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm, errors
from hsmcore.sessions.session import Session
from tests.bridge.conftest import PASSWORD, Carrier
from tests.signing import Signer

_SESSION_KEY = {"SIZE": 256, "ENCRYPT": True, "TOKEN": False, "LABEL": "of the session"}


def _sessions(core: Hsm) -> int:
    count: Any = core.status()["sessions"]
    return int(count)


def _wait_for_sessions(core: Hsm, expected: int) -> None:
    """The daemon notices a closed connection a moment later."""
    deadline = time.monotonic() + 10
    while _sessions(core) != expected:
        assert time.monotonic() < deadline, f"{_sessions(core)} sessions, not {expected}"
        time.sleep(0.01)


def test_closing_the_last_connection_ends_the_session(carrier: Carrier, core: Hsm) -> None:
    before = _sessions(core)
    first, second = carrier.user(), carrier.client()
    second.session = first.session
    second.call("FIND_KEYS", {}, 1, None)
    first.close()
    time.sleep(0.05)
    second.call("FIND_KEYS", {}, 1, None)
    assert _sessions(core) == before + 1
    second.close()
    _wait_for_sessions(core, before)
    with carrier.client() as third:
        third.session = second.session
        with pytest.raises(errors.Unauthenticated):
            third.call("FIND_KEYS", {}, 1, None)


def test_the_session_of_a_client_that_reconnects_waits_for_it(carrier: Carrier, core: Hsm) -> None:
    before = _sessions(core)
    first = carrier.user()
    first.call("HELLO", 1, 1, "java")
    first.call("GENERATE_KEY", "AES_KEY_GEN", _SESSION_KEY)
    first.close()
    with carrier.client() as second:
        second.session = first.session
        assert len(_found(second)) == 1
        second.call("LOGOUT")
    assert _sessions(core) == before


def test_it_does_not_wait_for_ever(carrier: Carrier, core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GRACE", 0.1)
    before = _sessions(core)
    clients = [carrier.user() for _ in range(3)]
    for client in clients:
        client.call("HELLO", 1, 1, "java")
        client.close()
    _wait_for_sessions(core, before)
    with carrier.client() as late:
        late.session = clients[0].session
        with pytest.raises(errors.Unauthenticated):
            late.call("FIND_KEYS", {}, 1, None)


def test_logout_ends_it_for_every_connection(carrier: Carrier, core: Hsm) -> None:
    with carrier.user() as first, carrier.client() as second:
        token = second.session = first.session
        second.call("FIND_KEYS", {}, 1, None)
        first.call("LOGOUT")
        assert first.session == 0
        with pytest.raises(errors.Unauthenticated):
            second.call("FIND_KEYS", {}, 1, None)
        first.session = token
        with pytest.raises(errors.Unauthenticated):
            first.call("LOGOUT")


def test_session_keys_end_with_the_session(carrier: Carrier) -> None:
    with carrier.user() as first:
        first.call("GENERATE_KEY", "AES_KEY_GEN", _SESSION_KEY)
        assert len(_found(first)) == 1
        first.call("LOGOUT")
    with carrier.user() as second:
        assert _found(second) == []


def test_one_connection_may_have_several_sessions(carrier: Carrier, core: Hsm) -> None:
    before = _sessions(core)
    with carrier.user() as client:
        one = client.session
        two = carrier.user()
        client.session = two.session
        client.call("FIND_KEYS", {}, 1, None)
        two.close()
        client.call("LOGOUT")
        client.session = one
        client.call("FIND_KEYS", {}, 1, None)
    _wait_for_sessions(core, before)


def _found(client: Client) -> list[object]:
    records = client.found_keys({"LABEL": "of the session"})
    assert isinstance(records, list)
    return records


def test_a_login_with_a_second_factor(carrier: Carrier, core: Hsm, tmp_path: Path) -> None:
    before, signer = _sessions(core), Signer(tmp_path, "key")
    with carrier.user() as client:
        (file,) = client.call("MFA_TOKEN", USER, "crypto-user")
        assert isinstance(file, bytes)
        client.call("MFA_REGISTER", USER, "crypto-user", signer.signed(file), signer.public, None, False)
    with carrier.client() as client:
        with pytest.raises(errors.MfaRequired):
            client.call("LOGIN", USER, PASSWORD.encode(), "crypto-user")
        (file,) = client.call("LOGIN_TOKEN", USER, "crypto-user")
        assert isinstance(file, bytes)
        answer = client.call("LOGIN_MFA", USER, PASSWORD.encode(), "crypto-user", signer.signed(file))
        assert answer == (client.session,)
        assert _sessions(core) == before + 1
        client.call("MFA_DEREGISTER", USER, "crypto-user", None, False)
    _wait_for_sessions(core, before)


def test_the_end_of_a_session_holds_up_nobody(carrier: Carrier, core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the disk."""
    waits, goes_on = threading.Event(), threading.Event()
    logout = type(core.users).logout

    @wraps(logout)
    def slow(users: object, session: Session) -> None:
        waits.set()
        assert goes_on.wait(60)
        logout(core.users, session)

    monkeypatch.setattr(type(core.users), "logout", slow)
    with carrier.user() as client, carrier.user() as leaving, carrier.client() as further:
        further.session = client.session
        with ThreadPoolExecutor(2) as pool:
            try:
                ended = pool.submit(leaving.call, "LOGOUT")
                assert waits.wait(60)
                assert len(pool.submit(further.call, "RANDOM", 5).result(20)[0]) == 5
            finally:
                goes_on.set()
            assert ended.result(60) == ()


def test_a_login_whose_client_is_gone_leaves_no_session(core: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _sessions(core)
    leaving = Dispatcher(core).connect()
    login = type(core.users).login

    @wraps(login)
    def slow(*arguments: Any, **named: Any) -> Session:
        session = login(*arguments, **named)
        leaving.close()
        return session

    monkeypatch.setattr(type(core.users), "login", slow)
    frame = codec.encode_request(NUMBERS["LOGIN"], 0, 1, (USER, PASSWORD.encode(), "crypto-user"))
    assert codec.decode_header(leaving.answer(frame))[0] == errors.Unauthenticated.code
    assert _sessions(core) == before
