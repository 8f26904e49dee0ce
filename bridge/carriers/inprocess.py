"""Python half of the in-process carrier: a buffer shared with one Java thread, and that thread's Python state.

Java calls ``exchange``, a native method, with the number of a channel; the buffer holds the request and the answer. A
Java thread that enters Python gets a new Python thread state and loses it at the end of the call, which takes longer
than the rest of a request. One more ``PyGILState_Ensure``, called inside the thread's first exchange without a matching
release, keeps the state; it is deleted when the thread has ended. ``bridge.carriers.jvm`` makes the Java half, so
this module does not import JPype.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.protocol import repeat
from bridge.protocol.codec import LENGTH
from bridge.server.dispatch import Dispatcher, Responder

if TYPE_CHECKING:
    from bridge.server.faults import Faults
    from hsmcore.hsm import Hsm

_read_length = LENGTH.unpack_from
_REPEAT = repeat.REPEAT
_LONG = 4096
"""Answers longer than this are written in two pieces, which takes less time than joining them. In bytes."""

_python = ctypes.pythonapi
_python.PyGILState_GetThisThreadState.restype = ctypes.c_void_p
_python.PyThreadState_Clear.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Clear.restype = None
_python.PyThreadState_Delete.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Delete.restype = None

_channels: list[Channel] = []
"""All channels by number. Java reuses its channels for later threads, so none is ever removed."""
_kept_addresses: set[int] = set()
"""Addresses of the Python thread states that are kept for Java threads. Deleting one twice would crash the process."""
_FRAMES = 2
"""Python frames between ``Channel.keep_state`` and the call from Java: its own and that of ``exchange``."""


class InProcess:
    """Carrier between one HSM and the Java threads of this process.

    All threads share one connection: a session lives until ``LOGOUT`` or ``close``, and survives the thread that
    logged in.
    """

    def __init__(self, hsm: Hsm, faults: Faults | None = None) -> None:
        """Serve this HSM, with its faults; ``None`` for new ones."""
        dispatcher = Dispatcher(hsm, faults=faults)
        self.faults = dispatcher.faults
        self._responder = dispatcher.connect()
        # There is no connection to close; Java takes a frame of this length for a lost one.
        self._responder.cut = bytes(4)

    def attach(self, buffer: Any, *, pooled: bool = False) -> Channel:
        """Return a channel that shares a buffer with Java.

        Args:
            buffer: A direct ``ByteBuffer``.
            pooled: Many threads use the channel, one after another; else only the calling thread does.
        """
        return Channel(self._responder, buffer, pooled=pooled)

    def close(self) -> None:
        """Close the connection, which ends its sessions; the channels then answer ``UNAUTHENTICATED``."""
        self._responder.close()


def exchange(environment: int, java_class: int, number: int) -> int:
    """Replace the request at offset 0 of a channel's buffer by its answer, and return the answer's length in bytes.

    An answer that does not fit waits for ``Channel.grow``. This is the body of a native method.

    Args:
        environment: The thread's ``JNIEnv``.
        java_class: A local reference to the class of the method.
        number: The number of the channel.
    """
    channel = _channels[number]
    if not channel.owned:
        channel.keep_state()
    view = channel.view
    if view[7] == _REPEAT and not view[6]:
        head, response = repeat.answer(view, channel.sessions)
        if len(response) > _LONG and len(head) + len(response) <= len(view):
            view[: len(head)] = head
            view[len(head) : len(head) + len(response)] = response
            return len(head) + len(response)
        response = head + response
    else:
        # Copied before it is checked, because Java can change the buffer at any time.
        response = channel.responder.answer_values(view[: _read_length(view)[0] + 4].tobytes())
    length = len(response)
    if length <= len(view):
        view[:length] = response
    else:
        channel.pending = response
    return length


class Channel:
    """Buffer that Python shares with one Java thread, or with one thread after another if it is pooled.

    ``grow`` and ``release`` implement ``io.hsmbridge.jce.carrier.InProcessChannel``.
    """

    __slots__ = ("_kept", "number", "owned", "pending", "responder", "sessions", "view")

    def __init__(self, responder: Responder, buffer: Any, *, pooled: bool = False) -> None:
        self.responder = responder
        self.sessions = responder.sessions
        self.view = plain_view(buffer)
        self.pending = b""
        # Pooled channels keep no thread state: no Cleaner would release it.
        self.owned = pooled
        self._kept: _KeptState | None = None
        _channels.append(self)
        self.number = len(_channels) - 1
        LENGTH.pack_into(self.view, 0, self.number)

    def grow(self, buffer: Any) -> None:
        """Use a larger buffer from now on, and write the waiting answer to it."""
        self.view = plain_view(buffer)
        response, self.pending = self.pending, b""
        self.view[: len(response)] = response

    def release(self) -> None:
        """Release the Python state of a thread that has ended. Another thread calls it.

        The channel may then serve another thread. JPype never frees the 1.5 KiB that it takes for each wrapped buffer,
        so Java keeps released channels and buffers for the next thread.
        """
        self.pending = b""
        self.owned = False
        kept, self._kept = self._kept, None
        if kept is not None:
            _departed.add(kept)

    def keep_state(self) -> None:
        """Keep the calling thread's Python state from now on, if Java created the thread."""
        self.owned = True
        entry = inspect.currentframe()
        for _ in range(_FRAMES):
            entry = entry.f_back if entry is not None else None
        # A thread that Python created has frames below the call from Java; its state must not be deleted here.
        if entry is None:
            self._kept = _KeptState.of_this_thread()


