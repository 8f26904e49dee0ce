"""The library with two HSMs of a cluster: the other HSM is found, and token keys need both where that is checked."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clusters import HOSTS, cluster_of, served_over_tls, start
from tests.native.cryptoki import library
from tests.native.scripts import configure, run_script
from tests.postgresql import Server
from tests.relay import Relay, relaying
from tests.site import Site


@dataclass(frozen=True)
class Pair:
    """Two HSMs of a cluster, which serve TLS."""

    sites: list[Site]
    ports: list[int]
    folder: Path

    def run(self, text: str, *members: int, **cluster: object) -> subprocess.CompletedProcess[str]:
        """Run a script with some of the HSMs in its configuration. Its words: both ports, the second directory."""
        servers = [(HOSTS[member], self.ports[member]) for member in members]
        authority = self.sites[0].home / "customerCA.crt"
        configuration = configure(self.folder / "pair.cfg", authority, servers, **cluster)
        return run_script(_HEAD + text, self.sites[0], configuration, *map(str, self.ports), str(self.sites[1].home))


_HEAD = f"""
import time
SECOND = sys.argv[5]
def start(member):
    listen = ("--listen", ("{HOSTS[0]}", "{HOSTS[1]}")[member] + ":" + sys.argv[3 + member])
    hsm("start", *listen, home=SECOND if member else None)
def log_in():
    session = ck.open()
    ck.login(session, PIN)
    return session
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    library()
    folder = tmp_path_factory.mktemp("pair")
    with closing(Server("fsync = off")) as server, cluster_of(folder, server.new()) as sites:
        yield Pair(sites, served_over_tls(sites, folder), folder)


@pytest.fixture(autouse=True)
def both(pair: Pair) -> Iterator[None]:
    """Start again each HSM that a test has stopped, and wait until each has caught up with the other."""
    yield
    for site, port in zip(pair.sites, pair.ports, strict=True):
        if site.hsm("status").returncode != 0:
            start(site, port)
        until = time.monotonic() + 60
        while site.hsm("key", "list").returncode != 0 and time.monotonic() < until:
            time.sleep(0.1)


def test_one_configured_server_leads_to_the_others(pair: Pair) -> None:
    done = pair.run(
        """
with ck.started():
    session = log_in()
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (1, True), (3, b"known to both")])
    expected = ck.run("Encrypt", session, 0x1081, key, bytes(16))
    for member in (0, 1):
        hsm("stop", home=SECOND if member else None)
        print(hex(ck.begin("Encrypt", session, 0x1082, key)), slots())
        session = log_in()
        key, = ck.find(session, [(3, b"known to both")])
        print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == expected)
        start(member)
""",
        0,
    )
    # 0x30 where the end of the old connection was seen in the middle of the request.
    assert done.stdout.replace("0x30", "0xb3").splitlines() == ["0xb3 1", "True"] * 2, done.stdout + done.stderr


@pytest.mark.long
def test_a_stopped_hsm_is_left(pair: Pair) -> None:
    done = pair.run(
        """
import json, signal
os.environ["HSM_TIMEOUT"] = "10"
said = subprocess.run([sys.executable, "-m", "bridge", "status", "--json"], capture_output=True,
                      env=os.environ | {"HSM_HOME": sys.argv[2]})
pid = json.loads(said.stdout)["pid"]
with ck.started():
    session = log_in()
    os.kill(pid, signal.SIGSTOP)
    while open(f"/proc/{pid}/stat").read().rpartition(") ")[2][0] != "T":
        time.sleep(0.01)
    try:
        # The login's HSM does not answer; it is asked once more, on a connection that it does not make.
        print(hex(ck.call("C_GetSessionInfo", session, (c_ubyte * 64)())))
        log_in()
        print(slots())
    finally:
        os.kill(pid, signal.SIGCONT)
""",
        0,
    )
    assert done.stdout.replace("0x30", "0xb3").split() == ["0xb3", "1"], done.stdout + done.stderr


_FINDS = """
def use(session):
    key, = ck.find(session, [(3, b"known to both")])
    return key, ck.run("Encrypt", session, 0x1081, key, bytes(16))
"""


