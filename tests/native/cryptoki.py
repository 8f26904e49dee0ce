"""The PKCS #11 library as a C program calls it, through ctypes. Numbers are those of the standard, by hand."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure, byref, c_char, c_ubyte, c_ulong, c_void_p, cast, sizeof
from pathlib import Path

from bridge.launcher.library import library_path
from hsmcore.errors import StateError
from tests.requirements import missing

OK = 0
SERIAL, RW = 4, 2
USER = 1
UNAVAILABLE = c_ulong(-1).value

P256 = bytes.fromhex("06082a8648ce3d030107")

Value = int | bool | bytes | list["Pair"]
Pair = tuple[int, Value]


class Attribute(Structure):
    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


class Mechanism(Structure):
    _fields_ = (("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong))


class Gcm(Structure):
    _fields_ = (
        ("iv", c_void_p), ("iv_length", c_ulong), ("iv_bits", c_ulong), ("aad", c_void_p), ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    )  # fmt: skip


class InitializeArguments(Structure):
    _fields_ = (
        ("create", c_void_p), ("destroy", c_void_p), ("lock", c_void_p), ("unlock", c_void_p), ("flags", c_ulong),
        ("reserved", c_void_p),
    )  # fmt: skip


class CryptokiError(Exception):
    """A function returned another code than CKR_OK."""

    def __init__(self, function: str, rv: int) -> None:
        super().__init__(f"{function} returned {rv:#x}")
        self.rv = rv


LIBRARY = "HSMBRIDGE_TEST_LIBRARY"
"""The variable that names another build of the library, for example with sanitizers."""


def library() -> Path:
    """Return the path of the library, or skip."""
    if named := os.environ.get(LIBRARY):
        return Path(named)
    try:
        return library_path()
    except StateError as error:
        missing(str(error))


class Cryptoki:
    """The functions, with Python's values where that says the same. ``raw`` is the library itself."""

    def __init__(self) -> None:
        self.raw = ctypes.CDLL(str(library()))

    def call(self, function: str, *arguments: object) -> int:
        """Call a function with arguments of ctypes (an ``int`` is a CK_ULONG), and return its code."""
        run = getattr(self.raw, function)
        run.restype = c_ulong
        return int(run(*(c_ulong(one) if type(one) is int else one for one in arguments)))

    def must(self, function: str, *arguments: object) -> None:
        """Call a function that succeeds."""
        rv = self.call(function, *arguments)
        if rv != OK:
            raise CryptokiError(function, rv)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Initialise for a block."""
        self.must("C_Initialize", None)
        try:
            yield
        finally:
            self.call("C_Finalize", None)

    def open(self, flags: int = SERIAL | RW, slot: int = 0) -> int:
        handle = c_ulong()
        self.must("C_OpenSession", slot, flags, None, None, byref(handle))
        return handle.value

    def login(self, session: int, pin: bytes) -> None:
        self.must("C_Login", session, USER, pin, len(pin))

    def generate_pair(self, session: int, mechanism: int, public: Sequence[Pair], private: Sequence[Pair]) -> list[int]:
        handles = c_ulong(), c_ulong()
        given = template(public), template(private)
        self.must("C_GenerateKeyPair", session, byref(Mechanism(mechanism)), given[0], len(public), given[1],
                  len(private), byref(handles[0]), byref(handles[1]))  # fmt: skip
        return [one.value for one in handles]

    def generate(self, session: int, mechanism: int, attributes: Sequence[Pair]) -> int:
        return self.made("C_GenerateKey", session, byref(Mechanism(mechanism)), attributes=attributes)

    def create(self, session: int, attributes: Sequence[Pair]) -> int:
        return self.made("C_CreateObject", session, attributes=attributes)

    def made(self, function: str, *arguments: object, attributes: Sequence[Pair]) -> int:
        """Call a function whose last arguments are a template and the place for a new object's handle."""
        handle = c_ulong()
        self.must(function, *arguments, template(attributes), len(attributes), byref(handle))
        return handle.value

    def find(self, session: int, attributes: Sequence[Pair], step: int = 10) -> list[int]:
        self.must("C_FindObjectsInit", session, template(attributes), len(attributes))
        found: list[int] = []
        handles, count = (c_ulong * step)(), c_ulong(step)
        while count.value:
            self.must("C_FindObjects", session, handles, step, byref(count))
            found += handles[: count.value]
        self.must("C_FindObjectsFinal", session)
        return found

    def read(self, session: int, key: int, number: int) -> bytes:
        """Read one attribute by the two-call idiom."""
        attribute = Attribute(number)
        self.must("C_GetAttributeValue", session, key, byref(attribute), 1)
        buffer = (c_ubyte * attribute.length)()
        attribute.value = cast(buffer, c_void_p)
        self.must("C_GetAttributeValue", session, key, byref(attribute), 1)
        return bytes(buffer)

    def begin(self, kind: str, session: int, mechanism: Mechanism | int, key: int | None) -> int:
        given = Mechanism(mechanism) if isinstance(mechanism, int) else mechanism
        return self.call(f"C_{kind}Init", session, byref(given), *([] if key is None else [key]))

    def once(self, kind: str, session: int, data: bytes, room: int = 8192) -> bytes:
        """Run a begun operation on data."""
        return self.output(f"C_{kind}", session, data, len(data), room=room)

    def output(self, function: str, *arguments: object, room: int = 8192) -> bytes:
        """Call a function whose last arguments are a buffer and the place of its length."""
        buffer, length = (c_ubyte * room)(), c_ulong(room)
        self.must(function, *arguments, buffer, byref(length))
        return bytes(buffer[: length.value])

    def run(self, kind: str, session: int, mechanism: Mechanism | int, key: int | None, data: bytes) -> bytes:
        """Begin an operation and run it in one call."""
        rv = self.begin(kind, session, mechanism, key)
        if rv != OK:
            raise CryptokiError(f"C_{kind}Init", rv)
        return self.once(kind, session, data)

    def verify(self, session: int, mechanism: Mechanism | int, key: int, data: bytes, signature: bytes) -> int:
        """Verify in one call and return the code."""
        rv = self.begin("Verify", session, mechanism, key)
        return rv or self.call("C_Verify", session, data, len(data), signature, len(signature))


