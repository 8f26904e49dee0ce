"""Trust anchors at the listener: which connections end when the anchors change, and which go on."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.carriers.client import Client, DaemonUnreachable
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates, Servers
from bridge.protocol import codec
from bridge.protocol.operations import NUMBERS
from hsmcore import Hsm, errors
from tests.bridge.conftest import ADMIN_PASSWORD, listening
from tests.certificates import Authority, made

_LIMIT = 30.0
"""Seconds of any wait."""


@dataclass(frozen=True)
class Desk:
    """An HSM that listens, a session of its admin, and clients of two authorities."""

    hsm: Hsm
    address: Address
    authority: Path
    clients: dict[str, tuple[Path, Path]]
    anchors: dict[str, bytes]

    def client(self, name: str = "") -> Client:
        own = self.clients[name] if name else None
        return Client.connect_to(Servers((self.address,), Certificates(self.authority, own)), _LIMIT)

    def admin(self, name: str = "") -> Client:
        client = self.client(name)
        client.call("LOGIN", "admin", ADMIN_PASSWORD, "admin")
        return client


@pytest.fixture
def desk(core: Hsm, tmp_path: Path) -> Iterator[Desk]:
    """The HSM has the trust anchor of ``one``, and loses all anchors afterwards."""
    clients, anchors = {}, {}
    for name in ("one", "two"):
        authority = Authority(f"clients {name}")
        clients[name], anchors[name] = authority.issue(tmp_path, name), authority.certificate
    with listening(core) as (address, authority_file):
        session = core.users.login("admin", ADMIN_PASSWORD, "admin")
        core.mtls.register(session, anchors["one"])
        yield Desk(core, address, authority_file, clients, anchors)
        core.mtls.set_enforcement(session, "none", mutual=False)
        core.mtls.deregister(session, list(core.mtls.anchors()))
        core.users.logout(session)


def test_enforcement_ends_what_has_no_certificate(desk: Desk) -> None:
    with desk.client() as stranger, desk.client("one") as known, desk.admin("one") as admin:
        admin.call("MTLS_SET_ENFORCEMENT", "cluster")
        with pytest.raises(DaemonUnreachable):
            stranger.call("STATUS")
        assert known.call("STATUS")
        with pytest.raises(DaemonUnreachable, match="certificate of a registered trust anchor only"):
            desk.client()
        with Client.connect(Path(str(desk.hsm.status()["home"]))) as local:
            local.call("LOGIN", "admin", ADMIN_PASSWORD, "admin")
            local.call("MTLS_SET_ENFORCEMENT", "none")
        with desk.client() as again:
            assert again.call("STATUS")


def test_a_client_that_never_stops_sending_is_ended_too(desk: Desk) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ended = threading.Event()
    connected = socket.create_connection((desk.address.host, desk.address.port), _LIMIT)
    with desk.admin("one") as admin, context.wrap_socket(connected) as peer:
        sender = threading.Thread(target=_flood, args=(peer, ended), daemon=True)
        sender.start()
        admin.call("MTLS_SET_ENFORCEMENT", "cluster")
        assert ended.wait(_LIMIT)
        sender.join(_LIMIT)


def _flood(peer: ssl.SSLSocket, ended: threading.Event) -> None:
    """Send requests until the connection ends, always some before the answers to those before are read."""
    request, ahead = codec.encode_request(NUMBERS["STATUS"], 0, 1, ()), 50
    received = b""
    with suppress(OSError):
        peer.sendall(request * ahead)
        while True:
            peer.sendall(request * ahead)
            for _ in range(ahead):
                while len(received) < 4 or len(received) < codec.frame_length(received):
                    part = peer.recv(65536)
                    if not part:
                        raise ConnectionResetError
                    received += part
                received = received[codec.frame_length(received) :]
    ended.set()


def test_requests_that_have_arrived_are_not_answered_once_the_anchor_is_gone(desk: Desk) -> None:
    """The client sends the end of its own anchor and more requests in one record: only the first is answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*desk.clients["one"])
    with desk.admin("one") as admin:
        admin.call("MTLS_REGISTER", desk.anchors["two"])
    connected = socket.create_connection((desk.address.host, desk.address.port), _LIMIT)
    with context.wrap_socket(connected) as peer, peer.makefile("rb") as stream:

        def answer() -> bytes:
            prefix = stream.read(4)
            return prefix + stream.read(codec.frame_length(prefix) - 4) if prefix else b""

        login = ("admin", ADMIN_PASSWORD, "admin")
        peer.sendall(codec.encode_request(NUMBERS["LOGIN"], 0, 1, login))
        (token,) = codec.decode_values(answer())
        assert isinstance(token, int)
        requests = [codec.encode_request(NUMBERS["MTLS_DEREGISTER"], token, 2, (["0x01"],))]
        requests += [codec.encode_request(NUMBERS["STATUS"], token, number, ()) for number in range(3, 10)]
        peer.sendall(b"".join(requests))
        assert codec.decode_header(answer()) == (0, token, 2)
        with suppress(OSError):
            assert answer() == b""


