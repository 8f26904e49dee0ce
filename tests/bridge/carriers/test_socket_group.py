"""A socket for a group: other operating-system users use the HSM from Python, Java and C, and nobody else does."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bridge.carriers.jvm import provider_jar
from bridge.carriers.unix import GroupSocket, UnixListener
from bridge.process.peers import peer_in_group, replaceable
from hsmcore.errors import StateError
from tests.impostor import foreign_server
from tests.native.cryptoki import library
from tests.requirements import missing, tool
from tests.site import ADMIN_PASSWORD, PASSWORD

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another operating-system user")

_DAEMON, _MEMBER, _STRANGER, _HOSTILE, _GROUP = 61001, 61002, 61003, 61004, 62001
"""Users and a group without a name; each user is also the user's only other group."""
_JAVA = ["-J-XX:TieredStopAtLevel=1", "-J-cp", f"-J{provider_jar()}", "-addprovider", "CloudHSM"]
Run = subprocess.CompletedProcess[str]
Client = Callable[["Account", Path], Run]


@dataclass(frozen=True)
class Account:
    """An operating-system user, with a directory for files."""

    user: int
    groups: list[int]
    folder: Path

    def run(self, home: Path, *command: str, **variables: str) -> Run:
        """Run a command as the user, with an HSM or the directory of a socket."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
        own = {
            "HSM_HOME": str(home), "HSM_USER": "cu1", "HSM_PASSWORD": PASSWORD, "HSM_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "HOME": str(self.folder),
        }  # fmt: skip
        ids = f"--reuid={self.user}", f"--regid={self.user}"
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        # A capability that setpriv hands down is lost if Python has given root up before.
        words = command if command[0] == "setpriv" else ("setpriv", *command)
        return subprocess.run(
            [words[0], *ids, groups, *words[1:]], env=kept | own | variables,
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def hsm(self, home: Path, *words: str, **variables: str) -> Run:
        return self.run(home, *_interpreter(), "-m", "bridge", *words, **variables)

    def must(self, home: Path, *words: str, **variables: str) -> str:
        done = self.hsm(home, *words, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _runs(command: Sequence[str], user: int) -> bool:
    try:
        return subprocess.run([*command, "-c", ""], user=user, check=False, timeout=60).returncode == 0
    except OSError:
        return False


@cache
def _interpreter() -> tuple[str, ...]:
    """Return the words that run this Python as another user.

    Where it is in a directory of root, these users may search every directory, and write no more than others.
    """
    plain = (sys.executable,)
    words = ("setpriv", "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search", sys.executable)
    return next(command for command, user in ((plain, _MEMBER), (words, 0)) if _runs(command, user))


def python(account: Account, home: Path) -> Run:
    return account.hsm(home, "key", "list", "--json")


def java(account: Account, home: Path) -> Run:
    """Generate a key pair, and sign its certificate."""
    return account.run(
        home, "keytool", *_JAVA, "-genkeypair", "-alias", f"of-{account.user}", "-keyalg", "EC", "-groupname",
        "secp256r1", "-dname", "CN=a", "-storetype", "CloudHSM", "-keystore", str(account.folder / "certs.store"),
        "-storepass", "changeit", "-providerName", "CloudHSM",
    )  # fmt: skip


def native(account: Account, home: Path) -> Run:
    """Sign with the key pair that ``java`` has made."""
    (account.folder / "data").write_bytes(bytes(32))
    return account.run(
        home, tool("pkcs11-tool"), "--module", str(library()), "--session-rw", "--login", "--pin", f"cu1:{PASSWORD}",
        "--sign", "--mechanism", "ECDSA", "--label", f"of-{account.user}", "--input-file", "data", "--output-file",
        "signature",
    )  # fmt: skip


CLIENTS = pytest.mark.parametrize("client", [python, java, native])


@dataclass(frozen=True)
class Machine:
    """An HSM of one operating-system user, and other users."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "hsm"

    @property
    def shared(self) -> Path:
        """The directory of the socket for the group."""
        return self.folder / "run"

    def account(self, user: int, *groups: int) -> Account:
        folder = self.folder / str(user)
        owned(folder, user)
        return Account(user, [*groups], folder)

    @property
    def daemon(self) -> Account:
        return self.account(_DAEMON, _GROUP)

    @property
    def member(self) -> Account:
        return self.account(_MEMBER, _GROUP)

    @property
    def stranger(self) -> Account:
        return self.account(_STRANGER)