def template(attributes: Sequence[Pair]) -> ctypes.Array[Attribute]:
    """Return an array of attributes. It keeps the values that it points to."""
    array = (Attribute * len(attributes))()
    kept: list[object] = []
    for index, (number, value) in enumerate(attributes):
        place: object
        if isinstance(value, list):
            place = template(value)
        elif isinstance(value, bool):
            place = c_ubyte(value)
        elif isinstance(value, int):
            place = c_ulong(value)
        else:
            place = (c_char * len(value)).from_buffer_copy(value) if value else None
        kept.append(place)
        length = 0 if place is None else sizeof(place)  # type: ignore[arg-type]
        array[index] = Attribute(number, None if place is None else cast(byref(place), c_void_p), length)  # type: ignore[arg-type]
    array.kept = kept  # type: ignore[attr-defined]
    return array


def with_parameter(mechanism: int, parameter: bytes | Structure) -> Mechanism:
    """Return a mechanism with a parameter, which it keeps."""
    place = (c_char * len(parameter)).from_buffer_copy(parameter) if isinstance(parameter, bytes) else parameter
    made = Mechanism(mechanism, cast(byref(place), c_void_p), sizeof(place))
    made.kept = place
    return made


def gcm(mechanism: int, iv: ctypes.Array[c_char] | None, aad: bytes = b"", tag_bits: int = 128) -> Mechanism:
    """Return an AES-GCM mechanism. The HSM writes the IV into ``iv``."""
    data = (c_char * len(aad)).from_buffer_copy(aad) if aad else None
    parameter = Gcm(
        cast(iv, c_void_p) if iv is not None else None, len(iv) if iv is not None else 12, 96,
        cast(data, c_void_p) if data is not None else None, len(aad), tag_bits,
    )  # fmt: skip
    made = with_parameter(mechanism, parameter)
    made.kept = (parameter, iv, data)
    return made
