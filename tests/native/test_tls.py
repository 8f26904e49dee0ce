"""The library and the engine over TLS: servers that are refused, restarts, several servers, garbage from a server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority, answering, stand_in
from tests.conftest import repeated
from tests.native.cryptoki import library
from tests.native.scripts import configure, environment, run_script
from tests.requirements import missing, tool
from tests.site import PASSWORD, Site, fresh_site

HOST, SECOND = "127.0.0.3", "127.0.0.4"
_ENGINE = Path(__file__).parents[2] / "bridge" / "libcloudhsm_openssl_engine.so"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as found:
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class TlsDaemon:
    """A daemon that serves TLS, and programs whose environment names no directory of an HSM."""

    site: Site
    folder: Path
    port: int
    other_port: int
    """A port of 127.0.0.1, which the certificate does not name."""

    @property
    def authority(self) -> Path:
        return self.site.home / "customerCA.crt"

    def start(self) -> None:
        self.site.must("start", "--listen", f"{HOST}:{self.port}", "--listen", f"127.0.0.1:{self.other_port}")

    def configuration(self, *servers: tuple[str, int], authority: Path | None = None, **cluster: object) -> Path:
        """Write a configuration file; without servers, with the daemon as the only one."""
        path = self.folder / "cloudhsm-pkcs11.cfg"
        return configure(path, authority or self.authority, servers or [(HOST, self.port)], **cluster)

    def run(self, text: str, configuration: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return run_script(text, self.site, configuration, *words)

    def must(self, text: str, configuration: Path, *words: str) -> str:
        done = self.run(text, configuration, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, configuration: Path) -> str:
        """Return why the library does not use the server."""
        done = self.run('ck.must("C_Initialize", None)\nprint(slots(), slots())', configuration)
        assert done.stdout == "0 0\n", done.stdout + done.stderr
        assert done.stderr.count("cloudhsm-pkcs11") == 1, "a reason is told once"
        return done.stderr


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDaemon]:
    library()
    folder = tmp_path_factory.mktemp("remote")
    with fresh_site(tmp_path_factory.mktemp("hsm") / "one") as site:
        names = ("--name", HOST, "--name", SECOND, "--name", "localhost")
        site.must_here("cluster", "initialize", "--new-ca", str(folder / "ca"), *names)
        shutil.copytree(site.home, site.home.with_name("two"))
        remote = TlsDaemon(site, folder, _free_port(HOST), _free_port("127.0.0.1"))
        remote.start()
        yield remote


_USES = """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    public, private = ck.generate_pair(session, 0x1040, [(0x180, P256), (0x10A, True)], [(0x108, True)])
    for number in range(5):
        data = b"x" * 10 ** number
        signature = ck.run("Sign", session, 0x1044, private, data)
        print(ck.verify(session, 0x1044, public, data, signature), end=" ")
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (0x105, True)])
    data = bytes(range(256)) * 4096
    ck.begin("Encrypt", session, 0x1081, key)
    sealed = ck.output("C_Encrypt", session, data, len(data), room=len(data))
    ck.begin("Decrypt", session, 0x1081, key)
    print(ck.output("C_Decrypt", session, sealed, len(sealed), room=len(data)) == data)
"""


def test_keys_are_made_and_used_over_tls(remote: TlsDaemon) -> None:
    assert remote.must(_USES, remote.configuration()) == "0 0 0 0 0 True\n"
    # A name instead of an address, and two connections at once.
    threads = """
import threading
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
    def work():
        own = ck.open()
        for _ in range(20):
            results.append(ck.run("Encrypt", own, 0x1081, key, bytes(64)))
    results = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    print(len(results), len(set(results)))
"""
    assert remote.must(threads, remote.configuration(("localhost", remote.other_port))) == "80 1\n"


def test_one_hsm_is_too_few_for_token_keys_unless_the_check_is_off(remote: TlsDaemon) -> None:
    done = remote.run(
        """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True)])
    print(len(ck.run("Encrypt", session, 0x1081, key, bytes(16))))
    ck.generate(session, 0x1080, [(0x161, 32), (1, True)])
