"""Quorum tokens of a cluster: any HSM takes what another has made or approved, and each is used once."""

from __future__ import annotations

import pytest

from hsmcore.errors import (
    ApprovalRequired,
    HsmError,
    KeyQuorumFailed,
    QuorumTokenRefused,
    StoreFull,
    TokenUnknown,
    UserExists,
)
from tests.conftest import Tally
from tests.hsmcore.databases import database, row
from tests.signing import Signer

from .conftest import Pair
from .test_races import ROUNDS, at_once

ENGINES = ("postgresql",)
PASSWORD = b"quorum-password-1"


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Signer]:
    folder = tmp_path_factory.mktemp("signers")
    return Signer(folder, "one"), Signer(folder, "two")


@pytest.fixture
def admins(pair: Pair, signers: tuple[Signer, Signer]) -> Pair:
    """A pair whose users are created with the approvals of ``admin`` and ``ad2``."""
    one = pair.hsms[0]
    one("users.create", pair.admins[0], "ad2", "admin", PASSWORD)
    second = one.login("ad2", PASSWORD, "admin")
    for session, signer in ((pair.admins[0], signers[0]), (second, signers[1])):
        file = one("quorum.request", session, "registration")
        one("quorum.register", session, signer.public, signer.signed(file))
    one("quorum.set_value", pair.admins[0], "quorum", 2)
    one("quorum.approve", pair.admins[0], _signed(one("quorum.request", pair.admins[0], "quorum"), signers))
    one("quorum.set_value", pair.admins[0], "user", 2)
    return pair


@pytest.fixture
def key(pair: Pair, signers: tuple[Signer, Signer]) -> int:
    """A key of ``cu1`` whose use and management take the approval of ``cu2``."""
    one = pair.hsms[0]
    file = one("quorum.request", pair.others[0], "registration")
    one("quorum.register", pair.others[0], signers[0].public, signers[0].signed(file))
    made = one("keys.generate", pair.users[0], "AES_KEY_GEN", {"TOKEN": True}).handle
    one("keys.share", pair.users[0], made, "cu2")
    one("keys.set_quorum", pair.users[0], made, 1, 1)
    return int(made)


def _signed(file: bytes, signers: tuple[Signer, Signer]) -> bytes:
    return signers[1].approved(signers[0].approved(file, "admin"), "ad2")


def _for_key(pair: Pair, at: int, key: int, service: str, signer: Signer) -> None:
    """Request a token at one HSM and present its approval at the other."""
    file = pair.hsms[at]("quorum.request", pair.users[at], service, key)
    pair.hsms[1 - at]("quorum.approve", pair.users[1 - at], signer.approved(file, "cu2", "crypto-user"))


def _encrypt(pair: Pair, at: int, key: int) -> object:
    return pair.hsms[at]("crypto.encrypt", pair.users[at], key, "AES_GCM", None, b"text")


def _create(pair: Pair, at: int, name: str) -> object:
    return pair.hsms[at]("users.create", pair.admins[at], name, "crypto-user", PASSWORD)


def test_made_at_one_hsm_approved_at_the_other_used_at_either(admins: Pair, signers: tuple[Signer, Signer]) -> None:
    pair, (one, two) = admins, admins.hsms
    file = one("quorum.request", pair.admins[0], "user")
    with pytest.raises(QuorumTokenRefused):
        two("quorum.request", pair.admins[1], "user")
    assert two("quorum.approve", pair.admins[1], _signed(file, signers)) == (2, 2)
    assert [token.approvals for token in one("quorum.tokens", pair.admins[0])] == [2]
    with pytest.raises(UserExists):
        _create(pair, 0, "cu1")
    _create(pair, 0, "cu3")
    assert two("quorum.tokens", pair.admins[1]) == []
    for at in (0, 1):
        with pytest.raises(ApprovalRequired):
            _create(pair, at, "cu4")
    assert two("audit.verify", pair.admins[1]).findings == []


