"""A user's key outside the HSM: a file of the ``openssl`` command, as the user guide has it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.hsmcore.judge import openssl

_SIGN = ("pkeyutl", "-sign", "-pkeyopt", "digest:sha256")
"""The 32 bytes of a token are the digest; ``dgst -sign`` would hash them again."""


class Signer:
    """A key pair in two PEM files, made by ``openssl``."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        options = options or ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        self.private = folder / f"{name}.pem"
        openssl("genpkey", *options, "-out", self.private)
        self.public = openssl("pkey", "-in", self.private, "-pubout")

    def sign(self, token: bytes) -> str:
        """Sign the 32 bytes of a token, in base64."""
        return base64.b64encode(openssl(*_SIGN, "-inkey", self.private, data=token)).decode()

    def signed(self, token_file: bytes) -> bytes:
        """Fill in the signature of a token file for MFA or registration."""
        document = json.loads(token_file)
        for entry in document["tokens"]:
            entry["signed"] = self.sign(base64.b64decode(entry["unsigned"]))
        return json.dumps(document).encode()

    def approved(self, approval_file: bytes, username: str, role: str | None = "admin") -> bytes:
        """Add the signature of an approver to the file of a quorum token."""
        document = json.loads(approval_file)
        signature = {"username": username, "signature": self.sign(base64.b64decode(document["token"]))}
        document["signatures"].append(signature if role is None else signature | {"role": role})
        return json.dumps(document).encode()