""",
        remote.configuration(options={}),
    )
    assert done.stdout == "16\n"
    assert "C_GenerateKey returned 0x6" in done.stderr
    assert "Key of this request does not meet the availability requirements" in done.stderr


def test_each_cluster_is_a_slot_with_an_authority_and_a_login_of_its_own(remote: TlsDaemon, tmp_path: Path) -> None:
    file = tmp_path / "pkcs11.cfg"

    def configure(*words: str) -> None:
        program = "from bridge.cli.configure import pkcs11; pkcs11()"
        subprocess.run([sys.executable, "-c", program, words[0], "--config", file, *words[1:]], check=True, timeout=60)

    with fresh_site(tmp_path / "hsm") as other:
        other.must("cluster", "initialize", "--new-ca", str(tmp_path / "ca"), "--name", "127.0.0.1")
        other.must("start", "--listen", "127.0.0.1:0")
        place = json.loads(other.must("status", "--json"))["listen"]
        for name, address, site in (("one", f"{HOST}:{remote.port}", remote.site), ("two", place, other)):
            authority = str(site.home / "customerCA.crt")
            configure("add-cluster", "--cluster-id", name, "-a", address, "--hsm-ca-cert", authority)
        text = """
with ck.started():
    print(slots(), end=" ")
    sessions = [ck.open(slot=slot) for slot in range(slots())]
    for session in sessions:
        ck.login(session, PIN)
    ck.generate(sessions[-1], 0x1080, [(0x161, 32), (3, b"of the last slot")])
    print([len(ck.find(session, [(3, b"of the last slot")])) for session in sessions])
"""
        assert remote.must(text, file) == "2 [0, 1]\n"
        configure("remove-cluster", "--cluster-id", "one")
        assert remote.must(text, file) == "1 [1]\n"


def test_refusals_name_the_reason(remote: TlsDaemon) -> None:
    authority = Authority("another")
    other = remote.folder / "other.crt"
    other.write_bytes(authority.certificate)
    said = remote.refused(remote.configuration(authority=other))
    assert f"the HSM at {HOST}:{remote.port} is refused: no authority in {other} has signed its certificate" in said
    said = remote.refused(remote.configuration(("127.0.0.1", remote.other_port)))
    assert "is not for 127.0.0.1" in said
    assert "Connection refused" in remote.refused(remote.configuration((HOST, _free_port(HOST))))
    expired = authority.issue(remote.folder, "expired", "127.0.0.1", seconds=-60)
    with stand_in(expired) as port:
        said = remote.refused(remote.configuration(("127.0.0.1", port), authority=other))
    assert "its certificate has expired" in said
    valid = authority.issue(remote.folder, "valid", "127.0.0.1")
    with stand_in(valid, ssl.TLSVersion.TLSv1_2) as port:
        said = remote.refused(remote.configuration(("127.0.0.1", port), authority=other))
    assert "protocol version" in said
    assert "no address is known" in remote.refused(remote.configuration(("no-such-host.invalid", 2223)))


def test_a_certificate_without_names_is_an_hsms_or_refused(remote: TlsDaemon) -> None:
    authority = Authority("nameless")
    file = remote.folder / "nameless-ca.crt"
    file.write_bytes(authority.certificate)
    for subject, accepted in (("HSM:0123", True), ("somebody", False)):
        with stand_in(authority.issue(remote.folder, subject)) as port:
            done = remote.run(
                'ck.must("C_Initialize", None)\nprint(slots())',
                remote.configuration(("127.0.0.1", port), authority=file),
            )
        # The server ends after the handshake, so that no slot has a token; only the refusal is told.
        assert done.stdout == "0\n"
        assert ("is not for 127.0.0.1" in done.stderr) is not accepted


def test_files_that_are_missing_or_damaged_are_named(remote: TlsDaemon) -> None:
    damaged = remote.folder / "damaged.crt"
    damaged.write_text("nothing")
    assert f"the file {damaged} cannot be used" in remote.refused(remote.configuration(authority=damaged))
    own = {"client_cert_hsm_tls_file": str(remote.authority), "client_key_hsm_tls_file": str(damaged)}
    assert f"the file {damaged} cannot be used" in remote.refused(remote.configuration(**own))


def test_a_wrong_configuration_is_told(remote: TlsDaemon) -> None:
    contents = [
        remote.configuration(**wrong).read_text()
        for wrong in ({"client_cert_path": "/a"}, {"hsm_ca_file": "/" + "long" * 400}, {"hsm_ca_file": 7})
    ]
    right = remote.configuration().read_text()
    ports = (0, 65536, -1, "2223", None, 1.5, 10**12)
    contents += [right.replace(f'"port": {remote.port}', f'"port": {json.dumps(port)}') for port in ports]
    contents += [right.replace(HOST, name) for name in ("", "/" + "long" * 50, "x" * 300)]
    for number, content in enumerate(contents):
        (remote.folder / f"wrong{number}.cfg").write_text(content)
    said = remote.must(
        """
