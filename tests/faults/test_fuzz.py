"""Hostile frames against the daemon: no crash, no hang, no defect, no change. ``make fuzz`` sends 10 000."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from pathlib import Path

from bridge.carriers.client import Client
from bridge.process.paths import socket_path
from bridge.protocol import codec
from hsmcore import errors
from tests.conftest import Tally, repeated
from tests.site import ADMIN_PASSWORD, PASSWORD, Site

from .hostile import Hostile

FRAMES = repeated(300, 3_000, "HSMBRIDGE_FUZZ_FRAMES")
SEED = int(os.environ.get("HSMBRIDGE_FUZZ_SEED", "7"))
SECONDS = 60
"""How long one answer may take before it is called a hang."""


class _Peer:
    """A connection that is opened again when the daemon closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = self._connected()

    def _connected(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(SECONDS)
        peer.connect(str(self._path))
        return peer

    def exchange(self, frame: bytes) -> int | None:
        """Send a frame and return the status of the answer, ``None`` where the daemon only closed."""
        try:
            self._socket.sendall(frame)
            answer = self._read(4)
            status = codec.decode_header(answer + self._read(codec.frame_length(answer) - 4))[0]
        except (ConnectionError, EOFError):
            self.again()
            return None
        if not 24 <= codec.LENGTH.unpack_from(frame)[0] + 4 == len(frame):
            self.again()
        return status

    def again(self) -> None:
        self._socket.close()
        self._socket = self._connected()

    def _read(self, length: int) -> bytes:
        read = b""
        while len(read) < length:
            part = self._socket.recv(length - len(read))
            if not part:
                raise EOFError
            read += part
        return read

    def close(self) -> None:
        self._socket.close()


def _state(user: Client, admin: Client) -> tuple[object, ...]:
    (status,) = user.call("STATUS")
    return user.found_keys({}), admin.call("USER_LIST"), status


def test_hostile_frames(site: Site, tally: Tally) -> None:
    site.must("start")
    with Client.connect(site.home) as user, Client.connect(site.home) as admin:
        user.call("LOGIN", "cu1", PASSWORD.encode(), "crypto-user")
        admin.call("LOGIN", "admin", ADMIN_PASSWORD.encode(), "admin")
        for token in (True, False):
            user.call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": "x", "TOKEN": token})
        before = _state(user, admin)
        peer = _Peer(socket_path(site.home))
        answers: Counter[int | None] = Counter()
        for number, frame in enumerate(Hostile(SEED, [user.session, admin.session]).frames(FRAMES)):
            status = peer.exchange(frame)
            assert status != errors.HsmError.code, (
                f"frame {number} of seed {SEED} is answered as a defect: {frame[:80]!r}"
            )
            answers[status] += 1
        peer.close()
        assert _state(user, admin) == before
        assert admin.call("AUDIT_VERIFY", None)[0]["findings"] == []
        refused = sum(count for status, count in answers.items() if status)
        assert refused > FRAMES / 2
        sealed, parameters = user.call("ENCRYPT", before[0][0]["HANDLE"], "AES_GCM", None, b"still serves")
        assert user.call("DECRYPT", before[0][0]["HANDLE"], "AES_GCM", parameters, sealed) == (b"still serves",)
    log = [json.loads(line) for line in (site.home / "hsm.log").read_text().splitlines()]
    assert [line for line in log if line["level"] == "error"] == []
    tally(f"hostile frames of seed {SEED}, no change").update(refused=refused, harmless=answers[0])
