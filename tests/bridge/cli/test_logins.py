"""The login of a command from the environment: each command takes CloudHSM's variables and hsmbridge's own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fork_server
from tests.site import ADMIN_PASSWORD, PASSWORD, Site, fresh_site

_OTHER = "second-pass-2"
_USER = {
    "hsm": {"HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD},
    "cloudhsm": {"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": f"cu1:{PASSWORD}"},
}
_ADMIN = {
    "hsm": {"HSM_ADMIN_PASSWORD": ADMIN_PASSWORD},
    "cloudhsm": {"CLOUDHSM_ROLE": "admin", "CLOUDHSM_PIN": f"admin:{ADMIN_PASSWORD}"},
}
_NEW_KEY = ["key", "generate-symmetric", "aes", "--key-length-bytes", "16", "--label"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An HSM with a running daemon and a second crypto user, and an environment without any login."""
    with fresh_site(tmp_path_factory.mktemp("logins") / "hsm") as site:
        assert site.must("key", "list") == "No keys\n"
        site.must("start")
        words = ["user", "create", "--username", "cu2", "--role", "crypto-user", "--password", _OTHER]
        assert cloudhsm(site, *words, **_ADMIN["hsm"]) == {"username": "cu2", "role": "crypto-user"}
        bare = {name: value for name, value in site.environment.items() if not name.startswith("HSM_")}
        yield Site(site.home, bare | {"HSM_HOME": str(site.home)})


def cloudhsm(site: Site, *words: str, **variables: str) -> object:
    """Run a command of ``cloudhsm-cli`` and return its data, which is a message after an error."""
    done = fork_server.run(("cloudhsm-cli", *words), site.environment | variables)
    answer = json.loads(done.stdout)
    assert answer["error_code"] == done.returncode
    return answer["data"]


@pytest.mark.parametrize("scheme", ["hsm", "cloudhsm"])
def test_every_command_takes_both(site: Site, scheme: str, tmp_path: Path) -> None:
    user, admin = _USER[scheme], _ADMIN[scheme]
    made = cloudhsm(site, *_NEW_KEY, scheme, **user)
    assert isinstance(made, dict)
    assert scheme in site.must("key", "list", **user)
    store = ["-storetype", "CloudHSM", "-keystore", str(tmp_path / "s"), "-storepass", "changeit"]
    made_by_java = ["-genseckey", "-alias", f"{scheme}_java", "-keyalg", "AES", "-keysize", "128", *store]
    site.must("keytool", *made_by_java, "-keypass", "changeit", **user)
    listed = cloudhsm(site, "key", "list", "--filter", f"attr.label={scheme}", **user)
    assert isinstance(listed, dict)
    assert listed["total_key_count"] == 1
    assert "Key deleted" in site.must("key", "delete", "--filter", f"attr.label={scheme}", **user)

    assert "no findings" in site.must("audit", "verify", **admin)
    (tmp_path / "password").write_text("a-good-password")
    site.must("user", "create", scheme, "--password-file", str(tmp_path / "password"), **admin)
    gone = cloudhsm(site, "user", "delete", "--username", scheme, "--role", "crypto-user", **admin)
    assert gone == {"username": scheme, "role": "crypto-user"}
    (tmp_path / "password").write_text(PASSWORD)
    said = site.must("user", "change-password", "cu1", "--password-file", str(tmp_path / "password"), **user)
    assert "Changed the password" in said


def test_a_login_of_the_wrong_role_is_refused_by_the_hsm(site: Site) -> None:
    words = ["user", "delete", "--username", "cu2", "--role", "crypto-user"]
    for scheme in ("hsm", "cloudhsm"):
        assert "takes the role admin" in str(cloudhsm(site, *words, **_USER[scheme]))


def test_the_variables_of_cloudhsm_take_precedence_in_their_role(site: Site) -> None:
    other = {"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": f"cu2:{_OTHER}"}
    cloudhsm(site, *_NEW_KEY, "of_cu2", **other)
    for variables, seen in ((other | _USER["hsm"], True), (_ADMIN["cloudhsm"] | _USER["hsm"], False)):
        assert ("of_cu2" in site.must("key", "list", **variables)) == seen
    assert cloudhsm(site, "key", "delete", "--filter", "attr.label=of_cu2", **other, **_ADMIN["hsm"])


