"""The in-process carrier, as far as Python goes: a buffer shared with one Java thread, and that thread's Python state.

JPype gives a Java thread a new Python thread state for each call and deletes it at the end, which costs more than the
rest of a request. One ``PyGILState_Ensure`` more, made inside the thread's first exchange and not matched by a release,
keeps the state; it is deleted once the thread is gone. Nothing here imports JPype: ``bridge.jvm`` makes the
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

from bridge.codec import HEADER_LENGTH, LENGTH
from bridge.dispatch import Connection, Dispatcher

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm

_read_length = LENGTH.unpack_from

_python = ctypes.pythonapi
_python.PyGILState_GetThisThreadState.restype = ctypes.c_void_p
_python.PyThreadState_Clear.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Clear.restype = None
_python.PyThreadState_Delete.argtypes = (ctypes.c_void_p,)
_python.PyThreadState_Delete.restype = None


class InProcess:
    """The carrier of one HSM to the Java threads of this process.

    All threads together are one connection: a session lives until ``LOGOUT`` or ``close``, not until the thread that
    logged in ends.
    """

    def __init__(self, hsm: Hsm) -> None:
        self._connection = Dispatcher(hsm).connect()

    def attach(self, buffer: Any) -> Channel:
        """Return the channel of the calling thread, which shares this direct buffer with it."""
        return Channel(self._connection, buffer)

    def close(self) -> None:
        """End the connection and its sessions; channels that are still there answer ``UNAUTHENTICATED``."""
        self._connection.close()


class Channel:
    """The three methods of ``io.hsmbridge.jce.carrier.InProcessChannel``, for one Java thread."""

    __slots__ = ("_answer", "_kept", "_pending", "_view")

    def __init__(self, connection: Connection, buffer: Any) -> None:
        self._answer = connection.answer
        self._view = plain_view(buffer)
        self._pending = b""
        self._kept: _KeptState | None = None

    def exchange(self) -> None:
        """Answer the request at offset 0 of the buffer, there; leave the header only where the answer does not fit."""
        if self._kept is None:
            self._keep_state()
        view = self._view
        # Copied before it is looked at: what is checked is then what is used, whatever Java does to the buffer.
        response = self._answer(view[: _read_length(view)[0] + 4].tobytes())
        length = len(response)
        if length <= len(view):
            view[:length] = response
        else:
            self._pending = response
            view[:HEADER_LENGTH] = response[:HEADER_LENGTH]

    def grow(self, buffer: Any) -> None:
        """Use this larger buffer from now on, and put the response that did not fit there."""
        self._view = plain_view(buffer)
        response, self._pending = self._pending, b""
        self._view[: len(response)] = response

    def release(self) -> None:
        """Let go of the thread's Python state once the thread is gone. Called by another thread.

        The channel may then serve another thread: wrapping a Java buffer costs JPype 1.5 KiB a thread that it never
        gives back, so Java keeps released channels and buffers for the next thread.
        """
        self._pending = b""
        kept, self._kept = self._kept, None
        if kept is not None:
            _departed.add(kept)

    def _keep_state(self) -> None:
        frame = inspect.currentframe()
        # A thread that Python owns has frames below the call from Java, and its state is not JPype's to delete.
        if frame is None or frame.f_back is None or frame.f_back.f_back is not None:
            return
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
    def of_this_thread(cls) -> _KeptState:
        _python.PyGILState_Ensure()
        return cls(_python.PyGILState_GetThisThreadState(), threading.get_native_id())

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
