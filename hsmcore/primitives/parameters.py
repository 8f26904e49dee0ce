"""Mechanism parameters: ``None`` or a map. They come from outside, so every type is checked."""

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
    """Return a hash.

    Args:
        name: Its name in FIPS 180-4, with or without the dash.

    Raises:
        MechanismParameterInvalid: The hash is unknown.
    """
    make = _ALGORITHMS.get(HASHES.get(name, name))
    if make is None:
        _refuse(f"there is no hash {name[:64]!r}; there are {', '.join(_ALGORITHMS)}")
    return make()


def bytes_parameter(parameters: Parameters, name: str) -> bytes | None:
    """Return an optional parameter of bytes.

    Raises:
        MechanismParameterInvalid: It has another type.
    """
    value = parameters.get(name) if parameters else None
    if value is not None and not isinstance(value, bytes):
        _refuse(f"parameter {name} is bytes, not {type(value).__name__}")
    return value


def number_parameter(parameters: Parameters, name: str) -> int | None:
    """Return an optional parameter that is a number, such as a length.

    Raises:
        MechanismParameterInvalid: It has another type, or is negative.
    """
    value = parameters.get(name) if parameters else None
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _refuse(f"parameter {name} is an integer, 0 or more")
    return value


def chosen_hash(parameters: Parameters, fixed: str) -> hashes.HashAlgorithm:
    """Return the mechanism's hash, or that of the parameter ``hash`` where the mechanism fixes none.

    Raises:
        MechanismParameterInvalid: ``hash`` or ``mgf_hash`` is another hash; PKCS #11 uses one hash for both.
    """
    requested = _text_parameter(parameters, "hash")
    if not fixed and requested is None:
        _refuse("the mechanism needs the parameter hash")
    algorithm = hash_named(fixed or requested or "")
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
