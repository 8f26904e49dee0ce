"""One client of the daemon: its socket, and the answers to the frames that it sends."""

from __future__ import annotations

import logging
import os
import time
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from bridge.carriers.streams import CHUNK, FIRST, NOW
from bridge.protocol import codec, repeat
from bridge.protocol.operations import NUMBERS
from hsmcore.errors import HsmError, OperationLimit, RequestError

if TYPE_CHECKING:
    from bridge.carriers.streams import Stream
    from bridge.server.dispatch import Responder

FRAME_SECONDS = 30
"""Longest wait for the rest of a frame, and for a client to take an answer, in seconds."""
SMALL = 64 * 1024
"""Longest frame, in bytes, that every connection may send; a larger one before a login takes a place of few."""
LARGE_BEFORE_LOGIN = 4
"""Maximum number of larger frames, of all connections without a login, at a time."""
SETTLED = 8
"""Short operations in a row after which ``serve`` returns. A return costs as much as a few of them."""

_CONTROL = (NUMBERS["HELLO"], NUMBERS["STATUS"])
_HEADER_BYTES = 24
_large_frames = BoundedSemaphore(LARGE_BEFORE_LOGIN)

_log = logging.getLogger("hsmbridge.daemon")

Turns = SimpleQueue[None]
"""An item for each thread that may begin a longer operation now."""


def turns() -> Turns:
    """Return a turn for each processor. More threads would take the interpreter lock from each other."""
    queue = Turns()
    for _ in range(max(2, os.cpu_count() or 1)):
        queue.put(None)
    return queue


