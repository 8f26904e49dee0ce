"""The walkthroughs of the user guide that need a session and signatures: activation, MFA, quorum. openssl signs."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import BIN, PASSWORDS, Answer, Site, make_key, sign_token

_SAME = ""
"""The answer to the question for the signed file where it is the unsigned one."""


class Shell:
    """One process of the interactive mode, through pipes, which answers one line at a time."""

    def __init__(self, site: Site) -> None:
        self._process = subprocess.Popen(
            [BIN / "cloudhsm-cli", "interactive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=site.environment(None), cwd=site.work,
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, *lines: str) -> None:
        """Write lines."""
        assert self._process.stdin
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Read one JSON object, which ends with a brace alone on its line."""
        assert self._process.stdout
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        return json.loads("".join(lines))

    def do(self, *lines: str) -> dict[str, Any]:
        """Write lines and read the answer."""
        self.send(*lines)
        return self.answer()

    def data(self, *lines: str) -> Any:
        """As ``do``, for what succeeds."""
        answer = self.do(*lines)
        assert answer["error_code"] == 0, answer
        return answer["data"]

    def log_in(self, name: str, role: str = "admin", password: str = "") -> None:
        """Log in."""
        answers = self.data(f"login --username {name} --role {role}", password or PASSWORDS[name])
        assert answers == {"username": name, "role": role}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout
        self._process.stdout.close()


@pytest.fixture
def shells(site: Site) -> Iterator[Callable[[], Shell]]:
    """Start interactive processes, which end with the test."""
    started: list[Shell] = []

    def start() -> Shell:
        started.append(Shell(site))
        return started[-1]

    yield start
    for shell in started:
        shell.close()


def _sign_file(path: Path, key: Path) -> None:
    """Fill the ``signed`` fields of a token file."""
    file = json.loads(path.read_text())
    for token in file["tokens"]:
        assert token["signed"] == ""
        token["signed"] = sign_token(key, base64.b64decode(token["unsigned"]))
    path.write_text(json.dumps(file))


def _prompted(site: Site, key: Path, shell: Shell, path: str, *lines: str) -> None:
    """Send a command that writes a token, wait for the file, and sign it."""
    file = site.work / path
    file.unlink(missing_ok=True)
    shell.send(*lines)
    while not file.exists():
        assert shell.alive
        time.sleep(0.01)
    _sign_file(file, key)


def test_activation(tmp_path: Path) -> None:
    site = Site(tmp_path / "hsm", tmp_path)
    assert site.run("init", "--unactivated", program="hsm").status == 0
    users = site.run("user", "list").data
    assert isinstance(users, dict)
    assert users["users"][0]["role"] == "unactivated-admin"
    assert "do not match" in site.run("cluster", "activate", typed="one-password\ntwo-password\n").error
    assert site.run("cluster", "activate", typed="one-password\none-password\n").data == "Cluster activation successful"
    assert site.run("cluster", "activate", "--password", "two-password").error == "the cluster is activated already"
    login = ["login", "--username", "admin", "--role", "admin", "--password"]
    assert site.run(*login, "one-password").data == {"username": "admin", "role": "admin"}


def test_mfa(site: Site, shells: Callable[[], Shell]) -> None:
    first, second = make_key(site.work, "first"), make_key(site.work, "second")
    shell = shells()
    shell.log_in("cu2", "crypto-user")
    change = "user change-mfa token-sign --username cu2 --role crypto-user"
    for key in (first, second):
        _prompted(site, key, shell, "mfa.json", f"{change} --token mfa.json", PASSWORDS["cu2"], PASSWORDS["cu2"])
        public = f"{key.stem}-public.pem"
        assert shell.data(_SAME, public) == {"username": "cu2", "role": "crypto-user"}
        change += " --change-quorum"
    shell.data("logout")
    (listed,) = (user for user in shell.data("user list")["users"] if user["username"] == "cu2")
    assert listed["mfa"] == listed["quorum"] == [{"strategy": "token-sign", "status": "enabled"}]

    login = "login --username cu2 --role crypto-user"
    refused = shell.do(login, PASSWORDS["cu2"])
    assert refused["error_code"] == 1
    for key, code in ((first, 1), (second, 0)):
        _prompted(site, key, shell, "login.json", f"{login} mfa-token-sign --token login.json", PASSWORDS["cu2"])
        assert shell.do(str(site.work / "login.json"))["error_code"] == code
    assert shell.data("key list")["total_key_count"] == 0
    off = "user change-mfa token-sign --username cu2 --role crypto-user --deregister"
    assert shell.data(f"{off} --change-password {PASSWORDS['cu2']}") == {"username": "cu2", "role": "crypto-user"}
    shell.data("logout")
    shell.log_in("cu2", "crypto-user")
    assert shell.do(f"{off} --change-password {PASSWORDS['cu2']}")["error_code"] == 1
    both = shell.do("user change-mfa token-sign --username cu2 --role crypto-user --deregister --token mfa.json")
    assert both["data"] == "the argument '--token' cannot be used with '--deregister'"