@pytest.mark.parametrize(
    ("role", "pin"), [("crypto-user", "cu1"), ("crypto-user", "cu1:"), ("user", f"cu2:{_OTHER}"), ("", f"cu2:{_OTHER}")]
)
def test_no_other_login_replaces_a_wrong_one_of_cloudhsm(site: Site, role: str, pin: str) -> None:
    variables = _USER["hsm"] | {"CLOUDHSM_ROLE": role, "CLOUDHSM_PIN": pin}
    assert "CLOUDHSM_ROLE and CLOUDHSM_PIN are no login" in str(cloudhsm(site, "key", "list", **variables))
    for command in (["key", "list"], ["keytool", "-list", "-storetype", "CloudHSM"]):
        done = site.hsm(*command, **variables)
        assert done.returncode == 1
        assert "CLOUDHSM_ROLE and CLOUDHSM_PIN are no login" in done.stderr
        assert _OTHER not in done.stderr


def test_a_wrong_password_of_a_tool_names_its_variables(site: Site) -> None:
    done = site.hsm("keytool", "-list", "-storetype", "CloudHSM", HSM_USER="cu2", HSM_PASSWORD="wrong-password")
    assert done.returncode == 1
    assert "HSM_USER and HSM_PASSWORD" in done.stderr


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"HSM_USER": "cu2", "HSM_PASSWORD": "wrong-password"}, "HSM_USER and HSM_PASSWORD"),
        ({"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": "cu2:wrong-password"}, "CLOUDHSM_PIN"),
    ],
)
def test_a_refused_login_names_its_user_its_variables_and_the_hsm(
    site: Site, variables: dict[str, str], source: str
) -> None:
    done = site.hsm("key", "list", **variables)
    assert done.returncode == 1
    assert f"the login of crypto-user cu2, from {source}, at the HSM of {site.home}" in done.stderr
    assert "wrong-password" not in done.stderr


def test_without_a_login_a_command_names_the_variables(site: Site) -> None:
    for command, variables in (
        (["key", "list"], ["HSM_USER", "CLOUDHSM_ROLE=crypto-user"]),
        (["user", "delete", "cu2"], ["HSM_ADMIN_PASSWORD", "CLOUDHSM_ROLE=admin"]),
        (["key", "delete", "--filter", "attr.label=x"], ["HSM_USER", "CLOUDHSM_ROLE=crypto-user"]),
    ):
        done = site.hsm(*command)
        assert done.returncode == 1
        assert all(name in done.stderr + done.stdout for name in variables)


def test_a_daemon_inherits_no_login(site: Site) -> None:
    site.must_here("stop")
    site.must("start", **_USER["hsm"], **_ADMIN["cloudhsm"])
    daemon = json.loads(site.must_here("status", "--json"))["pid"]
    environment = Path(f"/proc/{daemon}/environ").read_bytes()
    assert PASSWORD.encode() not in environment
    assert ADMIN_PASSWORD.encode() not in environment


def test_a_handle_is_printed_alike_everywhere(site: Site) -> None:
    made = cloudhsm(site, *_NEW_KEY, "alike", "--attributes", "destroyable=false", **_USER["hsm"])
    assert isinstance(made, dict)
    reference = made["key"]["key-reference"]
    assert reference in site.must("key", "list", **_USER["hsm"])
    (row,) = json.loads(site.must("key", "list", "--label", "alike", "--json", **_USER["hsm"]))
    assert row["HANDLE"] == reference
    assert reference in site.must("audit", "list", **_ADMIN["hsm"])
    wanted = ["--filter", f"key-reference={reference}"]
    assert f"key {reference} is not destroyable" in str(cloudhsm(site, "key", "delete", *wanted, **_USER["hsm"]))
    shared = cloudhsm(site, "key", "unshare", *wanted, "--username", "cu2", "--role", "crypto-user", **_USER["hsm"])
    assert f"key {reference} is not shared" in str(shared)


def test_the_error_of_a_metrics_port_in_use_names_the_port(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in ([], ["--foreground"]):
            done = site.hsm("start", "--metrics-port", str(port), *options)
            assert done.returncode == 1
            assert f"port {port} of 127.0.0.1: Address already in use" in done.stderr
            assert "Traceback" not in done.stderr
