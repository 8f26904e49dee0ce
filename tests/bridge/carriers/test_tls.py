"""TLS on a TCP port: who is refused and why, hostile clients, renewal and the end of a certificate."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.carriers import remote as remote_carrier
from bridge.carriers import tls
from bridge.carriers.client import Client, DaemonSilent, DaemonUnreachable
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates, Servers
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from hsmcore import Hsm, errors
from hsmcore.primitives import tls_certificates as certificates
from tests.bridge.conftest import HOST, PASSWORD, listening, new_authority
from tests.certificates import Authority
from tests.relay import relaying
from tests.requirements import tool

_SIGN = "x509 -req -days 3652 -in ClusterCsr.csr -CA customerCA.crt -CAkey customerCA.key -CAcreateserial"
_LIMIT = 30.0
"""Seconds of any wait."""


@pytest.fixture(scope="module")
def place(core: Hsm) -> Iterator[tuple[Address, Path]]:
    with listening(core) as place:
        yield place


def client(address: Address, authority: Path) -> Client:
    return Client.connect_to(Servers((address,), Certificates(authority)), _LIMIT)


def raw(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), _LIMIT)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(connected: socket.socket) -> bool:
    try:
        while connected.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def encrypted(address: Address, **settings: object) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    return context.wrap_socket(raw(address))


def test_a_request_of_the_owner_is_refused_over_the_network(place: tuple[Address, Path]) -> None:
    with client(*place) as remote:
        assert remote.call("STATUS")
        with pytest.raises(errors.PermissionDenied, match="owner of the state directory"):
            remote.call("CLUSTER_CSR", [], True)
        with pytest.raises(errors.PermissionDenied):
            remote.call("CLUSTER_INITIALIZE", b"", b"")


def test_large_frames_cross_in_records(place: tuple[Address, Path]) -> None:
    with client(*place) as remote:
        remote.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        (key,) = remote.call("GENERATE_KEY", "AES_KEY_GEN", {"SIZE": 256})
        assert isinstance(key, dict)
        data = os.urandom(5_000_000)
        ciphertext, parameters = remote.call("ENCRYPT", key["HANDLE"], "AES_GCM", None, data)
        assert remote.call("DECRYPT", key["HANDLE"], "AES_GCM", parameters, ciphertext) == (data,)


def test_requests_in_one_record_or_in_pieces_are_all_answered(place: tuple[Address, Path]) -> None:
    status = codec.encode_request(NUMBERS["STATUS"], 0, 7, ())
    with encrypted(place[0]) as peer:
        peer.sendall(status * 50)
        for byte in status:
            peer.sendall(bytes([byte]))
        received = b""
        for _ in range(51):
            while len(received) < 4 or len(received) < codec.frame_length(received):
                part = peer.recv(65536)
                assert part
                received += part
            assert codec.decode_header(received) == (0, 0, 7)
            received = received[codec.frame_length(received) :]


def test_a_wrong_authority_a_wrong_name_and_an_old_version_are_refused(
    place: tuple[Address, Path], tmp_path: Path
) -> None:
    address, authority = place
    other = tmp_path / "other.crt"
    other.write_bytes(certificates.new_authority("another")[1])
    with pytest.raises(DaemonUnreachable, match=f"no authority in {other} has signed its certificate"):
        client(address, other)
    with socket.create_server(("127.0.0.1", 0)) as relay:
        threading.Thread(target=_relay, args=(relay, address), daemon=True).start()
        with pytest.raises(DaemonUnreachable, match=rf"its certificate is for {HOST}, not for 127\.0\.0\.1"):
            client(Address("127.0.0.1", relay.getsockname()[1]), authority)
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        encrypted(address, maximum_version=ssl.TLSVersion.TLSv1_2)


def _relay(listener: socket.socket, address: Address) -> None:
    client, _ = listener.accept()
    with client, raw(address) as server:
        back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        back.start()
        _pass_on(client, server)
        back.join(_LIMIT)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_the_certificate_of_the_guides_commands_is_accepted(core: Hsm, tmp_path: Path) -> None:
    """CloudHSM's guide signs without -copy_extensions, so that the certificate has no names."""
    openssl = tool("openssl")

    def sign(request: bytes) -> tuple[bytes, bytes]:
        (tmp_path / "ClusterCsr.csr").write_bytes(request)
        for words in (
            "genrsa -out customerCA.key 2048",
            "req -new -x509 -days 3652 -key customerCA.key -out customerCA.crt -subj /CN=guide",
            f"{_SIGN} -out CustomerHsmCertificate.crt",
        ):
            subprocess.run([openssl, *words.split()], cwd=tmp_path, check=True, capture_output=True, timeout=60)
        return tuple((tmp_path / name).read_bytes() for name in ("CustomerHsmCertificate.crt", "customerCA.crt"))

    with listening(core, signer=sign) as place, client(*place) as remote:
        assert remote.call("STATUS")