for number in range(int(sys.argv[3])):
    os.environ["HSM_PKCS11_CONFIG"] = f"{sys.argv[4]}/wrong{number}.cfg"
    print(hex(ck.call("C_Initialize", None)), end=" ")
    ck.call("C_Finalize", None)
""",
        remote.configuration(), str(len(contents)), str(remote.folder),
    )  # fmt: skip
    assert said.split() == ["0x5"] * len(contents)


def test_a_client_certificate_is_presented(remote: TlsDaemon) -> None:
    authority = Authority("mutual")
    file = remote.folder / "mutual-ca.crt"
    file.write_bytes(authority.certificate)
    server = authority.issue(remote.folder, "server", "127.0.0.1")
    client = authority.issue(remote.folder, "client")
    seen: list[object] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server)
    context.load_verify_locations(file)
    context.verify_mode = ssl.CERT_REQUIRED
    own = {"client_cert_hsm_tls_file": str(client[0]), "client_key_hsm_tls_file": str(client[1])}
    with answering(context, lambda connected: seen.append(dict(connected.getpeercert() or {}))) as port:
        remote.run("ck.must('C_Initialize', None)\nslots()",
                   remote.configuration(("127.0.0.1", port), authority=file, **own))  # fmt: skip
    assert seen
    assert (("commonName", "client"),) in seen[0]["subject"]  # type: ignore[index]


_GARBAGE = """
import random
draw = random.Random(7)
for _ in range(int(sys.argv[3])):
    ck.must("C_Initialize", None)
    count = c_ulong(9)
    ck.call("C_GetSlotList", c_ubyte(1), None, byref(count))
    assert count.value in (0, 1)
    handle = c_ulong()
    ck.call("C_OpenSession", 0, 6, None, None, byref(handle))
    ck.must("C_Finalize", None)
print("survived")
"""


@pytest.mark.parametrize("inside", [True, False], ids=["frames", "records"])
def test_a_hostile_server_harms_nothing(remote: TlsDaemon, inside: bool) -> None:
    """Garbage after the handshake, as frames; or in place of TLS records."""
    authority = Authority("an authority")
    file = remote.folder / "hostile-ca.crt"
    file.write_bytes(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(remote.folder, "hostile", "127.0.0.1"))
    count = [0]

    def answer(encrypted: ssl.SSLSocket) -> None:
        count[0] += 1
        encrypted.recv(4096)
        pieces = (
            b"", b"\0", os.urandom(40), (20).to_bytes(4, "big") + os.urandom(20), b"\xff" * 24,
            (1 << 26).to_bytes(4, "big") + b"\1" + os.urandom(99), (24).to_bytes(4, "big") + b"\1" + bytes(23),
        )  # fmt: skip
        encrypted.sendall(pieces[count[0] % len(pieces)])

    def break_records(encrypted: ssl.SSLSocket) -> None:
        count[0] += 1
        encrypted.recv(4096)
        raw = socket.socket(fileno=os.dup(encrypted.fileno()))
        records = (b"\x17\x03\x03\x40\x00" + os.urandom(500), b"\x16\x03\x03\x00\x04" + bytes(4), os.urandom(64),
                   b"\x17\x03\x03\xff\xff" + bytes(64), b"")  # fmt: skip
        with raw:
            raw.sendall(records[count[0] % len(records)])

    with answering(context, answer if inside else break_records) as port:
        configuration = remote.configuration(("127.0.0.1", port), authority=file)
        rounds = str(repeated(15, 200, "HSMBRIDGE_FUZZ_SERVERS"))
        assert remote.must(_GARBAGE, configuration, rounds) == "survived\n"
    assert count[0] >= int(rounds)


def test_after_a_restart_the_program_logs_in_again(remote: TlsDaemon) -> None:
    said = remote.must(
        """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (1, True), (3, b"over TLS")])
    for _ in range(2):
        before = ck.run("Encrypt", session, 0x1081, key, bytes(16))
    hsm("stop")
    print(slots(), hex(ck.begin("Encrypt", session, 0x1082, key)))
    hsm("start", *sys.argv[3:])
    print(slots(), hex(ck.call("C_GenerateRandom", session, (c_ubyte * 8)(), 8)))
    session = ck.open()
    ck.login(session, PIN)
    (key,) = ck.find(session, [(3, b"over TLS")])
    print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == before)