def owned(folder: Path, user: int, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    os.chown(folder, user, user)
    folder.chmod(mode)
    return folder


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        machine = Machine(Path(folder))
        owned(machine.home, _DAEMON, 0o700)
        owned(machine.shared, _DAEMON)
        daemon = machine.daemon
        daemon.must(machine.home, "init")
        words = ("start", "--socket-group", str(_GROUP), "--socket-directory", str(machine.shared))
        daemon.must(machine.home, *words, "--metrics-port", "0")
        try:
            yield machine
        finally:
            daemon.hsm(machine.home, "stop")


def test_the_socket_is_the_groups_and_the_state_nobodys(machine: Machine) -> None:
    found = (machine.shared / "hsm.sock").lstat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (_DAEMON, _GROUP, 0o660)
    assert (machine.home / "hsm.sock").lstat().st_mode & 0o777 == 0o600
    assert machine.home.stat().st_mode & 0o777 == 0o700
    assert machine.member.run(machine.home, "ls", str(machine.home)).returncode != 0


def test_a_member_signs_from_python_java_and_c(machine: Machine) -> None:
    done = java(machine.member, machine.shared)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"of-{_MEMBER}" in python(machine.member, machine.shared).stdout
    done = native(machine.member, machine.shared)
    assert done.returncode == 0, done.stdout + done.stderr
    (machine.member.folder / "message").write_bytes(b"a message")
    done = machine.member.run(
        machine.shared, *_interpreter(), str(Path(sys.executable).with_name("cloudhsm-cli")), "crypto", "sign", "ecdsa",
        "--key-filter", f"attr.label=of-{_MEMBER}", "attr.class=private-key", "--hash-function", "sha256",
        "--data-path", "message",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(done.stdout)["data"]["signature"]) > 64


@CLIENTS
def test_a_user_outside_the_group_is_refused(machine: Machine, client: Client) -> None:
    done = client(machine.stranger, machine.shared)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert re.search("operating-system user .*may not connect to", said), said
    assert "members of its group" in said


def test_the_daemon_refuses_a_user_whom_the_mode_of_the_socket_admits(machine: Machine) -> None:
    path = machine.shared / "hsm.sock"
    path.chmod(0o666)
    try:
        assert python(machine.stranger, machine.shared).returncode == 1
        assert python(machine.account(_STRANGER, *range(70_000, 70_400)), machine.shared).returncode == 1
        assert python(machine.account(_STRANGER, *range(70_000, 70_400), _GROUP), machine.shared).returncode == 0
    finally:
        path.chmod(0o660)
    assert "refused a connection of the operating-system user 61003" in (machine.home / "hsm.log").read_text()


def test_a_primary_group_counts(machine: Machine) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_in_group(ours, os.getegid())
        assert not peer_in_group(ours, _GROUP)


def test_a_member_is_not_the_owner(machine: Machine) -> None:
    """Operations of the owner of the state directory are refused, and so is a signal to the daemon."""
    refused = machine.member.hsm(
        machine.shared, "cluster", "csr", "--name", "hsm.example", "--out", str(machine.member.folder / "csr")
    )
    assert "is for the owner of the state directory" in refused.stderr
    assert machine.member.hsm(machine.shared, "stop").returncode == 1
    assert machine.daemon.hsm(machine.home, "status").returncode == 0


def test_the_audit_log_and_the_metrics_name_the_user(machine: Machine) -> None:
    member, daemon = machine.member, machine.daemon
    assert member.hsm(machine.shared, "key", "list", HSM_PASSWORD="a-wrong-password").returncode == 1
    python(member, machine.shared)
    entries = [json.loads(line) for line in daemon.must(machine.home, "audit", "list", "--json").splitlines()]
    logins = [entry for entry in entries if entry["opcode"] == "CN_LOGIN" and entry["user_name"] == "cu1"]
    told = f"operating-system user {_MEMBER}"
    assert [(entry["response"], entry["detail"]) for entry in logins[-2:]] == [(163, told), (0, told)]
    assert entries[-1]["detail"] == "", "the admin's own login"
    status = json.loads(daemon.must(machine.home, "status", "--json"))
    assert status["group_socket"] == str(machine.shared / "hsm.sock")
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(machine.shared / "hsm.sock"))
        said = urllib.request.urlopen(str(status["metrics"]), timeout=60).read().decode()  # noqa: S310  # the daemon names it
    assert 'hsmbridge_connections{origin="group",os_user="root"} 1.0' in said


@pytest.mark.parametrize("place", ["sticky", "writable", "link", "above"])
@CLIENTS
def test_an_impostor_gets_no_password(machine: Machine, client: Client, place: str) -> None:
    """Each way in which a hostile user can have a socket at the path that the client has."""
    folder = machine.folder / f"{place}-{client.__name__}"
    home = folder / "run"
    if place == "sticky":
        owned(folder, 0, 0o1777)
        owned(home, _HOSTILE)
    elif place == "writable":
        owned(folder, 0)
        owned(home, _DAEMON, 0o777)
    elif place == "above":
        owned(folder, 0)
        owned(folder / "theirs", _STRANGER)
        home = owned(folder / "theirs" / "run", _HOSTILE)
    else:
        owned(folder, 0, 0o1777)
        owned(machine.folder / "theirs", _HOSTILE)
        home.symlink_to(machine.folder / "theirs")
    with foreign_server(home / "hsm.sock", _HOSTILE) as received:
        done = client(machine.member, home)
        assert done.returncode != 0
        assert f"operating-system user {_HOSTILE} serves {home}/hsm.sock" in done.stdout + done.stderr
        received.setblocking(False)
        with pytest.raises(BlockingIOError):
            received.recv(1)
    (home / "hsm.sock").unlink()