@pytest.mark.long
def test_for_a_key(pair: Pair, key: int, signers: tuple[Signer, Signer]) -> None:
    """A use that fails leaves the token; a use that succeeds takes it, at one of the HSMs."""
    _for_key(pair, 0, key, "key-usage", signers[0])
    with pytest.raises(HsmError):
        pair.hsms[0]("crypto.encrypt", pair.users[0], key, "AES_CBC", None, b"not a block")
    assert _encrypt(pair, 0, key)
    for at in (0, 1):
        with pytest.raises(KeyQuorumFailed):
            _encrypt(pair, at, key)
    _for_key(pair, 1, key, "key-management", signers[0])
    pair.hsms[1]("keys.set_attributes", pair.users[1], key, {"LABEL": "approved"})
    with pytest.raises(KeyQuorumFailed):
        pair.hsms[0]("keys.set_attributes", pair.users[0], key, {"LABEL": "again"})
    assert pair.hsms[0]("audit.verify", pair.admins[0]).findings == []


@pytest.mark.long
def test_a_token_belongs_to_its_user_and_ends_with_a_deletion(admins: Pair, signers: tuple[Signer, Signer]) -> None:
    pair, (one, two) = admins, admins.hsms
    file = _signed(one("quorum.request", pair.admins[0], "user"), signers)
    other = two.login("ad2", PASSWORD, "admin")
    with pytest.raises(TokenUnknown):
        two("quorum.approve", other, file)
    one("users.logout", pair.admins[0])
    assert two("quorum.approve", pair.admins[1], file) == (2, 2)
    two("quorum.delete_tokens", other, "all")
    with pytest.raises(ApprovalRequired):
        _create(pair, 1, "cu3")


def test_tokens_stay_if_the_deletion_of_their_user_fails(pair: Pair, key: int) -> None:
    one = pair.hsms[0]
    one("quorum.request", pair.users[0], "key-usage", key)
    for at in (0, 1):
        pair.hsms[at]("users.logout", pair.users[at])
    with database(pair.homes[0]) as connection:
        connection.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END'")
        connection.execute("CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse()")
    with pytest.raises(StoreFull):
        one("users.delete", pair.admins[0], "cu1", "crypto-user", True)
    assert [token.username for token in one("quorum.tokens", pair.admins[0])] == ["cu1"]
    with database(pair.homes[0]) as connection:
        connection.execute("DROP TRIGGER refuse ON users")
    assert one("users.delete", pair.admins[0], "cu1", "crypto-user", True) == 1
    for at in (0, 1):
        assert pair.hsms[at]("quorum.tokens", pair.admins[at]) == []


@pytest.mark.long
def test_a_used_token_that_is_put_back_is_not_used_again(admins: Pair, signers: tuple[Signer, Signer]) -> None:
    pair, one = admins, admins.hsms[0]
    one("quorum.approve", pair.admins[0], _signed(one("quorum.request", pair.admins[0], "user"), signers))
    old = row(pair.homes[0], "hsm", "id = 1")
    _create(pair, 0, "cu3")
    with database(pair.homes[0]) as connection:
        connection.execute(
            "UPDATE hsm SET quorum_tokens = ?, quorum_tokens_version = ?",
            (old["quorum_tokens"], old["quorum_tokens_version"]),
        )
    with pytest.raises(ApprovalRequired):
        _create(pair, 1, "cu4")
    texts = [finding.text for finding in pair.hsms[1]("audit.verify", pair.admins[1]).findings]
    assert [text for text in texts if "quorum tokens was put back" in text]


def test_one_token_at_two_hsms_at_the_same_time(
    pair: Pair, key: int, signers: tuple[Signer, Signer], tally: Tally
) -> None:
    for number in range(ROUNDS):
        _for_key(pair, number % 2, key, "key-usage", signers[0])
        outcomes = at_once([lambda at=at: _encrypt(pair, at, key) for at in (0, 1)])  # type: ignore[misc]
        assert sorted(type(one).__name__ for one in outcomes) == ["KeyQuorumFailed", "tuple"], outcomes
        tally("races between two HSMs")["quorum tokens"] += 1


@pytest.mark.long
def test_one_approval_for_two_changes_at_the_same_time(
    admins: Pair, signers: tuple[Signer, Signer], tally: Tally
) -> None:
    pair, one = admins, admins.hsms[0]
    for number in range(ROUNDS):
        one("quorum.approve", pair.admins[0], _signed(one("quorum.request", pair.admins[0], "user"), signers))
        outcomes = at_once(
            [lambda at=at, number=number: _create(pair, at, f"racer{number}_{at}") for at in (0, 1)]  # type: ignore[misc]
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["ApprovalRequired", "NoneType"], outcomes
        tally("races between two HSMs")["quorum tokens"] += 1