def test_a_new_certificate_is_used_without_a_restart(core: Hsm) -> None:
    with listening(core) as (address, authority), client(address, authority) as early:
        before = authority.read_bytes()
        core.tls.initialize(*new_authority(core.tls.request([HOST], new_key=True)))
        with client(address, authority) as late:
            assert late.call("STATUS")
        authority.write_bytes(before)
        with pytest.raises(DaemonUnreachable, match="no authority"):
            client(address, authority)
        assert early.call("STATUS")


def _signed_for(seconds: float) -> Callable[[bytes], tuple[bytes, bytes]]:
    authority = Authority()
    return lambda request: (authority.sign(request, seconds), authority.certificate)


def test_a_certificate_that_expires_while_it_is_used(core: Hsm) -> None:
    """Connections go on, and new clients are told the reason."""
    with listening(core, signer=_signed_for(3)) as (address, authority), client(address, authority) as early:
        facts = core.tls.certificate()
        assert facts is not None
        core.set_address(str(address))
        wait_until(lambda: time.time() > facts.not_after + 1)
        assert core.warnings()[0].startswith("the TLS certificate has expired at ")
        with pytest.raises(DaemonUnreachable, match="certificate has expired"):
            client(address, authority)
        assert early.call("STATUS")
        core.tls.initialize(*new_authority(core.tls.request([HOST])))
        with client(address, authority) as late:
            assert late.call("STATUS")
        assert core.warnings() == []


def test_the_log_warns_again_and_again_before_the_end(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "REMINDER_SECONDS", 0.01)
    with listening(core, signer=_signed_for(29 * 86400)), tls.reminding(core):
        wait_until(lambda: len(caplog.messages) > 1)
    assert all(message.startswith("the TLS certificate is valid until ") for message in caplog.messages)


def test_unsuitable_certificates_are_refused_and_change_nothing(core: Hsm) -> None:
    with listening(core) as place:
        request = core.tls.request([HOST])
        signed, authority = new_authority(request)
        other_signed, other_authority = new_authority(certificates.request(certificates.new_key(), "HSM:0", [HOST]))
        for pair, why in (
            ((signed, other_authority), "is not signed by"),
            ((other_signed, other_authority), "has another public key"),
            ((signed, signed), "no authority"),
            ((signed, authority + other_authority), "the trust anchor is one certificate"),
            ((b"", authority), "no PEM file"),
            ((b"x" * 70_000, authority), "at most 65536 bytes"),
            (_signed_for(-5)(request), "not now"),
        ):
            with pytest.raises(errors.CertificateInvalid, match=why):
                core.tls.initialize(*pair)
        for name in ("", "two words", "ü.example"):
            with pytest.raises(errors.CertificateInvalid, match="neither a host name"):
                core.tls.request([name])
        with client(*place) as remote:
            assert remote.call("STATUS")


def test_peers_that_send_nothing_are_ended_and_delay_nobody(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.5)
    with listening(core) as (address, authority):
        silent = [raw(address) for _ in range(20)]
        for peer in silent:
            request.addfinalizer(peer.close)
        # A part of a ClientHello, and no more.
        silent[0].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01")
        with client(address, authority) as remote:
            assert remote.call("STATUS")
        assert all(ended(peer) for peer in silent)