def test_an_hsm_without_contact_to_its_cluster_is_left(tmp_path: Path) -> None:
    """By a program that is logged in there, and by one that begins."""
    library()
    cut = tmp_path / "cut"
    with closing(Server("fsync = off")) as server, relaying("127.0.0.1", ("127.0.0.1", server.port)) as relay:
        url = server.new()
        through_relay = url.replace(f":{server.port}/", f":{relay.port}/")
        assert through_relay != url
        with cluster_of(tmp_path, url, of_first=through_relay) as sites:
            pair = Pair(sites, served_over_tls(sites, tmp_path), tmp_path)
            watching = threading.Thread(target=_cut, args=(relay, cut))
            watching.start()
            done = pair.run(
                _FINDS
                + f"""
with ck.started():
    session = log_in()
    ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (1, True), (3, b"known to both")])
    key, expected = use(session)
    open({str(cut)!r}, "w").close()
    until = time.monotonic() + 60
    while (code := ck.begin("Encrypt", session, 0x1081, key)) == 0 and time.monotonic() < until:
        ck.call("C_Encrypt", session, bytes(16), 16, (c_ubyte * 64)(), byref(c_ulong(64)))
        time.sleep(0.1)
    print(hex(code), use(log_in())[1] == expected)
""",
                0, 1,
            )  # fmt: skip
            watching.join(60)
            begun = pair.run(_FINDS + "with ck.started():\n    print(len(use(log_in())[1]))\n", 0, 1)
            alone = pair.run(_FINDS + "with ck.started():\n    use(log_in())\n", 0)
            relay.hole = False
    assert done.stdout == "0xb3 True\n", done.stdout + done.stderr
    assert begun.stdout == "16\n", begun.stdout + begun.stderr
    assert "this HSM has no contact with its cluster" in alone.stderr


def _cut(relay: Relay, file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    relay.hole = True


_USES = """
def codes(session, key, pair):
    wrapped = bytes(24)
    handle, length, out = c_ulong(), c_ulong(64), (c_ubyte * 64)()
    token, derived = template([(1, True), (0x161, 16)]), template([(0, 4), (0x100, 31), (0x161, 16)])
    imported = template([(0, 4), (0x100, 31), (1, True), (0x11, bytes(16))])
    ec, one = template([(1, True), (0x180, P256)]), template([(1, True)])
    wrap, sign, kdf = Mechanism(0x80002109), Mechanism(0x1041), with_parameter(0x80000001, bytes(24))
    ecb, aes, ec_pair = Mechanism(0x1081), Mechanism(0x1080), Mechanism(0x1040)
    return {
        ck.call("C_GenerateKey", session, byref(aes), token, 2, byref(handle)),
        ck.call("C_GenerateKeyPair", session, byref(ec_pair), ec, 2, one, 1, byref(handle), byref(handle)),
        ck.call("C_CreateObject", session, imported, 4, byref(handle)),
        ck.call("C_EncryptInit", session, byref(ecb), key),
        ck.call("C_DecryptInit", session, byref(ecb), key),
        ck.call("C_SignInit", session, byref(sign), pair[1]),
        ck.call("C_VerifyInit", session, byref(sign), pair[0]),
        ck.call("C_WrapKey", session, byref(wrap), key, key, out, byref(length)),
        ck.call("C_UnwrapKey", session, byref(wrap), key, wrapped, 24, derived, 2, byref(handle)),
        ck.call("C_DeriveKey", session, byref(kdf), key, derived, 3, byref(handle)),
    }
"""


def test_token_keys_need_two_hsms(pair: Pair) -> None:
    """A key that was used before is refused too, although the library begins such operations without a request."""
    done = pair.run(
        _USES
        + """
from tests.native.cryptoki import Mechanism, template, with_parameter
with ck.started():
    session = log_in()
    token = (1, True)
    key = ck.generate(session, 0x1080, [(0x161, 32), *((one, True) for one in (1, 0x104, 0x105, 0x106, 0x107))])
    pair = ck.generate_pair(session, 0x1040, [token, (0x180, P256), (0x10A, True)], [token, (0x108, True)])
    for _ in range(3):
        assert len(ck.run("Encrypt", session, 0x1081, key, bytes(16))) == 16
    hsm("stop", home=SECOND)
    until = time.monotonic() + 60
    while ck.call("C_EncryptInit", session, byref(Mechanism(0x1081)), key) == 0 and time.monotonic() < until:
        out, length = (c_ubyte * 64)(), c_ulong(64)
        if ck.call("C_Encrypt", session, bytes(16), 16, out, byref(length)) == 6:
            break
    print(codes(session, key, pair))
    of_session = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
    print(len(ck.run("Encrypt", session, 0x1081, of_session, bytes(16))), len(ck.find(session, [(0, 4), token])) > 0)
    start(1)
    while ck.begin("Encrypt", session, 0x1081, key) == 6 and time.monotonic() < until:
        time.sleep(0.1)
    print(len(ck.once("Encrypt", session, bytes(16))))
""",
        0, 1, options={},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["{6}", "16 True", "16"], done.stdout + done.stderr
    assert "does not meet the availability requirements - The key must be available on at least 2 HSMs" in done.stderr