def test_the_connections_of_an_anchor_end_with_it(desk: Desk) -> None:
    with desk.client("one") as one, desk.client() as stranger, desk.admin("one") as admin:
        with pytest.raises(DaemonUnreachable, match="no trust anchor of the HSM has signed"):
            desk.client("two")
        admin.call("MTLS_REGISTER", desk.anchors["two"])
        with desk.client("two") as two:
            # The connection over which the anchor goes gets its answer.
            assert admin.call("MTLS_DEREGISTER", ["0x01"]) == (["0x01"],)
            for gone in (one, admin):
                with pytest.raises(DaemonUnreachable):
                    gone.call("STATUS")
            assert two.call("STATUS")
            assert stranger.call("STATUS")
        with pytest.raises(DaemonUnreachable, match="no trust anchor of the HSM has signed"):
            desk.client("one")


def test_enforcement_takes_a_session_with_certificates_only(desk: Desk) -> None:
    with desk.admin("one") as admin, desk.client() as other:
        # A connection without a certificate uses the session too.
        other.session = admin.session
        assert other.call("MTLS_GET_ENFORCEMENT") == ("none",)
        with pytest.raises(errors.MutualTlsRequired):
            admin.call("MTLS_SET_ENFORCEMENT", "cluster")
        with pytest.raises(errors.MutualTlsRequired):
            other.call("MTLS_SET_ENFORCEMENT", "cluster")


def test_a_client_below_another_authority(desk: Desk, tmp_path: Path) -> None:
    """Its file has the certificate in between. It goes on after other changes, and connects again after this one."""
    root = made("root")
    below = made("below", issuer=root)
    leaf = made("leaf", issuer=below, ca=False)
    desk.clients["below"] = tmp_path / "below.crt", tmp_path / "below.key"
    desk.clients["alone"] = tmp_path / "alone.crt", tmp_path / "below.key"
    for name, chain in (("below", leaf.pem + below.pem), ("alone", leaf.pem)):
        desk.clients[name][0].write_bytes(chain)
    desk.clients["below"][1].write_bytes(
        leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )  # fmt: skip
    with desk.admin("one") as admin:
        admin.call("MTLS_REGISTER", root.pem)
        with pytest.raises(DaemonUnreachable, match="no trust anchor of the HSM has signed"):
            desk.client("alone")
        with desk.client("below") as client:
            admin.call("QUORUM_SET_TIMEOUT", "approved", 601)
            assert client.call("STATUS")
            admin.call("MTLS_SET_ENFORCEMENT", "cluster")
            with pytest.raises(DaemonUnreachable):
                client.call("STATUS")
        with desk.client("below") as client:
            assert client.call("STATUS")