def plain_view(buffer: Any) -> memoryview:
    """Return a direct buffer's memory as unsigned bytes; JPype gives signed big-endian ones."""
    size = memoryview(buffer).nbytes
    return memoryview((ctypes.c_ubyte * size).from_buffer(buffer)).cast("B")


@dataclass(frozen=True, slots=True)
class _KeptState:
    """Address of a Java thread's Python thread state, and the kernel's id of the thread."""

    address: int
    thread: int

    @classmethod
    def of_this_thread(cls) -> _KeptState | None:
        """Keep the calling thread's state; ``None`` if another channel has: a thread has one with each HSM it uses."""
        address = _python.PyGILState_GetThisThreadState()
        if address in _kept_addresses:
            return None
        _kept_addresses.add(address)
        _python.PyGILState_Ensure()
        return cls(address, threading.get_native_id())

    def in_use(self) -> bool:
        """Return whether the thread may still run. Deleting the state of a running thread would crash the process."""
        return sys.platform == "linux" and Path(f"/proc/self/task/{self.thread}").exists()


class _Departed:
    """Deletes the kept states of threads that have ended.

    A Python thread of its own does this: from CPython 3.12 on, ``PyThreadState_Delete`` of another thread's state also
    unbinds the calling thread's state from ``PyGILState``, which would crash a thread inside a call from Java.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_KeptState] = []
        self._running = False

    def add(self, state: _KeptState) -> None:
        """Delete a state when its thread has ended, which can be some microseconds after Java reports the end."""
        with self._lock:
            self._waiting.append(state)
            if not self._running:
                self._running = True
                self._start()

    def _start(self) -> None:
        threading.Thread(target=self._run, name="departed-java-threads", daemon=True).start()

    def _run(self) -> None:
        pause = 0.01
        while not (gone := self._take()):
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        for state in gone:
            _python.PyThreadState_Clear(state.address)
        for state in gone:
            _kept_addresses.discard(state.address)
            _python.PyThreadState_Delete(state.address)
        with self._lock:
            self._running = bool(self._waiting)
            if self._running:
                self._start()

    def _take(self) -> list[_KeptState]:
        with self._lock:
            gone = [state for state in self._waiting if not state.in_use()]
            self._waiting = [state for state in self._waiting if state not in gone]
        return gone


_departed = _Departed()
