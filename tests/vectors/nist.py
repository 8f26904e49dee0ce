"""Reads the vector files of the ``cryptography-vectors`` package: NIST response files and the OAEP examples.

Of each file a quick run gets a sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors

from tests.conftest import sampled


def _text(path: str) -> str:
    with cryptography_vectors.open_vector_file(path, "r") as file:
        return str(file.read())


def records(path: str, closing: str) -> Iterator[dict[str, str]]:
    """Yield one record for each line named ``closing``, with what was said above it.

    Values stand until they are said again: a response file gives a modulus or a section heading once for many cases. A
    heading such as ``[P-256,SHA-1]`` is under ``section``, one such as ``[mod = 2048]`` under its name. A bare ``FAIL``
    counts as a value of its own.
    """
    return sampled(_records(path, closing))


def _records(path: str, closing: str) -> Iterator[dict[str, str]]:
    state: dict[str, str] = {}
    for raw in _text(path).splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            inner = line.strip("[]")
            if "=" not in inner:
                state["section"] = inner
                continue
            line = inner
        name, _, value = (part.strip() for part in line.partition("="))
        state[name.lower()] = value
        if name.lower() == closing.lower():
            yield dict(state)


def cases(pattern: str) -> int:
    """Return how many cases the files have whose paths match."""
    folder = Path(cryptography_vectors.__file__).parent
    return sum(path.read_text().count("COUNT = ") for path in folder.glob(pattern))


def decryptions(path: str, plaintext: str) -> Iterator[dict[str, str]]:
    """Yield the cases of an authenticated decryption; its plaintext is absent where the ciphertext must be refused."""
    return sampled(_decryptions(path, plaintext))


def _decryptions(path: str, plaintext: str) -> Iterator[dict[str, str]]:
    state: dict[str, str] = {}
    for raw in _text(path).splitlines():
        line = raw.strip().strip("[]")
        name, _, value = (part.strip() for part in line.partition("="))
        state[name.lower()] = value
        if name == plaintext:
            yield dict(state)
        elif name == "FAIL":
            yield {key: value for key, value in state.items() if key != plaintext.lower()}


def rsa_examples(path: str) -> Iterator[dict[str, str]]:
    """Yield the examples of RSA encryption: all numbers of the private key, message, encryption."""
    return sampled(_rsa_examples(path))


def _rsa_examples(path: str) -> Iterator[dict[str, str]]:
    state: dict[str, str] = {}
    name = ""
    for raw in [*_text(path).splitlines(), "# End:"]:
        line = raw.strip()
        heading = re.fullmatch(r"#\s*([A-Za-z0-9 ]+):\s*", line)
        if heading:
            if name == "encryption":
                yield dict(state)
            name = heading.group(1).strip().lower()
            state[name] = ""
        elif name and re.fullmatch(r"[0-9a-fA-F ]+", line):
            state[name] += line.replace(" ", "")
