"""The texts of the HSM's errors, read from the ``raise`` statements of the sources.

The part of a text that depends on the call is shown as ``…``. A text that a function composes is left out.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("hsmcore", "keystore", "bridge")
_GAP = "…"


def texts() -> dict[str, list[str]]:
    """Return the texts by the name of the error's class, each text once, in order of the alphabet."""
    modules = _modules()
    own = {name: dict(_constants(tree)) for name, tree in modules.items()}
    found: dict[str, set[str]] = {}
    for name, tree in modules.items():
        constants = {**dict(_imported(tree, own)), **own[name]}
        for error, argument in _raised(tree):
            text = " ".join(_text(argument, constants).split())
            if text.strip(f"{_GAP} :,;()"):
                found.setdefault(error, set()).add(text)
    return {error: sorted(of_class, key=str.lower) for error, of_class in found.items()}


def classes() -> Iterator[tuple[str, str, str]]:
    """Yield name, name of the base class and docstring of each class of the sources with one base class."""
    for tree in _modules().values():
        for node in ast.walk(tree):
            match node:
                case ast.ClassDef(name=name, bases=[ast.Name(id=base)]):
                    yield name, base, ast.get_docstring(node) or ""
                case _:
                    pass


@functools.cache
def _modules() -> dict[str, ast.Module]:
    """Return the modules of the sources by name."""
    found = {}
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def _raised(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the class and the first argument of each error that the module raises."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[argument, *_])):
                yield name, argument
            case _:
                pass


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the module's constant texts."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                yield name, text
            case _:
                pass


def _imported(tree: ast.Module, own: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the constant texts that the module imports."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str() as module, names=names):
                for alias in names:
                    if (text := own.get(module, {}).get(alias.name)) is not None:
                        yield alias.asname or alias.name, text
            case _:
                pass


def _text(node: ast.expr, constants: Mapping[str, str]) -> str:
    """Return the text of an expression, empty if a function composes it."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, constants) or _GAP for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name):
            return constants.get(name, "")
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_text(left, constants) or _GAP) + (_text(right, constants) or _GAP)
        case _:
            return ""