def _approved(site: Site, path: str, approvers: dict[str, Path], role: str = "admin") -> None:
    """Add the signatures of approvers to a quorum token's file."""
    file = json.loads((site.work / path).read_text())
    assert file["signatures"] == []
    for name, key in approvers.items():
        signature = sign_token(key, base64.b64decode(file["token"]))
        file["signatures"].append({"username": name, "role": role, "signature": signature})
    (site.work / path).write_text(json.dumps(file))


def _register(site: Site, shell: Shell, name: str) -> Path:
    key = make_key(site.work, name)
    generate = f"quorum token-sign generate --service registration --token {name}.json"
    assert shell.data(generate) == {"path": f"{name}.json"}
    _sign_file(site.work / f"{name}.json", key)
    register = f"user change-quorum token-sign register --public-key {name}-public.pem --signed-token {name}.json"
    assert shell.data(register)["username"] == name
    return key


def test_quorum_of_a_key(site: Site, shells: Callable[[], Shell]) -> None:
    owner, friend = shells(), shells()
    owner.log_in("cu1", "crypto-user")
    friend.log_in("cu2", "crypto-user")
    make = (
        "key generate-asymmetric-pair ec --curve secp256r1 --public-label q-public --private-label q-private "
        "--private-attributes sign=true --manage-private-key-quorum-value 2 --use-private-key-quorum-value 2"
    )
    assert owner.do(make)["data"] == "Invalid quorum value provided."
    assert owner.data("key list") == {"matched_keys": [], "total_key_count": 0, "returned_key_count": 0}
    pair = owner.data(f"{make} --share-crypto-users cu2")
    values = [pair[half]["key-info"]["key-quorum-values"] for half in ("public_key", "private_key")]
    assert [list(value.values()) for value in values] == [[0, 0], [2, 2]]

    approvers = {"cu1": _register(site, owner, "cu1"), "cu2": _register(site, friend, "cu2")}
    sign = "crypto sign ecdsa --key-filter attr.label=q-private --hash-function sha256 --data YQ=="
    assert owner.do(sign)["data"] == friend.do(sign)["data"] == "Quorum Failed"
    wanted = "--filter attr.label=q-private"
    for shell, path in ((owner, "o.json"), (friend, "f.json")):
        shell.data(f"quorum token-sign generate --service key-usage --token {path} {wanted}")
        _approved(site, path, approvers, "crypto-user")
        assert shell.data(f"{sign} --approval {path}")["key-reference"] == pair["private_key"]["key-reference"]
        assert shell.do(f"{sign} --approval {path}")["error_code"] == 1, "a token presented twice"
    owner.data(f"quorum token-sign generate --service key-usage --token o.json {wanted}")
    assert owner.data("quorum token-sign list")["tokens"] == [
        {"username": "cu1", "service": "key-usage", "key-reference": pair["private_key"]["key-reference"],
         "minimum-token-count": 1}
    ]  # fmt: skip

    unshare = f"key unshare {wanted} --username cu2 --role crypto-user"
    for words in (f"key set-attribute {wanted} --name id --value 0x01", unshare):
        assert owner.do(words)["data"] == "Quorum Failed"
        owner.data(f"quorum token-sign generate --service key-management --token m.json {wanted}")
        _approved(site, "m.json", approvers, "crypto-user")
        done = owner.do(f"{words} --approval m.json")
        assert done["error_code"] == (1 if words == unshare else 0), "fewer users than approvals would remain"
    for label in ("q-public", "q-private"):
        owner.data(f"key delete --filter attr.label={label}")


