"""Registers Python functions as bodies of Java's native methods, through JNI and ctypes.

A call through a JPype proxy is reflective: it creates objects, looks up names and takes a lock that all threads share.
A native method whose body is a ctypes function enters Python in a quarter of that time. The module uses few functions
of JNI, whose indices in JNI's tables are fixed (Java Native Interface Specification, chapters 4 and 5).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_void_p, cast
from typing import Any

from hsmcore.errors import StateError

_VERSION = 0x0001_0008
_OK, _DETACHED = 0, -2
_GET_ENV, _ATTACH_AS_DAEMON = 6, 7
_FIND_CLASS, _EXCEPTION_CLEAR, _DELETE_LOCAL_REF, _REGISTER_NATIVES = 6, 17, 23, 215
_GET_METHOD, _CALL_OBJECT = 33, 36
_GET_STATIC_FIELD, _STATIC_OBJECT_FIELD = 144, 145
_GET_STATIC_METHOD, _CALL_STATIC_OBJECT, _NEW_STRING = 113, 116, 167

_int_to_int = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_bodies: list[object] = []
"""The registered functions, which must live as long as the JVM."""


class _Method(ctypes.Structure):
    """``JNINativeMethod``."""

    _fields_ = (("name", c_char_p), ("signature", c_char_p), ("body", c_void_p))


def register(jvm_library: str, class_name: str, method: str, body: Callable[[int, int, int], int]) -> None:
    """Register the body of ``static native int method(int)`` of a class.

    The class is the value of the system property with its name: JNI itself finds only classes that were on the class
    path when the JVM started.

    Args:
        jvm_library: The path of the library of the running JVM.
        class_name: The name of the class, with dots.
        method: The name of the method.
        body: Function of the JNI environment, the class and the argument. It must not raise: ctypes would print the
            exception and return 0.

    Raises:
        StateError: The JVM is not running, or the class or the method does not exist.
    """
    environment = _environment(ctypes.CDLL(jvm_library))
    found = _property(environment, class_name)
    if not found:
        raise StateError(f"the class {class_name} is not in the system properties of the JVM")

    entry = _int_to_int(body)
    _bodies.append(entry)
    row = _Method(method.encode(), b"(I)I", cast(entry, c_void_p))
    result = _call(environment, _REGISTER_NATIVES, c_int, c_void_p(found), byref(row), c_int(1))
    _call(environment, _DELETE_LOCAL_REF, None, c_void_p(found))
    if result != _OK:
        _call(environment, _EXCEPTION_CLEAR, None)
        raise StateError(f"{class_name} has no static native method int {method}(int)")


def show_field(jvm_library: str, class_name: str, field: str, kind: str, name: str) -> None:
    """Make the value of a private static field the value of a system property, from which Java code can take it.

    Args:
        jvm_library: The path of the library of the running JVM.
        class_name: The name of a class of the JDK, with dots.
        field: The name of the field.
        kind: The name of its class, with dots.
        name: The name of the system property.

    Raises:
        StateError: The JVM is not running, or the field does not exist.
    """
    environment = _environment(ctypes.CDLL(jvm_library))
    owner = _call(environment, _FIND_CLASS, c_void_p, c_char_p(class_name.replace(".", "/").encode()))
    signature = f"L{kind.replace('.', '/')};".encode()
    found = owner and _call(
        environment, _GET_STATIC_FIELD, c_void_p, c_void_p(owner), c_char_p(field.encode()), c_char_p(signature)
    )
    if not found:
        _call(environment, _EXCEPTION_CLEAR, None)
        raise StateError(f"{class_name} has no static field {field}")
    value = _call(environment, _STATIC_OBJECT_FIELD, c_void_p, c_void_p(owner), c_void_p(found))
    _property(environment, name, value)
    for reference in (owner, value):
        _call(environment, _DELETE_LOCAL_REF, None, c_void_p(reference))


def _property(environment: c_void_p, name: str, value: int | None = None) -> int | None:
    """Return a reference to the value of a system property, which may be any object.

    Args:
        environment: The thread's ``JNIEnv``.
        name: The name of the property.
        value: A reference to its new value; the former one is returned. ``None`` leaves it as it is.
    """
    method, signature = (b"get", b"(Ljava/lang/Object;)Ljava/lang/Object;")
    if value is not None:
        method, signature = (b"put", b"(Ljava/lang/Object;Ljava/lang/Object;)Ljava/lang/Object;")
    system = _call(environment, _FIND_CLASS, c_void_p, c_char_p(b"java/lang/System"))
    map_class = _call(environment, _FIND_CLASS, c_void_p, c_char_p(b"java/util/Map"))
    properties = _call(
        environment, _GET_STATIC_METHOD, c_void_p,
        c_void_p(system), c_char_p(b"getProperties"), c_char_p(b"()Ljava/util/Properties;"),
    )  # fmt: skip
    get = _call(
        environment, _GET_METHOD, c_void_p,
        c_void_p(map_class), c_char_p(method), c_char_p(signature),
    )  # fmt: skip
    everything = _call(environment, _CALL_STATIC_OBJECT, c_void_p, c_void_p(system), c_void_p(properties), c_void_p())
    key = _call(environment, _NEW_STRING, c_void_p, c_char_p(name.encode()))
    arguments = (c_void_p * 2)(key, value)
    found: int | None = _call(
        environment, _CALL_OBJECT, c_void_p, c_void_p(everything), c_void_p(get), cast(arguments, c_void_p)
    )
    for reference in (system, map_class, everything, key):
        _call(environment, _DELETE_LOCAL_REF, None, c_void_p(reference))
    return found


def _environment(library: ctypes.CDLL) -> c_void_p:
    """Return the calling thread's ``JNIEnv``, after attaching the thread to the JVM if necessary.

    Raises:
        StateError: The JVM is not running, or refuses the thread.
    """
    machine, count, environment = c_void_p(), c_int(), c_void_p()
    if library.JNI_GetCreatedJavaVMs(byref(machine), 1, byref(count)) != _OK or not count.value:
        raise StateError("the JVM is not running")
    state = _call(machine, _GET_ENV, c_int, byref(environment), c_int(_VERSION))
    if state == _DETACHED:
        state = _call(machine, _ATTACH_AS_DAEMON, c_int, byref(environment), None)
    if state != _OK:
        raise StateError(f"the JVM does not attach this thread (JNI error {state})")
    return environment


def _call(table: c_void_p, index: int, result: Any, *arguments: Any) -> Any:
    """Call a function of a JNI table with the table as first argument."""
    functions = cast(cast(table, POINTER(c_void_p))[0] or 0, POINTER(c_void_p))
    kinds = [type(argument) if isinstance(argument, ctypes._SimpleCData) else c_void_p for argument in arguments]
    return CFUNCTYPE(result, c_void_p, *kinds)(functions[index] or 0)(table, *arguments)
