"""The public API, fact by fact: what code written for CloudHSM compiles against, and what bad arguments get."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jca, jdk
from tests.site import fresh_site

_ROOT = "com.amazonaws.cloudhsm.jce"
_TABLE = Path(__file__).with_name("api_surface.tsv")
_FACTS = [
    tuple(line.split("\t"))
    for line in _TABLE.read_text().splitlines()
    if line and not line.startswith("#")
]  # fmt: skip


def _full(name: str) -> str:
    """Return a type as ``Class.getTypeName`` writes it; a dot in front stands for the root package."""
    return _ROOT + name if name.startswith(".") else name


def _types(text: str) -> list[str]:
    return [_full(name) for name in re.split(r"[,\s]+", text.strip()) if name]


def _named(types: Any) -> list[str]:
    return [str(kind.getTypeName()) for kind in types]


def _parts(what: str) -> tuple[str, list[str], set[str]]:
    """Split ``head(parameters) ! exceptions``."""
    signature, _, exceptions = what.partition("!")
    head, _, parameters = signature.strip().rstrip(")").partition("(")
    return head, _types(parameters), set(_types(exceptions))


def _method(kind: Any, name: str, parameters: list[str]) -> Any:
    found = [method for method in kind.getMethods() if method.getName() == name]
    (method,) = [
        method
        for method in found
        if _named(method.getParameterTypes()) == parameters and not method.isBridge()
        and method.getDeclaringClass() == kind
    ]  # fmt: skip
    return method


def _checked(exceptions: Any) -> set[str]:
    unchecked = jca.class_of("java.lang.RuntimeException")
    return {str(one.getTypeName()) for one in exceptions if not unchecked.isAssignableFrom(one)}


@pytest.mark.parametrize(("name", "fact", "what"), _FACTS, ids=[" ".join(fact)[:100] for fact in _FACTS])
def test_fact(hsm_jvm: None, name: str, fact: str, what: str) -> None:
    kind = jca.class_of(f"{_ROOT}.{name}")
    modifier = jca.java("java.lang.reflect.Modifier")
    assert modifier.isPublic(kind.getModifiers())
    if fact in ("is", "is not"):
        assert jca.class_of(_full(what)).isAssignableFrom(kind) is (fact == "is")
    elif fact == "enum":
        constants = {str(constant.name()) for constant in kind.getEnumConstants()}
        assert constants >= set(what.split())
    elif fact == "constant":
        constant, _, value = what.partition("=")
        field = kind.getField(constant)
        assert modifier.isStatic(field.getModifiers())
        assert modifier.isFinal(field.getModifiers())
        held = field.get(None)
        assert (str(held) if field.getType().getTypeName() == "java.lang.String" else bytes(held).hex()) == value
    elif fact == "constructor":
        _, parameters, exceptions = _parts(what)
        (constructor,) = [
            constructor for constructor in kind.getConstructors()
            if _named(constructor.getParameterTypes()) == parameters
        ]  # fmt: skip
        assert _checked(constructor.getExceptionTypes()) == exceptions
    elif fact == "declares":
        signature, _, exception = what.rpartition(" ")
        head, parameters, _ = _parts(signature)
        assert exception in _checked(_method(kind, head, parameters).getExceptionTypes())
    else:
        assert fact == "method"
        head, parameters, exceptions = _parts(what)
        *static, returned, method_name = head.split()
        method = _method(kind, method_name, parameters)
        assert str(method.getReturnType().getTypeName()) == _full(returned)
        assert modifier.isStatic(method.getModifiers()) is bool(static)
        assert _checked(method.getExceptionTypes()) <= exceptions


def test_misuse_of_every_public_method(tmp_path: Path) -> None:
    """Null for every argument, and values of the wrong type: the documented exceptions, and the next call works."""
    with ZipFile(provider_jar()) as jar:
        inside = f"{_ROOT.replace('.', '/')}/"
        classes = [name[:-6].replace("/", ".") for name in jar.namelist() if name.startswith(inside)]
    programs = str(jdk.classes(_TABLE.with_name("Misuse.java")))
    with fresh_site(tmp_path / "hsm") as site:
        command = ["java", *jdk.QUICK, "-ea", "-cp", programs, "Misuse"]
        done = site.hsm(*command, *(name for name in classes if "$" not in name))
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(site.must("key", "list", "--json")) == []
    calls, wrong = (int(word) for word in done.stdout.split()[-2:])
    assert calls > 40, done.stdout
    assert wrong == 0, done.stdout