@pytest.mark.long
def test_the_first_set_up_as_the_guide_shows_it(tmp_path: Path) -> None:
    """In single commands and without a daemon: nothing is kept from one to the next but files and the HSM."""
    site = Site(tmp_path / "hsm", tmp_path)
    made = {"HSM_ADMIN_PASSWORD": PASSWORDS["admin"], "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORDS["cu1"]}
    assert site.run("init", program="hsm", variables=made).status == 0
    words = ["user", "create", "--username", "admin2", "--role", "admin", "--password", "second-admin-1"]
    site.run(*words, user="admin")
    second = {"CLOUDHSM_ROLE": "admin", "CLOUDHSM_PIN": "admin2:second-admin-1"}
    logins = {"admin": site.environment("admin"), "admin2": second}
    for name, subcommand in (("admin", "register"), ("admin2", "activate")):
        key = make_key(site.work, name)
        words = f"quorum token-sign generate --service registration --token {name}.json".split()
        assert site.run(*words).data == {"path": f"{name}.json"}, "a registration token needs no login"
        _sign_file(site.work / f"{name}.json", key)
        words = f"user change-quorum token-sign {subcommand} --public-key {name}-public.pem".split()
        registered = site.run(*words, "--signed-token", f"{name}.json", variables=logins[name])
        assert registered.data == {"username": name, "role": "admin"}
    values = {"user": 1, "quorum": 1, "cluster": 1}
    for service, value, warned in (("user", 2, False), ("cluster", 3, True), ("quorum", 2, False)):
        words = f"quorum token-sign set-quorum-value --service {service} --value {value}".split()
        done = site.run(*words, user="admin")
        assert done.data == "Set quorum value successful"
        assert ("2 admins have registered a key" in done.errors) == warned
        values[service] = value
        for name in ("list-quorum-values", "get-quorum-values"):
            assert site.run("quorum", "token-sign", name).data == values
    assert _create(site).error == "Quorum approval is required for this operation"


def _create(site: Site, *more: str) -> Answer:
    words = ["user", "create", "--username", "quorate", "--role", "crypto-user", "--password", "quorate-pass"]
    return site.run(*words, *more, user="admin")


def test_quorum(site: Site, shells: Callable[[], Shell]) -> None:
    admin, second = shells(), shells()
    admin.log_in("admin")
    create = "user create --username admin2 --role admin --password second-admin-1"
    assert admin.data(create) == {"username": "admin2", "role": "admin"}
    second.log_in("admin2", password="second-admin-1")
    approvers = {"admin": _register(site, admin, "admin"), "admin2": _register(site, second, "admin2")}
    for service in ("quorum", "user"):
        words = f"quorum token-sign set-quorum-value --service {service} --value 2"
        if service == "user":
            assert admin.do(words)["data"] == "Quorum approval is required for this operation"
            assert admin.data("quorum token-sign generate --service quorum --token q.json") == {"path": "q.json"}
            _approved(site, "q.json", approvers)
            words += " --approval q.json"
        assert admin.data(words) == "Set quorum value successful"
    assert admin.data("quorum token-sign list-quorum-values") == {"user": 2, "quorum": 2, "cluster": 1}

    assert _create(site).error == "Quorum approval is required for this operation"
    admin.data("quorum token-sign generate --service user --token u.json")
    (token,) = second.data("quorum token-sign list")["tokens"]
    assert list(token) == [
        "username", "service", "approvals-required", "number-of-approvals", "token-timeout-seconds", "cluster-coverage",
    ]  # fmt: skip
    assert (token["username"], token["service"], token["approvals-required"]) == ("admin", "user", 2)
    _approved(site, "u.json", approvers)
    create = "user create --username quorate --role crypto-user --password quorate-pass"
    assert second.do(f"{create} --approval u.json")["error_code"] == 1, "another's token"
    assert admin.data(f"{create} --approval u.json") == {"username": "quorate", "role": "crypto-user"}
    delete = "user delete --username quorate --role crypto-user"
    again = admin.do(f"{delete} --approval u.json")
    assert again == {"error_code": 1, "data": "Quorum approval is required for this operation"}, "presented twice"
    assert admin.data("quorum token-sign list") == {"tokens": []}

    admin.data("quorum token-sign generate --service user --token t.json")
    _approved(site, "t.json", approvers)
    assert admin.data(f"{delete} --approval t.json") == {"username": "quorate", "role": "crypto-user"}
    second.data("logout")
    admin.data("quorum token-sign generate --service user --token t.json")
    _approved(site, "t.json", approvers)
    refused = admin.do("user delete --username admin2 --role admin --approval t.json")
    assert refused["error_code"] == 1, "fewer approvers would remain than a value asks for"
    assert admin.data("quorum token-sign delete --scope all") == "Deletion of quorum token(s) successful"