class Peer:
    """A connection that one thread at a time serves. ``answer_now`` never waits, ``serve`` does."""

    __slots__ = (
        "_expelled",
        "_large",
        "_leaving",
        "_limit",
        "_receive",
        "_responder",
        "_sessions",
        "_stream",
        "certificate",
        "descriptor",
        "origin",
        "user",
    )

    def __init__(self, stream: Stream, responder: Responder, limit: HsmError | None = None) -> None:
        """Take a connection.

        Args:
            stream: The connection's bytes.
            responder: The answers.
            limit: The error that answers every request but HELLO and STATUS of a command; ``None`` for no limit.
        """
        self._stream = stream
        self._limit = limit
        self._leaving = self._expelled = False
        self._large = False
        """True while the current frame takes a place of ``LARGE_BEFORE_LOGIN``."""
        self._responder = responder
        self._sessions = responder.sessions
        self._receive = stream.recv
        self.descriptor = stream.fileno()
        self.origin = stream.origin
        self.user = stream.user
        self.certificate = stream.certificate
        """The client's certificate in DER; empty for none."""

    def answer_now(self) -> tuple[bytes, bytes] | None:
        """Receive, and answer if that is one repeated operation that takes microseconds.

        Returns:
            ``None`` if nothing is left to do, else the first two arguments of ``serve``.
        """
        try:
            received = self._receive(CHUNK, NOW)
        except BlockingIOError:
            return None
        except OSError:
            return b"", b""
        if self._expelled:
            return b"", b""
        answer = repeat.answer_short(received, self._sessions)
        if answer is None:
            return received, b""
        unsent = self._stream.send_now(answer)
        return (received, unsent) if unsent else None

    def serve(self, received: bytes, unsent: bytes, turns: Turns) -> bool:
        """Answer until the client ends, breaks the protocol, is too slow or idle, or has settled on short operations.

        Args:
            received: Bytes from the client; empty at the end of the stream.
            unsent: Rest of the answer to these bytes, as the stream returned it, or empty.
            turns: Taken for each operation of milliseconds.

        Returns:
            Whether the connection goes on.
        """
        try:
            if unsent:
                self._stream.send_rest(unsent)
                return True
            return self._serve(received, turns)
        except (RequestError, OperationLimit) as error:
            self.send_error(error)
        except OSError as error:
            _log.debug("connection ended: %s", error)
        except Exception as error:
            _log.error("connection failed with %s", type(error).__qualname__)
        finally:
            self._give_back()
        return False

    def _serve(self, received: bytes, turns: Turns) -> bool:
        send, answer, sessions = self._stream.sendall, self._responder.answer, self._sessions
        short = 0
        while received and not self._expelled:
            if self._large:
                self._give_back()
            frame, received = self._frame(received)
            if self._limit is not None:
                response = self._control(frame)
                if response is None:
                    send(codec.encode_error(*codec.correlation(frame), self._limit.code, str(self._limit)))
                    return False
            elif (response := repeat.answer_short(frame, sessions)) is not None:
                short += 1
            else:
                short = 0
                response = self._answer_in_turn(frame, turns) if frame[4:8] == repeat.MARK else answer(frame)
            send(response)
            if self._responder.broken:
                return False
            if not received:
                if short >= SETTLED:
                    return True
                try:
                    received = self._receive(FIRST)
                except BlockingIOError:
                    return True  # Idle between frames, which is allowed.
        return False

    def _control(self, frame: bytes) -> bytes | None:
        """Answer HELLO and STATUS of a command; ``None`` for other requests. The HELLO of a program announces more."""
        if codec.decode_header(frame)[0] not in _CONTROL:
            return None
        response = self._responder.answer(frame)
        return None if self._responder.reconnects else response

    def _answer_in_turn(self, frame: bytes, turns: Turns) -> bytes:
        turns.get()
        try:
            return self._responder.answer(frame)
        finally:
            turns.put(None)

    def _frame(self, received: bytes) -> tuple[bytes, bytes]:
        """Return the first frame, with what the client sends of it yet, and the bytes after it."""
        if len(received) < 4:
            received = self._complete(received, 4)
        length = codec.frame_length(received)
        if length > SMALL and not self._sessions:
            received = self._complete(received, _HEADER_BYTES)
            # A further connection of a session is known by the token in its first frame.
            if not self._responder.has_session(int.from_bytes(received[8:16], "big")):
                self._take_place()
        if len(received) < length:
            received = self._complete(received, length)
        if len(received) == length:
            return received, b""
        return received[:length], received[length:]

    def _take_place(self) -> None:
        """Take a place for a large frame before a login.

        Raises:
            OperationLimit: There is none.
        """
        if not _large_frames.acquire(blocking=False):
            raise OperationLimit(
                f"{LARGE_BEFORE_LOGIN} requests of more than {SMALL // 1024} KiB before a login are in progress, which"
                " is the limit; log in first, or try again"
            )
        self._large = True

    def _give_back(self) -> None:
        if self._large:
            self._large = False
            _large_frames.release()

    def _complete(self, received: bytes, length: int) -> bytes:
        """Return at least ``length`` bytes.

        Raises:
            ConnectionResetError: The client ended.
            TimeoutError: The client took too long.
        """
        deadline = time.monotonic() + FRAME_SECONDS
        buffer = bytearray(received)
        while len(buffer) < length:
            part = self._receive(min(length - len(buffer), CHUNK))
            if not part:
                raise ConnectionResetError("the client ended inside a frame")
            if time.monotonic() > deadline:
                raise TimeoutError("the client took too long over a frame")
            buffer += part
        return bytes(buffer)

    def send_error(self, error: HsmError) -> None:
        """Send an error response that belongs to no request, if the client takes it at once."""
        try:
            self._stream.send_now(codec.encode_error(0, 0, error.code, str(error)))
        except OSError as failure:
            _log.debug("the client did not take the answer: %s", failure)

    @property
    def anonymous(self) -> bool:
        """True for a connection that goes on and has no login."""
        return not self._sessions and not self._leaving

    def hang_up(self) -> None:
        """Receive nothing that is sent from now on; requests that were sent before are still answered."""
        self._leaving = True
        try:
            self._stream.end_receiving()
        except OSError:
            _log.debug("the client was gone already")

    def expel(self) -> None:
        """Hang up, and answer no request that has not begun, although the client may have sent some already."""
        self._expelled = True
        self.hang_up()

    def close(self) -> None:
        """Close the connection, which ends each session that no other connection uses."""
        self._stream.close()
        self._responder.close()