def test_more_handshakes_than_the_limit_end_the_oldest(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(tls, "MAX_HANDSHAKES", 4)
    with listening(core) as (address, authority):
        peers = [raw(address) for _ in range(9)]
        for peer in peers:
            request.addfinalizer(peer.close)
        assert all(ended(peer) for peer in peers[:5])
        with client(address, authority) as remote:
            assert remote.call("STATUS")


@pytest.mark.parametrize("sent", [
    b"GET / HTTP/1.1\r\nHost: hsm\r\n\r\n",
    codec.encode_request(NUMBERS["STATUS"], 0, 1, ()),
    b"\x16\x03\x01\xff\xff" + b"\0" * 70_000,
    b"\x15\x03\x03\x00\x02\x02\x28",
    bytes(range(256)) * 300,
], ids=["http", "unencrypted", "long record", "alert", "garbage"])  # fmt: skip
def test_a_hostile_handshake_ends_its_own_connection_only(place: tuple[Address, Path], sent: bytes) -> None:
    with client(*place) as remote:
        with raw(place[0]) as peer:
            with suppress(ConnectionError):
                peer.sendall(sent)
            assert ended(peer)
        assert remote.call("STATUS")


def test_changed_records_end_the_connection(place: tuple[Address, Path]) -> None:
    with client(*place) as remote, socket.create_server(("127.0.0.1", 0)) as relay:
        threading.Thread(target=_relay, args=(relay, place[0]), daemon=True).start()
        with encrypted(Address("127.0.0.1", relay.getsockname()[1])) as peer:
            peer.sendall(codec.encode_request(NUMBERS["STATUS"], 0, 1, ()))
            assert peer.recv(100)
            # Below TLS, so that the record's tag is wrong.
            with socket.socket(fileno=os.dup(peer.fileno())) as below:
                below.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
            with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
                deque(iter(lambda: peer.recv(65536), b""))
        assert remote.call("STATUS")


def test_connections_over_tls_leave_room_for_those_of_this_machine(
    core: Hsm, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("bridge.carriers.server.MAX_CONNECTIONS", 5)
    with listening(core) as (address, authority), Client.connect(Path(str(core.status()["home"]))) as local:
        for _ in range(12):
            request.addfinalizer(client(address, authority).close)
        assert local.call("STATUS")


def test_a_slow_network_and_a_server_that_has_vanished(
    place: tuple[Address, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, authority = place
    with relaying(HOST, (address.host, address.port)) as relay:
        relay.delay = 0.1
        servers = Servers((Address(HOST, relay.port),), Certificates(authority))
        with Client.connect_to(servers, 3.0) as remote:
            remote.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
            (key,) = remote.call("GENERATE_KEY", "AES_KEY_GEN", {"SIZE": 256})
            assert isinstance(key, dict)
            data = os.urandom(300_000)
            ciphertext, parameters = remote.call("ENCRYPT", key["HANDLE"], "AES_GCM", None, data)
            assert remote.call("DECRYPT", key["HANDLE"], "AES_GCM", parameters, ciphertext) == (data,)
            relay.hole = True
            with pytest.raises(DaemonSilent, match="has not answered for 3 s"):
                remote.call("STATUS")
        monkeypatch.setattr(remote_carrier, "CONNECT_SECONDS", 1.0)
        with pytest.raises(DaemonUnreachable, match="has not answered the handshake for 1 s"):
            Client.connect_to(servers)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel shows no timers of connections")
def test_the_kernel_probes_clients_that_are_silent(place: tuple[Address, Path]) -> None:
    """A client that vanished without a word would otherwise stay for ever."""
    ours = f"{int.from_bytes(socket.inet_aton(place[0].host), sys.byteorder):08X}:{place[0].port:04X}"

    def timers() -> list[list[str]]:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # Columns: address here, state (1 is established), timer (2 is keep-alive), and its time in 1/100 s.
        return [row[5].split(":") for row in rows if row[1] == ours and row[3] == "01"]

    with client(*place) as remote:
        assert remote.call("STATUS")
        # First there is the timer of a segment whose acknowledgement is on its way.
        wait_until(lambda: {kind for kind, _ in timers()} == {"02"})
        assert all(int(left, 16) <= 6000 for _, left in timers())
