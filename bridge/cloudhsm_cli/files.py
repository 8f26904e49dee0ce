"""Files that commands read and write. Errors of the file system become ``Failure``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bridge.cloudhsm_cli.errors import Failure
from hsmcore import files

MAX_BYTES = 32 * 1024 * 1024
"""Size of the largest file that is read as a whole, in bytes; it must fit into a frame of the protocol."""


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a regular file or a pipe for reading."""
    with _file_errors(path), files.reading(Path(path)) as file:
        yield file


def read(path: str) -> bytes:
    """Return the content of a file."""
    with _file_errors(path):
        return files.read_whole(Path(path), MAX_BYTES)


def write(path: str, content: bytes) -> None:
    """Write a file of mode 0600, completely or not at all, and replace an existing one.

    Raises:
        Failure: The path is not a file, or cannot be written.
    """
    with _file_errors(path):
        target = Path(path)
        if target.exists() and not target.is_file():
            raise Failure(f"{path} is not a file")
        files.write_whole(target, content)


@contextmanager
def _file_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        # A path with a NUL byte.
        raise Failure(f"the path is not valid: {error}") from error


def from_base64(text: str, option: str) -> bytes:
    """Return the bytes of a base64 text.

    Raises:
        Failure: The text is not base64; the message names ``option``.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Failure(f"the value of --{option} is not base64: {error}") from error


def from_hex(text: str, option: str) -> bytes:
    """Return the bytes of hexadecimal digits, with or without 0x in front.

    Raises:
        Failure: The text is not hexadecimal; the message names ``option``.
    """
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise Failure(f"the value of --{option} is not hexadecimal: {error}") from error


def from_pem(content: bytes, label: str) -> bytes:
    """Return the DER of a PEM block with this label (RFC 7468).

    Raises:
        Failure: The content has no such block, or the block is not base64.
    """
    head, tail = f"-----BEGIN {label}-----", f"-----END {label}-----"
    text = content.decode("ascii", "replace")
    start, end = text.find(head), text.find(tail)
    if start < 0 or end < start:
        raise Failure(f"the file has no PEM block {label}")
    body = "".join(text[start + len(head) : end].split())
    return from_base64(body, "path")


def to_pem(content: bytes, label: str) -> bytes:
    """Return a PEM block (RFC 7468)."""
    body = base64.b64encode(content).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
