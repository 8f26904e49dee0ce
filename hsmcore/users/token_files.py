"""Token files: the JSON files that users sign outside the HSM, in the form of CloudHSM's command line (version 2.0).

This module only reads and writes files; the HSM looks up the token and verifies the signature. Binary values are
base64, which may contain white space, because ``base64`` breaks lines.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsmcore.errors import TokenFileInvalid
from hsmcore.primitives.proofs import TOKEN_BYTES

VERSION = "2.0"
MAX_BYTES = 256 * 1024
"""Maximum length of a file in bytes; eight approvals take 5 KiB."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """The token of a file for MFA or registration; the signature is empty in an unsigned file.

    ``data`` is the raw data of a registration token, whose hash the token is.
    """

    token: bytes
    signature: bytes = field(default=b"")
    data: bytes = field(default=b"")


def encode_token(token: bytes, approval_data: bytes | None = None) -> bytes:
    """Return the file of a token to sign, for MFA, or for registration with the data whose hash the token is."""
    entry = {} if approval_data is None else {"approval_data": _base64(approval_data)}
    return _encode({"version": VERSION, "tokens": [entry | {"unsigned": _base64(token), "signed": ""}]})


def read_token(file: bytes) -> SignedToken:
    """Read the file of a token for MFA or registration.

    Raises:
        TokenFileInvalid: The file is not well-formed.
    """
    tokens = _decode(file).get("tokens")
    if not isinstance(tokens, list) or len(tokens) != 1:
        count = f"{len(tokens)}" if isinstance(tokens, list) else "no"
        raise TokenFileInvalid(f"the file has {count} tokens, not one")
    data = _bytes(tokens[0], "approval_data", missing="")
    return SignedToken(_token(tokens[0], "unsigned"), _bytes(tokens[0], "signed"), data)


@dataclass(frozen=True, slots=True)
class Approval:
    """One approver's signature as the file has it, not yet verified; the role may be empty."""

    username: str
    role: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class ApprovalFile:
    """A quorum token's raw data, its hash, and the signatures."""

    approval_data: bytes
    token: bytes
    approvals: tuple[Approval, ...]


def encode_approval(service: str, key: int | None, approval_data: bytes, token: bytes) -> bytes:
    """Return the file of a quorum token, to which the approvers add their signatures."""
    reference = {} if key is None else {"key_reference": f"{key:#018x}"}
    values = {"approval_data": _base64(approval_data), "token": _base64(token), "signatures": []}
    return _encode({"version": VERSION, "service": service, **reference, **values})


def read_approval(file: bytes) -> ApprovalFile:
    """Read the file of a quorum token.

    Raises:
        TokenFileInvalid: The file is not well-formed.
    """
    document = _decode(file)
    signatures = document.get("signatures")
    if not isinstance(signatures, list):
        raise TokenFileInvalid("the approval file has no list 'signatures'")
    approvals = tuple(
        Approval(_text(entry, "username"), _text(entry, "role", missing=""), _bytes(entry, "signature"))
        for entry in signatures
    )
    return ApprovalFile(_bytes(document, "approval_data"), _token(document, "token"), approvals)


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"


def _decode(file: bytes) -> Mapping[str, object]:
    """Return the file's JSON object, after a check of its version.

    Raises:
        TokenFileInvalid: The file is not well-formed.
    """
    if len(file) > MAX_BYTES:
        raise TokenFileInvalid(f"the token file has {len(file)} bytes, more than {MAX_BYTES}")
    try:
        document = json.loads(file, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise TokenFileInvalid("the token file is not JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise TokenFileInvalid("the token file is not a JSON object")
    if document.get("version") != VERSION:
        raise TokenFileInvalid(f'the token file is not of version "{VERSION}"')
    return document


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return the object.

    Raises:
        ValueError: A name is repeated; two readers of the file could see two values.
    """
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name is repeated")
    return read


def _token(entry: object, name: str) -> bytes:
    token = _bytes(entry, name)
    if len(token) != TOKEN_BYTES:
        raise TokenFileInvalid(f"{name!r} has {len(token)} bytes, not {TOKEN_BYTES}")
    return token


def _bytes(entry: object, name: str, missing: str | None = None) -> bytes:
    try:
        return base64.b64decode("".join(_text(entry, name, missing).split()), validate=True)
    except ValueError as error:
        raise TokenFileInvalid(f"{name!r} is not base64") from error


def _text(entry: object, name: str, missing: str | None = None) -> str:
    text = entry.get(name, missing) if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise TokenFileInvalid(f"the token file lacks the text {name!r}")
    return text


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