def test_java_sends_nothing_where_another_user_may_lead_the_path_elsewhere(machine: Machine) -> None:
    """A link can lead to an impostor when Java connects, and to an own directory when it looks at the owners."""
    folder, own = owned(machine.folder / "leading", 0, 0o1777), owned(machine.folder / "own", _MEMBER, 0o700)
    link = folder / "run"
    link.symlink_to(own)
    os.chown(link, _HOSTILE, _HOSTILE, follow_symlinks=False)
    with foreign_server(own / "hsm.sock", _MEMBER) as received:
        done = java(machine.member, link)
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert f"another user may replace {link}/hsm.sock: {link} belongs to the operating-system user" in said
        received.setblocking(False)
        with pytest.raises(BlockingIOError):
            received.recv(1)


def test_java_works_in_a_user_namespace(machine: Machine) -> None:
    """Root's directories above the socket have the number of unknown users there."""
    member = machine.member
    own = owned(machine.folder / "of-member", _MEMBER, 0o700)
    member.must(own, "init")
    member.must(own, "start")
    try:
        done = member.run(
            own, "unshare", "--user", "--map-current-user", "keytool", *_JAVA, "-genseckey", "-alias", "a", "-keyalg",
            "AES", "-keysize", "128", "-storetype", "CloudHSM", "-keystore", str(member.folder / "a.store"),
            "-storepass", "changeit", "-providerName", "CloudHSM",
        )  # fmt: skip
        if "unshare failed" in done.stderr:
            missing("the system makes no user namespaces")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        member.hsm(own, "stop")


def test_only_a_directory_keeps_others_from_the_next_one(machine: Machine) -> None:
    """Another user can move a file of this user into a directory with the sticky bit."""
    folder = owned(machine.folder / "moved", 0, 0o1777)
    (folder / "run").touch()
    assert replaceable(folder / "run", _HOSTILE, 0) == f"{folder}/run is not a directory"


def test_the_library_takes_a_path_with_more_slashes(machine: Machine) -> None:
    for home in (f"{machine.shared}/", f"{machine.shared.parent}//run"):
        words = (tool("pkcs11-tool"), "--module", str(library()), "--list-slots")
        done = machine.member.run(machine.shared, *words, HSM_HOME=home)
        assert "token label" in done.stdout, done.stdout + done.stderr


def test_a_running_daemon_without_the_socket_is_named(machine: Machine) -> None:
    words = ("start", "--socket-group", str(_GROUP), "--socket-directory")
    assert "running already" in machine.daemon.must(machine.home, *words, str(machine.shared))
    done = machine.daemon.hsm(machine.home, *words, str(machine.folder))
    assert done.returncode == 1
    assert f"has the socket {machine.shared}/hsm.sock for a group; `hsm stop` it first" in done.stderr


@pytest.mark.parametrize("number", [2**32 - 1, 2**64])
def test_a_number_that_no_group_has_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(StateError, match=f"there is no group {number}"):
        GroupSocket.of(str(number), tmp_path)


def test_a_group_or_directory_that_does_not_fit(machine: Machine) -> None:
    home, daemon = owned(machine.folder / "another", _DAEMON, 0o700), machine.daemon

    def refused(account: Account, group: int | str, directory: Path) -> str:
        words = ("--socket-group", str(group), "--socket-directory", str(directory))
        done = account.hsm(home, "start", "--ephemeral", "--foreground", *words)
        assert done.returncode == 1
        assert not (directory / "hsm.sock").exists()
        assert not (home / "hsm.sock").exists()
        return done.stderr

    assert "there is no group no-such-group" in refused(daemon, "no-such-group", home)
    fitting = owned(machine.folder / "fitting", _DAEMON)
    assert f"is not a member of the group {_GROUP}" in refused(machine.account(_DAEMON), _GROUP, fitting)


def test_the_daemon_listens_in_no_directory_that_others_could_have_made(machine: Machine) -> None:
    def refused(directory: Path) -> str:
        with pytest.raises(StateError) as refusal:
            UnixListener.for_group(GroupSocket.of(str(_GROUP), directory))
        assert not (directory / "hsm.sock").exists()
        return str(refusal.value)

    assert "makes its directory" in refused(machine.folder / "missing" / "run")
    writable = owned(machine.folder / "writable", 0, 0o775)
    assert f"other users may write in {writable}" in refused(writable)
    owned(machine.folder / "theirs-above", _HOSTILE)
    theirs = owned(machine.folder / "theirs-above" / "run", 0)
    assert f"belongs to the operating-system user {_HOSTILE}" in refused(theirs)
    (machine.folder / "link").symlink_to(owned(machine.folder / "real", 0))
    assert "symbolic link" in refused(machine.folder / "link")
    with closing(UnixListener.for_group(GroupSocket.of(str(_GROUP), machine.folder / "made"))):
        assert (machine.folder / "made" / "hsm.sock").is_socket()
        with pytest.raises(StateError, match="another daemon serves"):
            UnixListener.for_group(GroupSocket.of(str(_GROUP), machine.folder / "made"))
    assert not (machine.folder / "made" / "hsm.sock").exists()
