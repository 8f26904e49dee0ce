"""Mechanism parameters: null or a map, from outside, so every type is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from cryptography.hazmat.primitives import hashes

from hsmcore.errors import MechanismParameterInvalid
from hsmcore.tables.mechanisms import HASHES

Parameters = Mapping[str, object] | None

_ALGORITHMS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "SHA-1": hashes.SHA1,
    "SHA-224": hashes.SHA224,
    "SHA-256": hashes.SHA256,
    "SHA-384": hashes.SHA384,
    "SHA-512": hashes.SHA512,
}


def hash_named(name: str) -> hashes.HashAlgorithm:
    """Return the hash of that name (FIPS 180-4, with or without the dash). Raises ``MechanismParameterInvalid``."""
    make = _ALGORITHMS.get(HASHES.get(name, name))
    if make is None:
        _refuse(f"there is no hash {name[:64]!r}; there are {', '.join(_ALGORITHMS)}")
    return make()


def bytes_parameter(parameters: Parameters, name: str) -> bytes | None:
    """Return an optional parameter of bytes."""
    value = parameters.get(name) if parameters else None
    if value is not None and not isinstance(value, bytes):
        _refuse(f"parameter {name} is bytes, not {type(value).__name__}")
    return value


def number_parameter(parameters: Parameters, name: str) -> int | None:
    """Return an optional parameter that is a number, such as a length."""
    value = parameters.get(name) if parameters else None
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _refuse(f"parameter {name} is an integer, 0 or more")
    return value


def chosen_hash(parameters: Parameters, fixed: str) -> hashes.HashAlgorithm:
    """Return the hash: the one that the mechanism's name fixes, else that of the parameter ``hash``.

    A parameter that disagrees with the name, or ``mgf_hash`` with the hash, is ``MechanismParameterInvalid``: PKCS #11
    pairs MGF1 with the hash it is used with.
    """
    asked = _text_parameter(parameters, "hash")
    if not fixed and asked is None:
        _refuse("the mechanism needs the parameter hash")
    algorithm = hash_named(fixed or asked or "")
    for name in ("hash", "mgf_hash"):
        other = _text_parameter(parameters, name)
        if other is not None and hash_named(other).name != algorithm.name:
            _refuse(f"{name} must be the mechanism's hash {algorithm.name}, not {other}")
    return algorithm


def _text_parameter(parameters: Parameters, name: str) -> str | None:
    value = parameters.get(name) if parameters else None
    if value is not None and not isinstance(value, str):
        _refuse(f"parameter {name} is text, not {type(value).__name__}")
    return value


def _refuse(message: str) -> NoReturn:
    raise MechanismParameterInvalid(message)
