"""Two administrators over the protocol: approvals, and what one does behind the other's back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from hsmcore import Hsm, errors
from tests.bridge.conftest import Carrier, reached
from tests.signing import Signer

PASSWORD = b"two-admins-01"
_PROTECTED = ("USER_CREATE", "new", "crypto-user", PASSWORD)


@pytest.fixture(params=["local", "socket"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Carrier]:
    """The way to an HSM with the admins ``admin`` and ``second`` and the crypto user ``cu1``."""
    with Hsm.initialize(tmp_path / "hsm", admin_password=PASSWORD) as hsm, reached(hsm, request.param) as carrier:
        session = hsm.users.login("admin", PASSWORD, "admin")
        hsm.users.create(session, "second", "admin", PASSWORD)
        hsm.users.create(session, "cu1", "crypto-user", PASSWORD)
        hsm.users.logout(session)
        yield carrier


def _login(carrier: Carrier, name: str, role: str = "admin") -> Client:
    client = carrier.client()
    client.call("LOGIN", name, PASSWORD, role)
    return client


def _bytes(client: Client, operation: str, *fields: str | None) -> bytes:
    (file,) = client.call(operation, *fields)
    assert isinstance(file, bytes)
    return file


def _register(client: Client, signer: Signer) -> None:
    file = _bytes(client, "QUORUM_TOKEN", "registration", None)
    client.call("QUORUM_REGISTER", signer.public, signer.signed(file))


def test_approvals(carrier: Carrier, tmp_path: Path) -> None:
    one, two = Signer(tmp_path, "one"), Signer(tmp_path, "two")
    with _login(carrier, "admin") as admin, _login(carrier, "second") as second:
        _register(admin, one)
        _register(second, two)
        admin.call("QUORUM_SET_VALUE", "quorum", 2)

        def approved(service: str) -> bytes:
            file = _bytes(admin, "QUORUM_TOKEN", service, None)
            return two.approved(one.approved(file, "admin"), "second")

        answer = admin.call("QUORUM_APPROVE", approved("quorum"))
        assert answer == ({"approvals-required": 2, "number-of-approvals": 2},)
        admin.call("QUORUM_SET_VALUE", "user", 2)
        with carrier.client() as nobody:
            assert nobody.call("QUORUM_VALUES") == ({"user": 2, "quorum": 2, "cluster": 1},)
            assert nobody.call("QUORUM_TIMEOUTS") == ({"generated": 600, "approved": 600},)
        with pytest.raises(errors.ApprovalRequired, match=r"^Quorum approval is required for this operation"):
            admin.call(*_PROTECTED)
        file = approved("user")
        with pytest.raises(errors.TokenUnknown):
            second.call("QUORUM_APPROVE", file)
        admin.call("QUORUM_APPROVE", file)
        (tokens,) = second.call("QUORUM_LIST")
        assert isinstance(tokens, list)
        (token,) = tokens
        assert isinstance(token, dict)
        seconds = token.pop("token-timeout-seconds")
        assert isinstance(seconds, int)
        assert 500 < seconds <= 600
        assert token == {
            "username": "admin", "service": "user", "approvals-required": 2, "number-of-approvals": 2,
        }  # fmt: skip
        admin.call(*_PROTECTED)
        with pytest.raises(errors.TokenUnknown):
            admin.call("QUORUM_APPROVE", file)
        file = approved("user")
        admin.call("QUORUM_APPROVE", file)
        admin.close()
        _wait_for_no_tokens(second)
    with _login(carrier, "admin") as admin:
        with pytest.raises(errors.TokenUnknown):
            admin.call("QUORUM_APPROVE", file)
        with pytest.raises(errors.ApprovalRequired):
            admin.call("USER_DELETE", "new", "crypto-user", False)


def _wait_for_no_tokens(client: Client) -> None:
    """The daemon notices a closed connection a moment later."""
    deadline = time.monotonic() + 10
    while client.call("QUORUM_LIST") != ([],):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_user_who_is_logged_in_stays_as_is(carrier: Carrier) -> None:
    with _login(carrier, "admin") as admin, _login(carrier, "second") as second:
        user = _login(carrier, "cu1", "crypto-user")
        for other in (admin, second):
            with pytest.raises(errors.UserBusy):
                other.call("USER_DELETE", "cu1", "crypto-user", False)
            with pytest.raises(errors.UserBusy):
                other.call("USER_CHANGE_PASSWORD", "cu1", "crypto-user", b"another-pass-1", False, False)
            with pytest.raises(errors.UserBusy):
                other.call("USER_DELETE", "admin" if other is second else "second", "admin", False)
        user.call("FIND_KEYS", {}, 0, None)
        user.call("LOGOUT")
        admin.call("USER_DELETE", "cu1", "crypto-user", False)
        with pytest.raises(errors.UserNotFound):
            second.call("USER_DELETE", "cu1", "crypto-user", False)
        with pytest.raises(errors.AuthenticationFailed):
            user.call("LOGIN", "cu1", PASSWORD, "crypto-user")
        user.close()