""",
        remote.configuration(), "--listen", f"{HOST}:{remote.port}", "--listen", f"127.0.0.1:{remote.other_port}",
    )  # fmt: skip
    assert said.splitlines() == ["0 0x30", "1 0xb3", "True"]


def test_another_server_of_the_cluster_takes_over(remote: TlsDaemon) -> None:
    """Two daemons on copies of one state directory stand for the HSMs of a cluster."""
    home = remote.site.home.with_name("two")
    other = Site(home, remote.site.environment | {"HSM_HOME": str(home)})
    port = _free_port(SECOND)
    other.must("start", "--listen", f"{SECOND}:{port}")
    try:
        said = remote.must(
            """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    ck.must("C_GenerateRandom", session, (c_ubyte * 8)(), 8)
    hsm("stop")
    print(hex(ck.call("C_GenerateRandom", session, (c_ubyte * 8)(), 8)), slots())
    session = ck.open()
    ck.login(session, PIN)
    print(len(ck.generate_pair(session, 0x1040, [(0x180, P256)], [(0x108, True)])))
""",
            remote.configuration((HOST, remote.port), (SECOND, port)),
        )
        assert said.splitlines() == ["0xb3 1", "2"]
    finally:
        other.here("stop")
        remote.start()


def test_the_engine_signs_over_tls(remote: TlsDaemon) -> None:
    if not _ENGINE.exists():
        missing("the OpenSSL engine was not built: OpenSSL's headers are missing (libssl-dev)")
    engines = remote.folder / "engines"
    engines.mkdir()
    shutil.copy(_ENGINE, engines / "cloudhsm.so")
    cli = Path(sys.executable).with_name("cloudhsm-cli")
    own = {"CLOUDHSM_PIN": f"cu1:{PASSWORD}", "CLOUDHSM_ROLE": "crypto-user"}

    def run(*command: str, **variables: str) -> str:
        done = subprocess.run(command, cwd=remote.folder, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    at_home = remote.site.environment | own
    attributes = ("--public-attributes", "token=true", "--private-attributes", "token=true", "sign=true")
    run(str(cli), "key", "generate-asymmetric-pair", "ec", "--curve", "secp256r1", "--public-label", "tls",
        "--private-label", "tls", *attributes, **at_home)  # fmt: skip
    run(str(cli), "key", "generate-file", "--encoding", "reference-pem", "--path", "server.key",
        "--filter", "attr.label=tls", "attr.class=private-key", **at_home)  # fmt: skip
    with_engine = environment(remote.site, remote.configuration()) | own | {"OPENSSL_ENGINES": str(engines)}
    run(tool("openssl"), "req", "-engine", "cloudhsm", "-keyform", "engine", "-new", "-x509", "-key", "server.key",
        "-subj", "/CN=server", "-out", "server.crt", **with_engine)  # fmt: skip
    assert "OK" in run("openssl", "verify", "-CAfile", "server.crt", "server.crt", **with_engine)


def test_a_child_after_fork_has_connections_of_its_own(remote: TlsDaemon) -> None:
    said = remote.must(
        """
with ck.started():
    session = ck.open()
    ck.login(session, PIN)
    key = ck.generate(session, 0x1080, [(0x161, 32), (0x104, True), (3, b"forked")])
    first = ck.run("Encrypt", session, 0x1081, key, bytes(16))
    child = os.fork()
    if not child:
        codes = [ck.call("C_Logout", session), ck.call("C_Initialize", None)]
        own = ck.open()
        ck.login(own, PIN)
        print(*map(hex, codes), slots(), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(ck.run("Encrypt", session, 0x1081, key, bytes(16)) == first)
""",
        remote.configuration(),
    )
    assert said.splitlines() == ["0x190 0x0 1", "True"]
