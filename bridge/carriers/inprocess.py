"""The in-process carrier, as far as Python goes: a buffer shared with one Java thread, and that thread's Python state.

Java calls ``exchange``, as a native method, with the number of a channel; everything else goes through the buffer. A
Java thread that enters Python gets a new Python thread state and loses it at the end of the call, which costs more than
the rest of a request. One ``PyGILState_Ensure`` more, made inside the thread's first exchange and not matched by a
release, keeps the state; it is deleted once the thread is gone. Nothing here imports JPype: ``bridge.carriers.jvm``
makes the
Java halves.
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
from bridge.server.dispatch import Connection, Dispatcher

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm

_read_length = LENGTH.unpack_from
_REPEAT = repeat.REPEAT
_LONG = 4096
"""From this many bytes on, one copy more costs more than two pieces, in bytes."""

_python = ctypes.pythonapi
_python.PyGILState_GetThisThreadState.restype = ctypes.c_void_p
_python.PyThreadState_Clear.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Clear.restype = None
_python.PyThreadState_Delete.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Delete.restype = None

_channels: list[Channel] = []
"""Every channel by its number. Java keeps its channels for later threads, so none is ever taken out."""
_kept_addresses: set[int] = set()
"""Where the Python states are that are kept for Java threads. To delete one twice would end the process."""
_FRAMES = 2
"""Python's frames from ``Channel.keep_state`` to the call from Java: its own and that of ``exchange``."""


class InProcess:
    """The carrier of one HSM to the Java threads of this process.

    All threads together are one connection: a session lives until ``LOGOUT`` or ``close``, not until the thread that
    logged in ends.
    """

    def __init__(self, hsm: Hsm) -> None:
        self._connection = Dispatcher(hsm).connect()

    def attach(self, buffer: Any, *, lent: bool = False) -> Channel:
        """Return a channel that shares this direct buffer: the calling thread's, or one lent for an exchange."""
        return Channel(self._connection, buffer, lent=lent)

    def close(self) -> None:
        """End the connection and its sessions; channels that are still there answer ``UNAUTHENTICATED``."""
        self._connection.close()


def exchange(environment: int, java_class: int, number: int) -> int:
    """Answer the request at offset 0 of a channel's buffer, there, and return how long the answer is, in bytes.

    Where the answer does not fit, it waits for ``grow``. The body of a native method; see ``bridge.carriers.natives``
    for the first two arguments.
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
        # Copied before it is looked at: what is checked is then what is used, whatever Java does to the buffer.
        response = channel.connection.answer_values(view[: _read_length(view)[0] + 4].tobytes())
    length = len(response)
    if length <= len(view):
        view[:length] = response
    else:
        channel.pending = response
    return length


class Channel:
    """What one Java thread shares with Python, or, if it is lent, one after another.

    ``grow`` and ``release`` are those of ``io.hsmbridge.jce.carrier.InProcessChannel``.
    """

    __slots__ = ("_kept", "connection", "number", "owned", "pending", "sessions", "view")

    def __init__(self, connection: Connection, buffer: Any, *, lent: bool = False) -> None:
        self.connection = connection
        self.sessions = connection.sessions
        self.view = plain_view(buffer)
        self.pending = b""
        # No thread's state is kept for a channel that the thread has only borrowed: nothing would tell of its end.
        self.owned = lent
        self._kept: _KeptState | None = None
        _channels.append(self)
        self.number = len(_channels) - 1
        LENGTH.pack_into(self.view, 0, self.number)

    def grow(self, buffer: Any) -> None:
        """Use this larger buffer from now on, and put the response that did not fit there."""
        self.view = plain_view(buffer)
        response, self.pending = self.pending, b""
        self.view[: len(response)] = response

    def release(self) -> None:
        """Let go of the thread's Python state once the thread is gone. Called by another thread.

        The channel may then serve another thread: wrapping a Java buffer costs JPype 1.5 KiB a thread that it never
        gives back, so Java keeps released channels and buffers for the next thread.
        """
        self.pending = b""
        self.owned = False
        kept, self._kept = self._kept, None
        if kept is not None:
            _departed.add(kept)

    def keep_state(self) -> None:
        """Keep the calling thread's Python state from now on, where the thread is Java's."""
        self.owned = True
        entry = inspect.currentframe()
        for _ in range(_FRAMES):
            entry = entry.f_back if entry is not None else None
        # A thread that Python owns has frames below the call from Java, and its state is not ours to delete.
        if entry is None:
            self._kept = _KeptState.of_this_thread()


def plain_view(buffer: Any) -> memoryview:
    """Return a direct buffer's memory as unsigned bytes; JPype shows it as signed big-endian ones."""
    size = memoryview(buffer).nbytes
    return memoryview((ctypes.c_ubyte * size).from_buffer(buffer)).cast("B")


@dataclass(frozen=True, slots=True)
class _KeptState:
    """A Java thread's Python thread state: its address, and the thread's id in the kernel."""

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
        """Return whether the thread may still run. Deleting the state under it would end the process."""
        return sys.platform == "linux" and Path(f"/proc/self/task/{self.thread}").exists()


class _Departed:
    """Deletes the kept states of threads that are gone.

    In a Python thread made for it: from CPython 3.12 on, ``PyThreadState_Delete`` of another thread's state also
    unbinds the calling thread's own from ``PyGILState``, which a thread inside a call from Java would not survive.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_KeptState] = []
        self._running = False

    def add(self, state: _KeptState) -> None:
        """Delete this state when its thread has ended, which may be some microseconds after Java says so."""
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
